"""`mora validate`: the metrics' own exam."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mora.cli.application import Settings, run
from mora.cli.evaluate import metrics_of, networks_of
from mora.cli.executor import executor_of
from mora.cli.failures import tell_failures
from mora.cli.meter import Meter
from mora.errors import SettingError
from mora.records import content_hash

if TYPE_CHECKING:
    from eval.engine import Progress
    from eval.validate.damages import Damage
    from eval.validate.specimen import Specimen
    from metrics.metric import Metric
    from metrics.protocol import Protocol


def main(arguments: Sequence[str]) -> int:
    """Carries out `mora validate`."""
    return run("validate", arguments, validate)


def validate(settings: Settings) -> int:
    """Damages clips, scores them and tells what each metric saw. Returns the exit status."""
    from eval import engine
    from eval.ledger import Ledger
    from eval.validate.findings import find
    from eval.validate.outcome import write_outcome
    from eval.validate.tables import matrix
    from eval.validate.trial import plan_trial
    from metrics.protocol import Protocol
    from mora.media import DECODER

    protocol = Protocol.model_validate(settings["protocol"])
    networks = networks_of(settings)
    folder = Path(settings["out"]).expanduser()
    with Meter() as meter:
        specimens = _specimens(settings, folder, meter)
    metrics, unread = _metrics(settings, protocol, specimens)
    damages, undone = _damages(settings, specimens, metrics)
    networks.check({name for each in metrics for f in each.features for name in f.backbones})
    trial = plan_trial(specimens, damages, settings["seed"])
    asked = {
        "clips": len(specimens),
        "damages": [damage.name for damage in damages],
        "decoder": DECODER,
        "seed": settings["seed"],
        "source": _source(settings),
        "trial": content_hash(sorted(trial.cases)),
    }
    with Ledger.open(folder, asked) as ledger, Meter() as meter:
        trial.record(ledger)
        lacks: dict[str, str] = {}
        for names, ids in trial.stages(metrics).items():
            last = engine.evaluate(
                ledger,
                protocol,
                networks,
                metrics=names,
                only=ids,
                executor=executor_of(settings, trial.read),
                retry_failures=settings["retry"],
                report=partial(_show, meter, f"score {len(names)} metrics of clips"),
            )
            lacks |= last.unscored
        results = find(
            ledger,
            trial,
            metrics,
            networks,
            source=_source(settings),
            seed=settings["seed"],
            notes=[*unread, *undone],
        )
    files = write_outcome(results, trial, folder)
    print(matrix(results))
    for name, path in files.items():
        print(f"{name:8}{path}")
    failures = [f"{told} ({count} clips)" for told, count in results.failures.items()]
    if lacks:
        reason = next(iter(lacks.values()))
        failures.append(f"not scored on all metrics ({len(lacks)} clips): {reason}")
    return tell_failures(failures)


def _show(meter: Meter, work: str, now: "Progress") -> None:
    failed = f"{now.failed} scores failed" if now.failed else ""
    meter.update(work, now.done, now.total, failed=failed)


def _source(settings: Settings) -> str:
    folders = [str(Path(each).resolve()) for each in settings["videos"]]
    return ",".join(folders) or "miniature world"


def _specimens(settings: Settings, folder: Path, meter: Meter) -> "list[Specimen]":
    """The clips that the settings name."""
    from eval.validate.folder import specimens_of
    from eval.validate.trial import FEWEST
    from lab.specimens import specimens
    from prompts.manifest import load_manifest

    count, seed = settings["clips"], settings["seed"]
    if not isinstance(count, int) or count < FEWEST:
        raise SettingError(
            f"clips={count}: expected at least {FEWEST}, since an interval over fewer says nothing."
        )
    if not isinstance(seed, int) or seed < 0:
        raise SettingError(f"seed={seed}: expected a whole number from 0.")
    videos, path = settings["videos"], settings["prompts"]["path"]
    if len(videos) > 1:
        raise SettingError(f"videos={','.join(videos)}: expected one folder.")
    if not videos and path is not None:
        raise SettingError("prompts= goes with videos=; the miniature world has its own captions.")
    if not videos:
        return specimens(count, seed)
    origins = load_manifest(Path(path)) if path is not None else {}
    prompts = {file: origin.prompt for file, origin in origins.items()}
    shown = partial(meter.update, "look at clips")
    return specimens_of(Path(videos[0]), folder, prompts, count, shown)


def _damages(
    settings: Settings, specimens: "Sequence[Specimen]", metrics: "Sequence[Metric]"
) -> "tuple[Sequence[Damage], list[str]]":
    """The damages that were asked for, or all that can be done, and a note of the others."""
    from eval.validate.damages import DAMAGES
    from eval.validate.trial import applicable

    names = settings["damages"]
    if names is None:
        seen = [each for each in DAMAGES.values() if any(map(each.touches, metrics))]
        chosen = applicable(specimens, seen)
        undone = [damage.title for damage in seen if damage not in chosen]
        told = f"Not done, since these clips do not allow it: {', '.join(undone)}."
        return chosen, [told] if undone else []
    wrong = [name for name in names if name not in DAMAGES or names.count(name) > 1]
    if wrong or not names:
        raise SettingError(
            f"damages={','.join(names)}: expected each name once, of {', '.join(DAMAGES)}."
        )
    chosen = [damage for name, damage in DAMAGES.items() if name in names]
    unseen = [damage.name for damage in chosen if not any(map(damage.touches, metrics))]
    if unseen:
        raise SettingError(
            f"damages={','.join(unseen)}: none of the metrics reads what they change; leave them "
            "out, or add a metric that reads prompts."
        )
    return chosen, []


def _metrics(
    settings: Settings, protocol: "Protocol", specimens: "Sequence[Specimen]"
) -> "tuple[list[Metric], list[str]]":
    """The metrics that were asked for, or all that can be computed, and a note of the others."""
    from metrics.registry import make_metrics

    metrics = make_metrics(metrics_of(settings), protocol)
    wordings = [specimen.wording for specimen in specimens]
    known = {
        "prompt": any(wording is not None for wording in wordings),
        "style": any(wording is not None and wording.style is not None for wording in wordings),
    }

    def lack(metric: "Metric") -> str | None:
        """What the metric needs and these clips do not have."""
        inapplicable = metric.inapplicable(())
        if inapplicable is not None:
            return inapplicable.message
        texts = {each.text for each in metric.features if each.text is not None}
        absent = [text for text in ("prompt", "style") if text in texts and not known[text]]
        return (
            f"{metric.name} needs each clip's {absent[0]}, and none is known." if absent else None
        )

    lacks = {metric.name: told for metric in metrics if (told := lack(metric)) is not None}
    if settings["metrics"] is not None and lacks:
        raise SettingError(f"metrics={','.join(lacks)}: {' '.join(lacks.values())}")
    looking = [metric for metric in metrics if any(each.backbones for each in metric.features)]
    chosen = looking if settings["metrics"] is None else metrics
    notes = [f"Not examined: {told}" for name, told in lacks.items()]
    return [metric for metric in chosen if metric.name not in lacks], notes
