"""`mora compare`: the regression gate."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mora.cli.application import Settings, run
from mora.cli.runs import run_folder, whole_number
from mora.errors import SettingError
from mora.records import TaskName

if TYPE_CHECKING:
    from eval.compare.comparison import Comparison

WORDS: Final = ("base", "candidate")
"""Settings that may be given as plain words, in this order."""

FAILED: Final = 1


def main(arguments: Sequence[str]) -> int:
    """Carries out `mora compare`."""
    words = [each for each in arguments if "=" not in each and not each.startswith("-")]
    if len(words) > len(WORDS):
        print(
            f"mora compare: {words[len(WORDS)]}: expected two runs, BASE and CANDIDATE, then "
            "name=value.",
            file=sys.stderr,
        )
        return 2
    prepared = [_text(name, word) for name, word in zip(WORDS, words, strict=False)]
    for argument in arguments:
        name, _, value = argument.partition("=")
        if argument in words:
            continue
        if name in (*WORDS, "base_model", "candidate_model") and value not in ("", "null"):
            prepared.append(_text(name, value))
        elif name == "allow" and value[:1] not in ("", "["):
            prepared.append(f"allow=[{value}]")
        else:
            prepared.append(argument)
    return run("compare", prepared, compare)


def compare(settings: Settings) -> int:
    """Compares two runs and says whether the gate is passed. Returns the exit status."""
    from eval.compare.rendering import SUFFIXES, render

    form = settings["format"]
    if form not in SUFFIXES:
        raise SettingError(f"format={form}: expected one of {', '.join(SUFFIXES)}.")
    made = make_comparison(settings)
    if settings["out"] is not None:
        folder = Path(settings["out"]).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        for each, suffix in SUFFIXES.items():
            (folder / f"compare{suffix}").write_text(render(made, each), encoding="utf-8")
    print(render(made, form), end="")
    return 0 if made.passed else FAILED


def make_comparison(settings: Settings) -> "Comparison":
    """Compares the runs that the settings name.

    Raises:
        SettingError: A setting is wrong, or the runs cannot be compared.
        LedgerError: A run's ledger cannot be read.
    """
    from eval.compare.comparison import Comparison, contender
    from eval.compare.pairs import ALLOWED, find_side, pair
    from eval.compare.rules import read_rules
    from eval.compare.verdict import Test, judge
    from eval.ledger import Ledger

    for name in WORDS:
        if not settings[name]:
            raise SettingError("expected two runs: mora compare BASE CANDIDATE.")
    strange = [each for each in settings["allow"] if each not in ALLOWED]
    if strange:
        raise SettingError(f"allow={strange[0]}: expected any of {', '.join(ALLOWED)}.")
    undecided = settings["undecided"]
    if undecided not in ("pass", "fail"):
        raise SettingError(f"undecided={undecided}: expected pass or fail.")
    test = Test(alpha=_chance(settings, "alpha", 0.5), power=_chance(settings, "power", 1.0))
    rules = read_rules(settings["rules"])
    losses = whole_number("losses", settings["losses"], least=0)
    with ExitStack() as stack:
        sides = [
            find_side(
                stack.enter_context(Ledger.read(run_folder(settings[name]))),
                settings[f"{name}_model"],
                f"{name}_model",
            )
            for name in WORDS
        ]
        paired = pair(
            *sides,
            metrics=settings["metrics"],
            task=_task(settings["task"]),
            protocol=_protocol(settings),
            weights=settings["weights"],
            allow=settings["allow"],
        )
        base, candidate = map(contender, sides, paired.videos)
    return Comparison(
        base=base,
        candidate=candidate,
        paired=paired,
        findings=tuple(judge(paired.metrics, rules, test, most=losses)),
        test=test,
        undecided=undecided,
    )


def _text(name: str, value: str) -> str:
    """A setting whose value is a text, in Hydra's grammar."""
    if value[0] in "'\"":
        return f"{name}={value}"
    escaped = value.replace("'", "\\'")
    return f"{name}='{escaped}'"


def _chance(settings: Settings, name: str, below: float) -> float:
    value = settings[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < below:
        raise SettingError(f"{name}={value}: expected a number between 0 and {below:g}.")
    return float(value)


def _task(name: str | None) -> TaskName | None:
    if name is None:
        return None
    if name not in list(TaskName):
        raise SettingError(f"task={name}: expected one of {', '.join(TaskName)}.")
    return TaskName(name)


def _protocol(settings: Settings) -> str | None:
    protocol: Mapping[str, Any] | None = settings.get("protocol")
    return None if protocol is None else str(protocol["name"])
