"""Its place puts `tests/` on the import path: tests say `from goldens import parity`."""
