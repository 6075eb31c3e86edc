"""Makes a language model ready: from its settings, with its archive and its budget."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import JsonValue

from mora.errors import SettingError
from mora.language.archive import Archive, Archived
from mora.language.purse import Purse
from mora.language.settings import EndpointSettings, LanguageSettings
from mora.records import content_hash


def identity(settings: LanguageSettings) -> Mapping[str, JsonValue]:
    """All that a model's answers depend on besides what it is asked, without loading it.

    Raises:
        CheckpointError: Local weights are missing.
    """
    if settings.local is not None:
        from mora.language.local import local_identity

        return local_identity(settings)
    from mora.language.endpoint import endpoint_identity

    return endpoint_identity(settings)


@contextmanager
def opened(
    settings: LanguageSettings,
    device: str,
    archive: Archive,
    *,
    purse: Purse,
    repeat_failures: bool,
) -> Iterator[Archived]:
    """Makes a model ready to answer, and releases it at the end.

    Args:
        settings: The model and how it answers.
        device: Torch device of a model that runs here.
        archive: Where its answers are kept.
        purse: What may be spent.
        repeat_failures: See `Archived`.

    Raises:
        SettingError: A setting is wrong, or the key is not in the environment.
        CheckpointError: Weights are missing or cannot be loaded.
    """
    if settings.endpoint is not None:
        from mora.language.endpoint import EndpointModel

        with EndpointModel.opened(settings, key_of(settings.endpoint), purse) as endpoint:
            yield Archived(endpoint, archive, repeat_failures=repeat_failures)
    else:
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        from mora.language.local import LocalModel

        with LocalModel.opened(settings, device, purse) as local:
            yield Archived(local, archive, repeat_failures=repeat_failures)


def purse_of(settings: LanguageSettings, archive: Archive | None = None) -> Purse:
    """The budget of the settings; what an archive's exchanges took is spent of it already."""
    prices = None if settings.endpoint is None else settings.endpoint.prices
    if archive is None:
        return Purse(settings.budget, prices)
    return Purse(settings.budget, prices, archive.spent)


def key_of(settings: EndpointSettings) -> str | None:
    """Reads a server's key from the environment, where alone it may be.

    Raises:
        SettingError: The variable that the settings name is not set.
    """
    if settings.key_variable is None:
        return None
    key = os.environ.get(settings.key_variable, "").strip()
    if not key:
        raise SettingError(
            f"key_variable={settings.key_variable}: this environment variable is not set. Put the "
            "server's key into it, or say key_variable=null for a server without keys."
        )
    return key


def archive_path(settings: LanguageSettings) -> Path:
    """Where the settings keep answers: the file they name, or one of the user's own cache."""
    if settings.archive != "auto":
        return Path(settings.archive).expanduser()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return cache / "mora" / "language" / f"{content_hash(dict(identity(settings)))[:16]}.jsonl"
