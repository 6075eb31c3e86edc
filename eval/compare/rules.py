"""What the gate asks of each metric: its direction, and the loss that counts as none."""

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import Field, ValidationError

from mora.errors import SettingError
from mora.records import Record

FAILURES: Final = "failures"
"""Name of the row that compares how many videos failed; no metric has it."""


class Rule(Record):
    """What the gate asks of one metric."""

    tolerance: float = Field(ge=0, allow_inf_nan=False)
    """The greatest difference either way that counts as none."""
    unit: Literal["spread", "absolute"]
    """What the tolerance is in: standard deviations of the base's videos, or the metric's own."""
    better: Literal["higher", "lower"]
    """Which values are better."""
    kind: Literal["number", "yes_no"]
    """Whether a video's value is a number, or 1 for yes and 0 for no."""

    def margin(self, spread: float) -> float:
        """The tolerance in the metric's own units.

        Args:
            spread: Standard deviation of the base's videos.
        """
        return self.tolerance * spread if self.unit == "spread" else self.tolerance


class Rules(Record):
    """The rules of all metrics."""

    default: Rule
    """What goes where a metric's own rule says nothing."""
    by_metric: Mapping[str, Rule]

    def of(self, metric: str) -> Rule:
        """The rule of a metric, or of `FAILURES`."""
        return self.by_metric.get(metric, self.default)


def read_rules(settings: Mapping[str, Mapping[str, object]]) -> Rules:
    """Reads rules from settings.

    Args:
        settings: Fields of `Rule` by metric; `default` has them all, the others what differs.

    Raises:
        SettingError: `default` is missing, or a field is missing, unknown or wrong.
    """
    if "default" not in settings:
        raise SettingError("rules: expected an entry default, found none.")
    rules = {}
    for name, fields in settings.items():
        try:
            rules[name] = Rule.model_validate({**settings["default"], **(fields or {})})
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise SettingError(
                f"rules.{name}.{field}={first['input']}: {first['msg'].lower()}."
            ) from None
    return Rules(default=rules.pop("default"), by_metric=rules)
