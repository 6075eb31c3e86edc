"""What is kept across runs, in one SQLite file of the user's: scores by content, measured rates.

Nothing in it is needed: without the file all is computed again, and forecasts begin anew.
"""

from eval.cache.file import Cache, CacheError, cache_path
from eval.cache.machine import device_name, environment
from eval.cache.scores import ScoreCache

__all__ = ["Cache", "CacheError", "ScoreCache", "cache_path", "device_name", "environment"]
