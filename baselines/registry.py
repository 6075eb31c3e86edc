"""The baselines by name."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import ValidationError

from baselines.pan import make_pan
from baselines.still import make_still
from mora.agents.binding import Agents, describe
from mora.errors import SettingError
from mora.generator import Generator

BASELINES: Final[Mapping[str, Callable[[str, Agents, Mapping[str, Any]], Generator]]] = {
    "still": make_still,
    "pan": make_pan,
}


def make_baseline(kind: str, name: str, agents: Agents, settings: Mapping[str, Any]) -> Generator:
    """Makes a baseline.

    Args:
        kind: Which one, a key of `BASELINES`.
        name: Its name in tables.
        agents: Mora's agents, of which it uses those up to the picture.
        settings: Its settings, as in `mora/conf/model`.

    Raises:
        SettingError: There is no such baseline, or a setting is missing, unknown or wrong.
    """
    if kind not in BASELINES:
        raise SettingError(f"model.{name}.kind={kind}: there are {', '.join(BASELINES)}.")
    try:
        return BASELINES[kind](name, agents, settings)
    except ValidationError as error:
        raise SettingError(describe(error, f"model.{name}")) from None
