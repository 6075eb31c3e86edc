"""How far scores in precision `fast` were seen to drift from `exact`.

Measured on one H100 at the published sizes, with random weights (`python -m benchmarks.engine`): a
record of what was seen, not a bound.
"""

import json
from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).parent / "data" / "fast_drift.json"

DRIFT: Final[dict[str, float]] = json.loads(_FILE.read_text())["drift"]
"""Largest difference of a video's score, by metric."""
