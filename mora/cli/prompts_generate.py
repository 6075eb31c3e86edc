"""`mora prompts generate`: has a language model write a prompt set."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from filelock import FileLock, Timeout
from pydantic import ValidationError

from mora.agents.binding import describe
from mora.cli.application import Settings, run
from mora.cli.failures import tell_failures
from mora.cli.meter import Meter
from mora.cli.runs import torch_device
from mora.errors import SettingError
from mora.language.archive import Archive
from mora.language.opening import identity, opened, purse_of
from mora.language.settings import LanguageSettings
from mora.media.atomic import writing
from mora.records import INPUT_ROLES, Prompt
from prompts.asking import VERSION
from prompts.generate import Embed, Made, Order, Progress, generate
from prompts.load import load, locate
from prompts.save import save

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EXAMPLES: Final = Path(__file__).resolve().parents[2] / "prompts" / "examples"
"""The examples that come with the project, a file for each task."""
SETS: Final = Path("results") / "prompts"
"""Folder of the sets, below the current one."""
EMBEDDERS: Final = ("none", "minilm")
GROWING: Final = ("count", "rounds")
"""What may differ when an order is carried on: the set becomes longer, or is tried longer."""


def main(arguments: Sequence[str]) -> int:
    """Carries out `mora prompts generate`."""
    # The model's settings are those of the group `language`, which agents use, too; and `task`
    # alone would be the group of the tasks' own settings, which no prompt depends on.
    written = {"model": "language@model", "task": "task_name"}
    chosen = [
        re.sub(r"^(model|task)=", lambda name: f"{written[name[1]]}=", each) for each in arguments
    ]
    return run("prompts_generate", chosen, generate_set, lists_of_texts=("unlike",))


def generate_set(settings: Settings) -> int:
    """Writes the set and says what came of it. Returns the exit status."""
    order = _order(settings)
    model = _validated(LanguageSettings, settings["model"], "model")
    path = Path(settings["out"] or SETS / f"{order.name}.jsonl").expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path.with_name(f".{path.name}.writing.lock"), timeout=0):
            return _generate(settings, order, model, path)
    except Timeout:
        raise SettingError(
            f"out={path}: another session is writing this set; wait for it, or name another out=."
        ) from None


def _generate(settings: Settings, order: Order, model: LanguageSettings, path: Path) -> int:
    """Writes the set, which no other session does at the same time."""
    facts = path.with_suffix(".made.json")
    asked = {
        "order": order.model_dump(mode="json"),
        "words": VERSION,
        "model": {"name": model.name, "max_tokens": model.max_tokens, **identity(model)},
    }
    _refuse_another(facts, asked, path)
    here = model.local is not None or settings["embedder"] != "none"
    device = torch_device(settings["device"]) if here else "cpu"
    examples, sources = _examples(settings, order), _sources(settings, order)
    unlike = [each for name in settings["unlike"] for each in load(locate(name))]
    embed = _embedder(settings, device)
    archive = Archive(_archive_path(model, path))
    purse = purse_of(model, archive)
    with (
        Meter() as meter,
        opened(model, device, archive, purse=purse, repeat_failures=True) as writer,
    ):
        _write(facts, asked)  # from here on the set is this order's, also if the session is killed
        prompts, made = generate(
            order,
            writer,
            max_tokens=model.max_tokens,
            concurrency=model.concurrency,
            examples=examples,
            sources=sources,
            unlike=unlike,
            embed=embed,
            report=lambda progress: _show(meter, progress),
            save=lambda prompts: _keep(prompts, path),
        )
        spent = {
            "requests_sent": writer.asked,
            "found_in_the_archive": writer.found,
            "tokens": archive.spent.tokens,
            "cost": archive.spent.cost,
            "estimated": archive.spent.estimated,
        }
    _keep(prompts, path)
    _write(facts, {**asked, "made": made.model_dump(mode="json"), "spent": spent})
    return _tell(made, spent, path, archive.path)


def _order(settings: Settings) -> Order:
    names = {
        "count": "n",
        "task": "task_name",
        **{each: each for each in Order.model_fields if each not in ("count", "task")},
    }
    try:
        return Order.model_validate({field: settings[name] for field, name in names.items()})
    except ValidationError as error:
        field = str(error.errors()[0]["loc"][0])
        told = describe(error, "").removeprefix(f".{field}")
        raise SettingError(f"{names[field].removesuffix('_name')}{told}") from None


def _validated(kind: type[LanguageSettings], settings: Any, prefix: str) -> LanguageSettings:
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        raise SettingError(describe(error, prefix)) from None


def _refuse_another(facts: Path, asked: dict[str, Any], path: Path) -> None:
    """A set that was asked for in another way is not written over."""
    if not facts.is_file():
        if path.is_file():
            raise SettingError(
                f"out={path}: there is a prompt set that this command did not write; name another "
                "out=, or move it away."
            )
        return
    before = json.loads(facts.read_text(encoding="utf-8"))
    orders = [dict(each["order"]) for each in (before, asked)]
    differing = [
        name for name in orders[1] if name not in GROWING and orders[0].get(name) != orders[1][name]
    ]
    differing += [name for name in ("words", "model") if before.get(name) != asked[name]]
    if orders[0]["count"] > orders[1]["count"]:
        differing.append("count")
    if differing:
        raise SettingError(
            f"out={path}: this set was asked for with another {', '.join(differing)}; name another "
            "out= or name=, or remove the set and the files beside it."
        )


def _write(facts: Path, told: Mapping[str, Any]) -> None:
    """Writes what was ordered, and at the end what came of it."""
    with writing(facts) as temporary:
        temporary.write_text(f"{json.dumps(told, indent=1, ensure_ascii=False)}\n", "utf-8")


def _archive_path(model: LanguageSettings, path: Path) -> Path:
    """Requests and answers lie beside the set, unless the settings name a file."""
    if model.archive != "auto":
        return Path(model.archive).expanduser()
    return path.with_suffix(".exchanges.jsonl")


def _examples(settings: Settings, order: Order) -> tuple[Prompt, ...]:
    if order.mode == "zero_shot":
        return ()
    named = settings["examples_file"]
    path = EXAMPLES / f"{order.task.value}.jsonl" if named is None else locate(named)
    found = load(path, order.task)
    if len(found) < order.examples:
        raise SettingError(
            f"examples={order.examples}: {path} has {len(found)}; ask for fewer, or name another "
            "examples_file."
        )
    untagged = [each.id for each in found if order.tags and not _is_tagged(each)]
    if untagged:
        raise SettingError(
            f"{path}: {untagged[0]} lacks one of the tags subjects, style, motion, moving_objects, "
            "which examples show; add them, or say tags=false."
        )
    return found


def _is_tagged(prompt: Prompt) -> bool:
    return {"subjects", "style", "motion", "moving_objects"} <= prompt.tags.keys()


def _sources(settings: Settings, order: Order) -> tuple[Prompt, ...]:
    """Prompts of what the task starts from."""
    needed = len(INPUT_ROLES.get(order.task, ()))
    if not needed:
        return ()
    found = load(locate(settings["of"]))
    if len(found) < needed:
        raise SettingError(
            f"of={settings['of']}: {order.task.value} needs at least {needed} prompts."
        )
    return found


def _embedder(settings: Settings, device: str) -> Embed | None:
    """Loads what embeds texts, if it is asked for.

    Raises:
        SettingError: There is no such embedder.
        WeightsError: Its weights are not there.
    """
    name = settings["embedder"]
    if name not in EMBEDDERS:
        raise SettingError(f"embedder={name}: expected one of {', '.join(EMBEDDERS)}.")
    if name == "none":
        return None
    import torch

    from metrics.backbones import bert, published
    from mora.checkpoints import official_weights

    folder = Path(settings["weights_folder"] or official_weights()).expanduser()
    card = bert.OFFICIAL
    network = bert.load(card, published.MINILM.path(folder), torch.device(device))
    cutter = bert.tokenizer(card.settings, published.MINILM_TOKENIZER.path(folder))

    def embed(texts: Sequence[str]) -> "NDArray[np.float32]":
        tokens = bert.tokenize(cutter, texts)
        moved = bert.Tokens(tokens.ids.to(device), tokens.mask.to(device))
        return bert.sentence_features(network, moved, "mean").cpu().numpy()

    return embed


def _keep(prompts: Sequence[Prompt], path: Path) -> None:
    if prompts:
        save(prompts, path)


def _show(meter: Meter, now: Progress) -> None:
    left_out = sum(now.faults.values())
    meter.update(
        f"prompts, round {now.round}",
        now.done,
        now.total,
        failed=f"{left_out} left out" if left_out else "",
    )


def _tell(made: Made, spent: dict[str, Any], path: Path, archive: Path) -> int:
    """Says what came of the order. Returns the exit status."""
    print(f"{made.made} of {made.asked} prompts in {path}")
    if made.faults:
        faults = ", ".join(f"{name} {count}" for name, count in made.faults.items())
        print(f"left out on the way: {faults}")
    cost = "" if spent["cost"] is None else f", {spent['cost']:.4f} in all"
    found = f"{spent['found_in_the_archive']} of them from {archive}"
    print(
        f"{made.requests} requests in {made.rounds} rounds, {found}; "
        f"{spent['tokens']:,} tokens{cost}"
    )
    if made.structures.get("words") and not made.structures.get("schema"):
        print("answers were asked for as JSON in words: nothing held the model to the schema")
    if made.stopped is not None:
        print(f"stopped: {made.stopped}")
    return tell_failures([f"prompt {number}: {told}" for number, told in made.missing.items()])
