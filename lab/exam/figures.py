"""What an exam finds: single figures, each with its unit, its count and what to compare it with."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

Unit = Literal["share", "px", "dB", "levels", "correlation", "AUC"]
"""`levels` are those of pixels, 0 to 255; `AUC` is the area under the ROC curve."""


@dataclass(frozen=True)
class Figure:
    """One number.

    Attributes:
        measured: What was measured, in words.
        on: On what.
        value: The number, in `unit`; a share lies in [0, 1].
        unit: Its unit.
        count: Number of independent samples behind it (captions, pictures, pairs of frames).
        parts: The same number over parts of the samples, by their names.
        beside: The same number of others, by their names: chance, an older method.
        aim: What it should reach, if something was set.
    """

    measured: str
    on: str
    value: float
    unit: Unit
    count: int
    parts: Mapping[str, float] = field(default_factory=dict)
    beside: Mapping[str, float] = field(default_factory=dict)
    aim: float | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.value) or self.count < 1:
            raise ValueError(
                f"{self.measured}, on {self.on}: the value is {self.value} from {self.count} "
                "samples; expected a finite number from at least one"
            )

    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval of a share, `None` for any other unit."""
        if self.unit != "share":
            return None
        z = 1.96
        shrink = 1 + z**2 / self.count
        centre = (self.value + z**2 / (2 * self.count)) / shrink
        spread = self.value * (1 - self.value) / self.count + (z / (2 * self.count)) ** 2
        half = z * math.sqrt(spread) / shrink
        return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True)
class Result:
    """What one part of the exam found.

    Attributes:
        part: Name of the part.
        fingerprint: Hash of all that decides the figures: weights, seed, counts.
        seconds: How long it took.
        figures: The figures, in the order of the table.
    """

    part: str
    fingerprint: str
    seconds: float
    figures: tuple[Figure, ...]

    def write(self, path: Path) -> None:
        """Writes the result as JSON; the file appears only when it is whole."""
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(self), indent=2) + "\n", "utf-8")
        temporary.replace(path)

    @staticmethod
    def read(path: Path) -> "Result":
        """Reads what `write` wrote.

        Raises:
            ValueError: The file holds something else.
        """
        try:
            stored = json.loads(path.read_text("utf-8"))
            figures = tuple(Figure(**figure) for figure in stored.pop("figures"))
            return Result(**stored, figures=figures)
        except (TypeError, KeyError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(
                f"{path}: expected a result of the exam ({error}); delete it and run the exam again"
            ) from error
