"""`mora models`: lists, fetches and checks the published weights."""

import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from mora.checkpoints import CheckpointError, official_weights
from mora.checkpoints.checkpoint import Checkpoint, HubFile, HubRepository, WebFile
from mora.checkpoints.lock import Lock
from mora.cli.application import Settings, run
from mora.cli.checkpoints import checkpoints
from mora.cli.failures import tell_failures
from mora.errors import SettingError

if TYPE_CHECKING:
    from mora.cli.meter import Meter

ACTIONS: Final = ("list", "pull", "check")
FORMATS: Final = ("table", "json")
GROUPS: Final = ("metrics", "all")
"""Names that stand for several checkpoints."""
WIDTH: Final = 200
"""Characters of a table that goes into a file."""
MEGABYTE: Final = 10**6


def main(arguments: Sequence[str]) -> int:
    """Carries out `mora models`."""
    words = [each for each in arguments if "=" not in each and not each.startswith("-")]
    # An option's value may stand behind it as a word of its own.
    values = [
        arguments[i + 1]
        for i, each in enumerate(arguments[:-1])
        if each in ("--config-dir", "-cd", "--cfg", "-c", "--package", "-p", "--info", "-i")
    ]
    words = [word for word in words if word not in values]
    rest = [each for each in arguments if each not in words]
    if words:
        action, *names = words
        quoted = ",".join("'" + name.replace("'", "\\'") + "'" for name in names)
        rest = [f"action={action}", f"names=[{quoted}]", *rest]
    return run("models", rest, models)


def models(settings: Settings) -> int:
    """Carries out the action that the settings name. Returns the exit status."""
    action, output = settings["action"], settings["format"]
    if action not in ACTIONS:
        raise SettingError(f"action={action}: expected one of {', '.join(ACTIONS)}.")
    if output not in FORMATS:
        raise SettingError(f"format={output}: expected one of {', '.join(FORMATS)}.")
    folder = Path(settings["weights_folder"] or official_weights()).expanduser()
    if action == "pull" and not settings["names"]:
        raise SettingError(
            "pull: expected names behind it, or metrics, or all; mora models list shows them."
        )
    known = checkpoints(folder, _settings_folders())
    chosen = _chosen(known, settings["names"])
    lock = Lock(folder)
    if action == "pull":
        return _pull(chosen, lock, folder)
    if action == "check":
        return _check(chosen, lock, named=bool(settings["names"]))
    rows = [_row(each, lock) for each in chosen]
    if output == "json":
        print(json.dumps(rows, indent=1))
    else:
        _print_table(rows, folder)
    return 0


def _settings_folders() -> list[Path]:
    """The project's settings, and those of `--config-dir`."""
    from hydra.core.hydra_config import HydraConfig

    sources = HydraConfig.get().runtime.config_sources
    return [Path(each.path) for each in sources if each.schema == "file" and each.path]


def _chosen(known: Sequence[Checkpoint], names: Sequence[str]) -> list[Checkpoint]:
    """Returns the checkpoints of these names, each once and in the table's order; all for none."""
    by_name = {each.name: each for each in known}
    wrong = [name for name in names if name not in by_name and name not in GROUPS]
    if wrong:
        raise SettingError(
            f"{', '.join(wrong)}: no such checkpoint. There are: {', '.join([*by_name, *GROUPS])}."
        )
    if not names or "all" in names:
        return list(known)
    of_metrics = [each.name for each in known if not each.of_settings]
    wanted = {*names, *(of_metrics if "metrics" in names else ())}
    return [each for each in known if each.name in wanted]


def _row(checkpoint: Checkpoint, lock: Lock) -> dict[str, Any]:
    """Describes a checkpoint, and what of it is on this machine."""
    match checkpoint.origin:
        case WebFile(url=url, member=member):
            origin = {"url": url, "member": member}
        case HubFile(repository=repository, file=file, revision=revision):
            origin = {"repository": repository, "revision": revision, "file": file}
        case HubRepository(repository=repository, revision=revision, variant=variant):
            origin = {"repository": repository, "revision": revision, "variant": variant}
    entry = lock.read().get(checkpoint.name)
    here, path = _here(checkpoint, lock)
    return {
        "name": checkpoint.name,
        **origin,
        "size": checkpoint.size,
        "sha256": checkpoint.sha256,
        "recorded_sha256": entry.sha256 if entry else None,
        "licence": checkpoint.licence,
        "used_by": list(checkpoint.used_by),
        "here": here,
        "path": str(path) if path else None,
    }


def _here(checkpoint: Checkpoint, lock: Lock) -> tuple[str, Path | None]:
    """Whether a checkpoint is on this machine (`yes`, `no`, `partly`), by names and sizes alone."""
    if isinstance(checkpoint.origin, HubRepository):
        from mora.checkpoints.check import local_folder

        folder, missing = local_folder(checkpoint.origin, lock)
        return ("no" if folder is None else "partly" if missing else "yes"), folder
    path = checkpoint.path
    if path is None or not path.is_file():
        return "no", path
    whole = checkpoint.size in (None, path.stat().st_size)
    return "yes" if whole else "partly", path


def _print_table(rows: Sequence[dict[str, Any]], folder: Path) -> None:
    from huggingface_hub import constants
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD)
    for title in ("name", "published at", "size", "sha256", "licence", "used by", "here"):
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(
            row["name"],
            _published_at(row),
            _size(row["size"]),
            _digest(row),
            row["licence"] or "not stated here",
            ", ".join(row["used_by"]),
            row["here"],
        )
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    console.print(table)
    print(f"Single files lie in {folder}, repositories in {constants.HF_HUB_CACHE}.")
    print("mora models list format=json shows every digit and path.")


def _published_at(row: dict[str, Any]) -> str:
    """The publisher's host and the file's name, or the hub's id and the commit."""
    if "url" not in row:
        what = row.get("file") or row.get("variant")
        return f"hub:{row['repository']}@{row['revision'][:12]}" + (f" {what}" if what else "")
    parts = urlsplit(row["url"])
    name = PurePosixPath(parts.path).name
    return f"{parts.netloc}/…/{name}" + (f" {row['member']}" if row["member"] else "")


def _size(count: int | None) -> str:
    if count is None:
        return "stated by the hub"
    return f"{count / MEGABYTE:,.1f} MB" if count >= MEGABYTE else f"{count / 1000:,.1f} kB"


def _digest(row: dict[str, Any]) -> str:
    if row["sha256"]:
        return f"{row['sha256'][:12]}…"
    if "variant" in row:
        return "stated by the hub"
    recorded = row["recorded_sha256"]
    return "not published" + (f", recorded {recorded[:12]}…" if recorded else "")


def _pull(chosen: Sequence[Checkpoint], lock: Lock, folder: Path) -> int:
    from mora.checkpoints.download import check_room
    from mora.checkpoints.pull import pull
    from mora.cli.meter import Meter

    # Repositories look for themselves, since the hub knows their sizes.
    absent = [each for each in chosen if each.path is not None and not each.path.is_file()]
    check_room(folder, sum(each.size or 0 for each in absent), f"{len(absent)} checkpoints")
    failures = []
    with Meter() as meter:
        for each in chosen:
            try:
                _must_be_pinned(each)
                done = pull(each, lock, partial(_show, meter, each.name), _say)
            except OSError as error:  # CheckpointError, and what the system refuses
                failures.append(f"{each.name}: {error}")
                continue
            came = f"fetched {done.fetched:,} bytes" if done.fetched else "was here"
            licence = each.licence or "stated on its page of the hub"
            print(f"{each.name}: {came}; licence {licence}; {done.place}")
    return tell_failures(failures)


def _must_be_pinned(checkpoint: Checkpoint) -> None:
    """Refuses weights whose commit nobody has chosen.

    Raises:
        CheckpointError: It is so; the message says how to choose.
    """
    if not checkpoint.pinned and not isinstance(checkpoint.origin, WebFile):
        raise CheckpointError(
            f"revision: null in {', '.join(checkpoint.used_by)}: expected the 40 digits of a "
            f"commit. Choose one at https://huggingface.co/{checkpoint.origin.repository}/commits, "
            "write it into a copy of these settings in a folder of your own, and name the folder: "
            "--config-dir FOLDER."
        )


def _show(meter: "Meter", of: str, name: str, done: int, total: int) -> None:
    """Shows how far a file is, in whole megabytes."""
    meter.update(f"{of}: {name}, MB", done // MEGABYTE, max(1, total // MEGABYTE))


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _check(chosen: Sequence[Checkpoint], lock: Lock, *, named: bool) -> int:
    """Checks checkpoints; those that were not asked for by name may be absent."""
    from mora.checkpoints.check import check_repository

    failures: list[str] = []
    for each in chosen:
        if not named and _here(each, lock)[0] == "no":
            print(f"{each.name}: is not here")
            continue
        try:
            _must_be_pinned(each)
            if isinstance(each.origin, HubRepository):
                faults = list(check_repository(each.name, each.origin, lock))
                said = "all files as published, all tensors fit"
            else:
                faults, said = [], _check_file(each, lock)
        except CheckpointError as error:
            faults = [str(error)]
        failures += [f"{each.name}: {fault}" for fault in faults]
        if not faults:
            print(f"{each.name}: {said}")
    return tell_failures(failures)


def _check_file(checkpoint: Checkpoint, lock: Lock) -> str:
    """Checks one file and loads the network that it is for. Returns what was seen.

    Raises:
        CheckpointError: The file is absent or another one, or does not fit its network.
    """
    from mora.checkpoints.check import check_file

    found = check_file(checkpoint, lock)
    seen = f"{found.size:,} bytes, sha256 {found.sha256[:12]}"
    import torch

    from metrics.networks import BACKBONES
    from mora.checkpoints.tensors import WeightsError

    backbone = next((b for b in BACKBONES.values() if b.official.name == checkpoint.name), None)
    if backbone is None or checkpoint.path is None:
        return f"{seen} as expected"
    try:
        network = backbone.load(backbone.official, checkpoint.path, torch.device("cpu"))
    except WeightsError as error:
        raise CheckpointError(str(error)) from error
    return f"{seen} as expected, all {len(network.state_dict())} tensors fit"
