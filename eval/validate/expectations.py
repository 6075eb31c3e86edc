"""What is expected of each metric under each damage; the table itself is `expectations.yaml`."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Annotated, Final, Literal

import yaml
from pydantic import Field

from eval.validate.damages import DAMAGES
from metrics.registry import METRICS
from mora.records import Record

Direction = Literal["falls", "rises", "blind", "not stated"]

RESOLUTION: Final = 1e-6
"""Scores that differ by no more count as equal: float32 rounds otherwise on another machine."""


class Expectation(Record):
    """What one metric should do under one damage."""

    direction: Direction
    """`falls` is worse and `rises` is better, whichever way the metric counts."""
    tolerance: float | None = Field(default=None, ge=0)
    """Of `blind`: how far the mean score may move."""


NOT_STATED: Final = Expectation(direction="not stated")


class _Stated(Record):
    """The table's entry of a damage."""

    falls: tuple[str, ...] = ()
    rises: tuple[str, ...] = ()
    blind: Mapping[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)

    @property
    def named(self) -> tuple[str, ...]:
        """Metrics that it says something of, as often as it does."""
        return (*self.falls, *self.rises, *self.blind)


def expected(metric: str, damage: str) -> Expectation:
    """What the table says of a metric under a damage."""
    stated = _table()[damage]
    if metric in stated.falls:
        return Expectation(direction="falls")
    if metric in stated.rises:
        return Expectation(direction="rises")
    if metric in stated.blind:
        return Expectation(direction="blind", tolerance=stated.blind[metric])
    return NOT_STATED


def read_table(text: str) -> dict[str, _Stated]:
    """Reads the table.

    Raises:
        ValueError: It names a metric or a damage that there is not, leaves out a damage, or says
            two things of one metric.
    """
    table = {name: _Stated.model_validate(said) for name, said in yaml.safe_load(text).items()}
    if table.keys() != DAMAGES.keys():
        raise ValueError(
            f"expectations: the damages are {', '.join(DAMAGES)}; expected each of them once, "
            f"found {', '.join(table)}."
        )
    for damage, said in table.items():
        for metric in said.named:
            if metric not in METRICS or said.named.count(metric) > 1:
                raise ValueError(
                    f"expectations, {damage}: {metric}: expected each metric at most once, of "
                    f"{', '.join(METRICS)}."
                )
    return table


@cache
def _table() -> dict[str, _Stated]:
    return read_table((resources.files("eval.validate") / "expectations.yaml").read_text("utf-8"))
