"""How long to wait before a request is sent again."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def backoff(failed: int, first: float, longest: float, chance: float) -> float:
    """Returns the seconds to wait after some tries in a row have failed.

    They double from try to try up to the longest; up to half of them is left off by chance, so
    that many who were turned away together do not come back together.

    Args:
        failed: Tries that have failed, from 1.
        first: Seconds after the first.
        longest: Seconds at most.
        chance: A number drawn from 0 to 1.
    """
    # Doubling is capped, since a float would overflow at a thousand tries.
    full = min(longest, first * 2.0 ** min(failed - 1, 64))
    return full * (1 - chance / 2)


def asked_to_wait(headers: Mapping[str, str], now: datetime) -> float | None:
    """Returns the seconds that a server asks to wait, `None` if it does not say.

    Args:
        headers: Of its answer: `retry-after-ms`, or `retry-after` in seconds or as a date.
        now: The time, with its zone.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - now).total_seconds())


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
