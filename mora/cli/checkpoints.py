"""The table of checkpoints, made from what uses them: metrics' cards and agents' settings.

No network library is loaded for it.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from metrics.backbones import card, published
from mora.checkpoints.checkpoint import UNPINNED, Checkpoint, HubFile, HubRepository, WebFile

Origin = HubFile | HubRepository

HUB: Final = "hub:"
"""What settings put before the name of a repository on the hub."""


def checkpoints(weights_folder: Path, settings: Sequence[Path]) -> list[Checkpoint]:
    """Lists all published weights that metrics and agents use.

    Args:
        weights_folder: Where the metrics' official weights lie.
        settings: Folders of settings, such as `mora/conf`, whose files name agents' weights.

    Returns:
        Metrics' files, then repositories of the hub, and single files there. Names are unique.
    """
    listed = [_of_metric(each, weights_folder) for each in published.PUBLISHED]
    users: dict[Origin, list[str]] = {}
    names: dict[Origin, str] = {}
    licences: dict[Origin, str] = {}
    for path, used_by, entry in _on_the_hub(settings):
        origin = _origin(path, used_by, entry)
        users.setdefault(origin, []).append(used_by)
        names.setdefault(origin, str(entry.get("name") or origin.repository))
        if entry.get("licence"):
            licences.setdefault(origin, str(entry["licence"]))
    pinned = {origin.repository for origin in names if origin.revision != UNPINNED}
    for origin in [each for each in names if each.revision == UNPINNED]:
        if origin.repository in pinned:  # settings of the user's own have chosen the commit
            del names[origin]
    taken = [each.name for each in listed] + list(names.values())
    for origin, name in names.items():
        unique = name if taken.count(name) == 1 else f"{origin.repository}@{origin.revision[:12]}"
        listed.append(
            Checkpoint(
                unique,
                origin,
                licences.get(origin),
                tuple(dict.fromkeys(users[origin])),
                path=origin.place(weights_folder) if isinstance(origin, HubFile) else None,
                of_settings=True,
            )
        )
    return listed


def _of_metric(facts: card.Published, folder: Path) -> Checkpoint:
    origin: WebFile | HubFile
    match facts.origin:
        case card.Address(url=url, member=member):
            origin = WebFile(url, member)
        case card.HubFile(repository=repository, file=file, revision=revision):
            origin = HubFile(repository, file, revision)
    return Checkpoint(
        facts.name,
        origin,
        facts.licence,
        facts.used_by,
        path=facts.path(folder),
        size=facts.size,
        sha256=facts.sha256,
        shipped=facts.packaged is not None,
    )


def _on_the_hub(settings: Sequence[Path]) -> Iterator[tuple[Path, str, Mapping[str, Any]]]:
    """Yields every entry of the settings that names weights on the hub, and who uses it."""
    for folder in settings:
        for path in sorted(folder.rglob("*.yaml")):
            group = path.relative_to(folder).with_suffix("")
            used_by = (
                f"{'.'.join(group.parent.parts)}={group.name}" if group.parent.name else group.name
            )
            for place, entry in _entries(yaml.safe_load(path.read_text(encoding="utf-8"))):
                yield path, " ".join([used_by, *place]), entry


def _entries(
    node: object, place: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    if isinstance(node, Mapping):
        weights = node.get("weights")
        if isinstance(weights, str) and weights.startswith(HUB):
            yield place, node
        for name, value in node.items():
            yield from _entries(value, (*place, str(name)))
    elif isinstance(node, list):
        for value in node:
            yield from _entries(value, place)


def _origin(path: Path, used_by: str, entry: Mapping[str, Any]) -> Origin:
    """What an entry stands for: one file if it names a `file`, else what libraries load."""
    from mora.errors import SettingError

    repository = str(entry["weights"]).removeprefix(HUB)
    if "revision" not in entry:
        raise SettingError(
            f"{path}: {used_by}: {entry['weights']} needs revision:, the 40 digits of a commit on "
            "the hub, or null for the user to choose."
        )
    revision = UNPINNED if entry["revision"] is None else str(entry["revision"])
    if entry.get("file"):
        return HubFile(repository, str(entry["file"]), revision)
    load = entry.get("load") or {}
    without = {name for name, value in load.items() if value is None}
    without |= {*(entry.get("without") or ()), *(entry.get("shares") or ())}
    if entry.get("safety_checker") is False:
        without.add("safety_checker")
    return HubRepository(repository, revision, entry.get("variant"), tuple(sorted(without)))
