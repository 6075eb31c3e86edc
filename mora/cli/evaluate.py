"""`mora evaluate`: scores, tables and a report, for runs or for folders of videos."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mora.checkpoints import mini_weights, official_weights
from mora.cli.application import Settings, run
from mora.cli.captioner import captioner_of
from mora.cli.executor import executor_of
from mora.cli.failures import tell_failures
from mora.cli.forecast import Watch, cache_of
from mora.cli.meter import Meter
from mora.cli.runs import run_folder, torch_device, whole_number
from mora.cli.table import write_tables
from mora.errors import SettingError
from mora.records import FailureKind, Score, TaskName, Video, content_hash

if TYPE_CHECKING:
    from eval.ledger import Ledger, LedgerReader
    from metrics.captioners.captioner import Captions, CaptionStore
    from metrics.networks import Networks
    from metrics.protocol import Protocol


def main(arguments: Sequence[str]) -> int:
    """Carries out `mora evaluate`."""
    return run("evaluate", arguments, evaluate, lists_of_texts=("run",))


def evaluate(settings: Settings) -> int:
    """Scores what the settings name. Returns the exit status."""
    runs, videos = settings["run"], settings["videos"]
    if videos:
        if len(runs) > 1:
            raise SettingError(
                f"run={','.join(runs)}: with videos= at most one run, where the scores go."
            )
        name = runs[0] if runs else "+".join(Path(each).resolve().name for each in videos)
        return evaluate_videos(settings, run_folder(name), [Path(each) for each in videos])
    if not runs:
        raise SettingError("expected run=NAME, or videos=DIR with prompts=FILE or prompts=none.")
    if settings["prompts"]["path"] is not None:
        raise SettingError("prompts= goes with videos=; a run has its own prompts.")
    from eval.ledger import Ledger

    statuses = []
    for name in runs:
        with Ledger.open(run_folder(name)) as ledger:
            statuses.append(evaluate_run(settings, ledger))
    return max(statuses)


def evaluate_videos(settings: Settings, folder: Path, videos: Sequence[Path]) -> int:
    """Takes folders of videos into a run, each as a model, and scores them."""
    from eval.ledger import Ledger

    with Meter() as meter:
        found, asked = read_videos(settings, folder, videos, meter)
    with Ledger.open(folder, asked) as ledger:
        gone = {video.id for video in ledger.videos()} - {video.id for video in found}
        if gone:
            raise SettingError(
                f"{folder}: {len(gone)} videos of this run are no longer in the folder. Put them "
                "back, or name another run with run=."
            )
        ledger.add_videos(found)
        return evaluate_run(settings, ledger)


def read_videos(
    settings: Settings, folder: Path, videos: Sequence[Path], meter: Meter
) -> tuple[list[Video], dict[str, Any]]:
    """Looks at folders of videos, each as a model.

    Args:
        settings: The verb's.
        folder: Folder of the run that they are for.
        videos: The folders.
        meter: Shows how far it is.

    Returns:
        The videos, and what the run is asked for.

    Raises:
        SettingError: Two folders have one name, a list of prompts is for several, or there is no
            video.
    """
    from baselines.imported import import_folder
    from prompts.manifest import load_manifest

    path = settings["prompts"]["path"]
    if path is not None and len(videos) > 1:
        raise SettingError(
            f"prompts={path}: a list of prompts is for one folder; evaluate the folders one by one."
        )
    origins = load_manifest(Path(path)) if path is not None else {}
    models = [each.resolve().name for each in videos]
    twice = sorted({model for model in models if models.count(model) > 1})
    if twice:
        raise SettingError(f"videos: {', '.join(twice)}: two folders of one name; rename one.")
    task = TaskName(settings["table"]["task"])
    asked: dict[str, Any] = {
        "videos": [str(each.resolve()) for each in videos],
        "prompts": content_hash(origins),
    }
    found: list[Video] = []
    for place, model in zip(videos, models, strict=True):
        shown = partial(meter.update, f"read {model}")
        found += import_folder(
            place.resolve(), folder, origins, model=model, task=task, report=shown
        )
    if not found:
        raise SettingError(f"videos={','.join(map(str, videos))}: there are no videos in it.")
    return found, asked


def evaluate_run(settings: Settings, ledger: "Ledger") -> int:
    """Scores a run's videos, prints the table and writes tables, scores and the report.

    Returns:
        The exit status: 1 if a video or a score failed or is missing.

    Raises:
        SettingError: A setting cannot be used, or the run has no videos.
        MissingWeightsError: Weights are not there.
        MixedFingerprintsError: Earlier scores do not compare with these.
    """
    from eval import engine
    from eval.cut_texts import find_cut_texts, warnings, write_cut_texts
    from eval.export import export
    from eval.plan import fingerprint
    from eval.rendering import render
    from eval.report.looks import Looks
    from eval.report.report import shown_videos, write_report
    from eval.tables import TableSpec, make_table
    from metrics.protocol import Protocol
    from metrics.registry import make_metrics

    if not ledger.videos():
        raise SettingError(f"{ledger.run} holds no videos yet. `mora generate` goes on with them.")
    protocol = Protocol.model_validate(settings["protocol"])
    spec = TableSpec.model_validate(settings["table"])
    networks = captioning_networks_of(settings, ledger)
    names, without = applicable_metrics(settings, ledger.videos(), protocol, networks)
    run = ledger.run
    prompts = whole_number("report", settings["report"], least=0)
    shown = shown_videos(ledger, spec.task, prompts)
    executor = executor_of(settings, Looks(run / "report").reading(shown))
    with cache_of(settings) as cache, Meter() as meter:
        watch = Watch(cache, settings, networks, executor, run)
        last = engine.evaluate(
            ledger,
            protocol,
            networks,
            metrics=names,
            executor=executor,
            retry_failures=settings["retry"],
            cache=watch.scores,
            planned=watch.begin,
            report=lambda now: meter.update(
                "score videos",
                now.done,
                now.total,
                failed=f"{now.failed} scores failed" if now.failed else "",
            ),
        )
        watch.stop()
        cut = find_cut_texts(ledger, protocol, networks)
        table = make_table([ledger], spec, protocol=protocol.name, weights=networks.weights)
        files = [("tables", write_tables(table, run / "tables"))]
        files.append(("scores", export(ledger, run / "scores")))
        files.append(("cut", write_cut_texts(cut, run / "scores", protocol.name)))
        if prompts:
            report = write_report(
                ledger,
                table,
                run / "report",
                protocol=protocol.name,
                weights=networks.weights,
                prompts=prompts,
                report=lambda done, total: meter.update("write report", done, total),
            )
            files += [("sheets", list(report.sheets)), ("page", [report.page])]
        everything = ledger.all_scores()
        watch.end(everything, last.cached)
    print(render(table, "markdown"))
    for name, paths in files:
        if paths:
            print(f"{name:8}{' '.join(map(str, paths))}")
    for line in warnings(cut):
        print(f"cut: {line}", file=sys.stderr)
    asked = {fingerprint(metric, networks).id for metric in make_metrics(names, protocol)}
    scores = [score for score in everything if score.fingerprint in asked]
    if without:
        print(f"left out: {' '.join(without.values())}")
    for told in _inapplicable(scores):
        print(f"not applicable: {told}")
    failures = _failures(ledger.videos(), scores)
    return tell_failures([*failures, *_unscored(ledger, last.unscored), *_unmade(ledger)])


def captioning_networks_of(settings: Settings, store: "CaptionStore") -> "Networks":
    """The set of weights that the settings name, with the captioner that they name.

    Args:
        settings: The verb's.
        store: Where captions are kept.

    Raises:
        SettingError: There is no such set, device or captioner.
    """
    from metrics.captioners.captioner import Captions

    device = torch_device(settings["executor"]["device"])
    captioner = captioner_of(settings["captioner"], settings["weights"], device)
    return networks_of(settings, None if captioner is None else Captions(captioner, store))


def applicable_metrics(
    settings: Settings, videos: Sequence[Video], protocol: "Protocol", networks: "Networks"
) -> tuple[list[str], dict[str, str]]:
    """Names of the metrics to compute, and why others are left out.

    Raises:
        SettingError: A name is not known or comes twice.
    """
    from eval.plan import left_out

    without = left_out(videos, protocol, networks) if settings["metrics"] is None else {}
    return [name for name in metrics_of(settings) if name not in without], without


def networks_of(settings: Settings, captions: "Captions | None" = None) -> "Networks":
    """The set of weights that the settings name, on their device.

    Args:
        settings: The verb's.
        captions: Who says what pictures and videos show.

    Raises:
        SettingError: There is no such set or device.
    """
    import torch

    from metrics.networks import Networks

    weights, folder = settings["weights"], settings["weights_folder"]
    if weights not in ("mini", "official"):
        raise SettingError(f"weights={weights}: expected mini or official.")
    usual = mini_weights if weights == "mini" else official_weights
    place = usual() if folder is None else Path(folder).expanduser()
    device = torch.device(torch_device(settings["executor"]["device"]))
    precision = settings["precision"]
    if precision not in ("exact", "fast"):
        raise SettingError(f"precision={precision}: expected exact or fast.")
    return Networks(weights, place, device, captions, precision)


def metrics_of(settings: Settings) -> tuple[str, ...]:
    """Names of the metrics that the settings ask for, all of them if they name none.

    Raises:
        SettingError: A name is not known or comes twice.
    """
    from metrics.registry import METRICS

    names = settings["metrics"]
    if names is None:
        return tuple(METRICS)
    wrong = [name for name in names if name not in METRICS or names.count(name) > 1]
    if wrong or not names:
        raise SettingError(
            f"metrics={','.join(names)}: expected each name once, of {', '.join(METRICS)}."
        )
    return tuple(names)


def _failures(videos: Sequence[Video], scores: Sequence[Score]) -> list[str]:
    """What has no result, a line each.

    Where no video has a prompt, none was given, and what compares with one was not to be had.
    """
    by_id = {video.id: video for video in videos}
    no_prompts = all(video.text is None for video in videos)
    lines = dict.fromkeys(
        f"{video.model}, {video.prompt_id}: {video.failure.message}"
        for video in videos
        if video.failure is not None
    )
    for score in scores:
        video, failure = by_id[score.video_id], score.failure
        if failure is None or not failure.counts or video.failure is not None:
            continue
        if not (no_prompts and failure.kind == FailureKind.NO_PROMPT):
            lines[f"{video.model}, {video.prompt_id}: {failure.message}"] = None
    return list(lines)


def _inapplicable(scores: Sequence[Score]) -> list[str]:
    """Metrics that were asked for and have nothing to say of some videos, a line each."""
    counts = Counter(
        score.failure.message
        for score in scores
        if score.failure is not None and not score.failure.counts
    )
    return [f"{message} ({count} videos)" for message, count in counts.items()]


def _unscored(ledger: "LedgerReader", reasons: Mapping[str, str]) -> list[str]:
    """Videos that a machine did not suffice for, a line each; no failures of the videos."""
    return [
        f"{video.model}, {video.prompt_id}: not scored on all metrics ({reasons[video.id]}). Run "
        "again; where memory ran out, with executor.batch_size=1 or on a machine with more."
        for video in ledger.videos()
        if video.id in reasons
    ]


def _unmade(ledger: "LedgerReader") -> list[str]:
    """Models whose videos were asked for and are not there, because `generate` was cut short."""
    made = {video.id for video in ledger.videos()}
    counts = Counter(request.model for request in ledger.requests() if request.id not in made)
    return [
        f"{model}: {count} videos are not made yet; `mora generate` goes on with them."
        for model, count in counts.items()
    ]
