"""Errors that the person at the keyboard can put right."""


class SettingError(ValueError):
    """A setting has a value that cannot be used; the message names it and says what can."""
