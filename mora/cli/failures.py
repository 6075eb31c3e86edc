"""What failed, on the terminal."""

import sys
from collections.abc import Sequence
from typing import Final

SHOWN: Final = 20
"""Failures that are listed; all of them are in the run's ledger and on the report's page."""


def tell_failures(failures: Sequence[str]) -> int:
    """Lists failures on standard error and returns the exit status, 1 if there are any."""
    for line in failures[:SHOWN]:
        print(f"failed: {line}", file=sys.stderr)
    if len(failures) > SHOWN:
        print(f"failed: and {len(failures) - SHOWN} more", file=sys.stderr)
    return 1 if failures else 0
