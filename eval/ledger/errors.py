"""What can go wrong with a ledger."""


class LedgerError(RuntimeError):
    """The ledger cannot be opened, or cannot take what it was given."""


class LedgerBusyError(LedgerError):
    """Another process writes to the run."""


class SettingsDifferError(LedgerError):
    """The run was asked for with other settings than those it is to go on with."""
