"""What evaluations took on this machine: rates, and how far forecasts were off."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from eval.cache import Cache, device_name
from metrics.networks import Networks

RECENT: Final = 20
"""Latest evaluations that count, so that a machine that changed is known anew soon."""


def place(networks: Networks, executor: str = "local") -> str:
    """Names what rates hold for: the device, the weights and how they compute, and the executor.

    Args:
        networks: Networks that compute.
        executor: Name of the executor, with those of its settings that time depends on.
    """
    device = device_name(networks.device)
    return f"{device}; {networks.weights}; {networks.precision}; {executor}"


@dataclass(frozen=True)
class Taken:
    """What something took in one evaluation.

    Attributes:
        units: How much of it there was, more than 0; for a forecast, what was forecast.
        amount: What it took, from 0.
    """

    units: float
    amount: float


class Rates:
    """Measurements of one place.

    Args:
        cache: The open file.
        place: What they hold for, as `place` names it.
    """

    def __init__(self, cache: Cache, place: str) -> None:
        self._cache = cache
        self._place = place

    def taken(self, quantity: str) -> list[Taken]:
        """The latest measurements of a quantity, the first of them first.

        Raises:
            CacheError: The file cannot be read.
        """
        rows = self._cache.rows(
            "SELECT units, amount FROM rates WHERE place = ? AND quantity = ? "
            "ORDER BY ordinal DESC LIMIT ?",
            (self._place, quantity, RECENT),
        )
        return [Taken(*row) for row in reversed(rows)]

    def rate(self, quantity: str) -> float | None:
        """Amount a unit over the latest evaluations, large ones weighing more; `None` if unknown.

        Raises:
            CacheError: The file cannot be read.
        """
        taken = self.taken(quantity)
        if not taken:
            return None
        return sum(each.amount for each in taken) / sum(each.units for each in taken)

    def keep(self, measured: Mapping[str, Taken]) -> None:
        """Adds the measurements of one evaluation, all or none of them.

        Raises:
            CacheError: The file cannot be written.
        """
        with self._cache.transaction() as sql:
            sql.executemany(
                "INSERT INTO rates (place, quantity, units, amount) VALUES (?, ?, ?, ?)",
                [
                    (self._place, quantity, each.units, each.amount)
                    for quantity, each in measured.items()
                    if each.units > 0
                ],
            )
