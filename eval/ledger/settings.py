"""What a run was asked for, and whether it may go on with what it is asked for now."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from eval.ledger.errors import SettingsDifferError
from mora.records import Json

HARMLESS: Final = ("device", "executor", "batch_size", "workers", "progress", "verbose")
"""Settings (or groups of settings) that no result depends on: a run may go on with others."""


def flatten(settings: Mapping[str, Json], prefix: str = "") -> dict[str, Json]:
    """Nested settings by dotted name, as JSON gives them back: `{"a.b": 1}`."""
    flat: dict[str, Json] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = json.loads(json.dumps(value))
    return flat


def compare(
    run: Path, stored: Mapping[str, Json], asked: Mapping[str, Json], harmless: Collection[str]
) -> None:
    """Compares the settings of a run with those that it is to go on with, both flat.

    Args:
        run: Folder of the run, for the error.
        stored: The run's settings.
        asked: Those of now.
        harmless: Names of settings, or of groups of them, that may differ.

    Raises:
        SettingsDifferError: A setting that matters differs; the first one by name is told.
    """
    for name in sorted(stored.keys() | asked.keys()):
        if any(name == each or name.startswith(f"{each}.") for each in harmless):
            continue
        if (name in stored, stored.get(name)) != (name in asked, asked.get(name)):
            raise SettingsDifferError(
                f"{run} was asked for with {_said(name, stored)}, now it is {_said(name, asked)}. "
                "Go on with the same settings, or name another folder for the run."
            )


def _said(name: str, settings: Mapping[str, Json]) -> str:
    return f"{name} = {json.dumps(settings[name])}" if name in settings else f"{name} not set"
