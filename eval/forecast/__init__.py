"""Forecasts of an evaluation's time, memory and disk, from what earlier ones took on this machine.

Nothing is guessed: what was never measured has no forecast, and each forecast comes with how far
earlier ones were off.
"""

from eval.forecast.forecast import Estimate, Forecast, Outcome, forecast, learn
from eval.forecast.rates import Rates, place
from eval.forecast.session import Session
from eval.forecast.work import Work, count

__all__ = [
    "Estimate",
    "Forecast",
    "Outcome",
    "Rates",
    "Session",
    "Work",
    "count",
    "forecast",
    "learn",
    "place",
]
