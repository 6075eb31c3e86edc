"""The ledger of a run: one SQLite file that says what was asked, made and scored.

One process writes (`Ledger`), any number read while it does (`LedgerReader`). Each call that writes
is one transaction, so whatever a killed run left is a consistent prefix of what it would have
written, and the same command run again goes on from there. No time of day is stored: two runs that
asked for the same things and got the same numbers hold the same rows.
"""

from eval.ledger.errors import LedgerBusyError, LedgerError, SettingsDifferError
from eval.ledger.reading import LedgerReader
from eval.ledger.schema import APPLICATION_ID, FILE_NAME, SCHEMA_VERSION
from eval.ledger.settings import HARMLESS, flatten
from eval.ledger.writing import LOCK_NAME, Ledger

__all__ = [
    "APPLICATION_ID",
    "FILE_NAME",
    "HARMLESS",
    "LOCK_NAME",
    "SCHEMA_VERSION",
    "Ledger",
    "LedgerBusyError",
    "LedgerError",
    "LedgerReader",
    "SettingsDifferError",
    "flatten",
]
