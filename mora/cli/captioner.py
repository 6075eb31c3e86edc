"""Makes the captioner that the settings name: the group `captioner`."""

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from mora.agents.binding import describe
from mora.checkpoints import folder_sha256
from mora.errors import SettingError

if TYPE_CHECKING:
    from metrics.captioners.captioner import Captioner

KINDS: Final = ("auto", "none", "world", "endpoint", "transformers")


def captioner_of(settings: Mapping[str, Any], weights: str, device: str) -> "Captioner | None":
    """The captioner of the group's settings.

    Args:
        settings: The group `captioner`: its kind, and the kind's own settings.
        weights: Set of the metrics' weights; `auto` takes the miniature world's reader for the
            miniature ones, and nobody for the official ones.
        device: Torch device of a model that runs here.

    Returns:
        `None` where there is to be none. Nothing is loaded before the first caption.

    Raises:
        SettingError: A setting is missing, unknown or wrong, or a key is not in the environment.
        CheckpointError: The folder of a model is missing.
    """
    chosen = dict(settings)
    kind = chosen.pop("kind")
    if kind not in KINDS:
        raise SettingError(f"captioner.kind={kind}: expected one of {', '.join(KINDS)}.")
    try:
        if kind == "endpoint":
            return _endpoint(chosen)
        if kind == "transformers":
            return _transformers(chosen, device)
    except ValidationError as error:
        raise SettingError(describe(error, "captioner")) from None
    if kind == "world" or (kind == "auto" and weights == "mini"):
        return _world(asked=kind == "world")
    return None


def _world(*, asked: bool) -> "Captioner | None":
    # The reader measures with scipy, which only the extra `lab` brings.
    if find_spec("scipy") is None:
        if not asked:
            return None
        raise SettingError(
            "captioner=world: the miniature world's reader needs scipy; install mora-bench[lab]."
        )
    from lab.world.reader import WorldReader

    return WorldReader()


def _endpoint(chosen: dict[str, Any]) -> "Captioner":
    from metrics.captioners.endpoint import EndpointCaptioner, EndpointSettings

    variable = chosen.pop("key_variable")
    key = None if variable is None else os.environ.get(variable)
    if variable is not None and not key:
        raise SettingError(
            f"captioner.key_variable={variable}: this environment variable is not set. Put the "
            "key into it, or say captioner.key_variable=null for a server without keys."
        )
    return EndpointCaptioner(EndpointSettings.model_validate(chosen), key)


def _transformers(chosen: dict[str, Any], device: str) -> "Captioner":
    from metrics.captioners.vision_language import VisionLanguageCaptioner, VisionLanguageSettings

    weights, revision = str(chosen.pop("weights")), chosen.pop("revision")
    if weights.startswith("hub:"):
        if revision is None:
            raise SettingError(
                f"captioner.revision=null: {weights} needs the commit that it is pinned to."
            )
        place = {"source": weights.removeprefix("hub:"), "revision": revision, "version": revision}
    else:
        folder = Path(weights).expanduser()
        place = {"source": str(folder), "revision": None, "version": folder_sha256(folder)}
    asked = VisionLanguageSettings.model_validate({**chosen, **place})
    return VisionLanguageCaptioner(asked, device)
