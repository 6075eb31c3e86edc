"""What is left to score, and under which fingerprints."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from eval.ledger import LedgerReader
from metrics.drift import DRIFT
from metrics.features import Choice
from metrics.metric import Metric
from metrics.networks import Networks
from metrics.protocol import Protocol
from metrics.registry import METRICS, make_metrics
from mora import __version__
from mora.media import DECODER
from mora.records import Fingerprint, Video


@dataclass(frozen=True)
class Plan:
    """What is left to score.

    Attributes:
        videos: Videos that lack a score, in the ledger's order.
        metrics: For each of them, by its id, the metrics that it lacks.
        fingerprints: Fingerprint of each metric that was asked for, by its name.
        styles: Style label of each video's prompt, by the video's id, where there is one.
        skipped: Videos that lack nothing.
    """

    videos: tuple[Video, ...]
    metrics: Mapping[str, tuple[Metric, ...]]
    fingerprints: Mapping[str, Fingerprint]
    styles: Mapping[str, str]
    skipped: int

    def without(self, known: Collection[tuple[str, str]]) -> "Plan":
        """What is left of the plan when some scores are known.

        Args:
            known: Ids of videos and names of metrics.
        """
        left = {
            id_: tuple(metric for metric in metrics if (id_, metric.name) not in known)
            for id_, metrics in self.metrics.items()
        }
        videos = tuple(video for video in self.videos if left[video.id])
        return replace(
            self,
            videos=videos,
            metrics={video.id: left[video.id] for video in videos},
            skipped=self.skipped + len(self.videos) - len(videos),
        )

    @property
    def backbones(self) -> tuple[str, ...]:
        """Networks that the plan needs, each once, sorted."""
        return _backbones(metric for each in self.metrics.values() for metric in each)

    @property
    def captioned(self) -> bool:
        """Whether the plan needs a captioner."""
        return any(_captioned(metric) for each in self.metrics.values() for metric in each)


def make_plan(
    ledger: LedgerReader,
    metrics: Sequence[Metric],
    networks: Networks,
    *,
    only: Collection[str] | None = None,
    retry_failures: bool = False,
) -> Plan:
    """Finds out what is left to score.

    Args:
        ledger: The run's.
        metrics: The metrics that are wanted.
        networks: Weights to compute features with.
        only: Ids of the videos that are wanted; `None` takes all.
        retry_failures: Whether scores that failed in an earlier session are tried again.

    Raises:
        MissingWeightsError: Weights that the metrics need are not there.
        MissingCaptionerError: A captioner that they need is not there.
    """
    networks.check(_backbones(metrics))
    if any(map(_captioned, metrics)):
        _ = networks.captions
    by_name = {metric.name: metric for metric in metrics}
    prints = {metric.name: fingerprint(metric, networks) for metric in metrics}
    videos = [video for video in ledger.videos() if only is None or video.id in only]
    pending = ledger.pending(
        [video.id for video in videos], list(prints.values()), retry_failures=retry_failures
    )
    styles = {request.id: request.prompt.tags.get("style") for request in ledger.requests()}
    return Plan(
        videos=tuple(video for video in videos if video.id in pending),
        metrics={id_: tuple(by_name[name] for name in names) for id_, names in pending.items()},
        fingerprints=prints,
        styles={id_: style for id_, style in styles.items() if isinstance(style, str)},
        skipped=len(videos) - len(pending),
    )


def left_out(videos: Iterable[Video], protocol: Protocol, networks: Networks) -> dict[str, str]:
    """Metrics that are not computed unless they are named, and why.

    They have nothing to say of any of these videos, or need prompts or a captioner where there are
    none.
    """
    videos = tuple(videos)
    made_from = {frozenset(video.companions) for video in videos}
    without_prompts = bool(videos) and all(video.text is None for video in videos)
    reasons: dict[str, str] = {}
    for metric in make_metrics(tuple(METRICS), protocol):
        missing = [metric.inapplicable(companions) for companions in made_from]
        if missing and all(missing):
            reasons[metric.name] = next(each.message for each in missing if each is not None)
        elif without_prompts and any(feature.text for feature in metric.features):
            reasons[metric.name] = f"{metric.name} needs prompts, such as prompts=FILE."
        elif not networks.can_caption and _captioned(metric):
            reasons[metric.name] = (
                f"{metric.name} needs a captioner, such as captioner=llava or captioner=openai."
            )
    return reasons


def fingerprint(metric: Metric, networks: Networks) -> Fingerprint:
    """All that a metric's numbers depend on here.

    Of precision `fast` it says how far a score was seen to drift from `exact`.
    """
    choices = {**metric.choices, **_captioner(metric, networks)}
    if networks.precision == "fast" and metric.name in DRIFT:
        choices["fast_drift"] = DRIFT[metric.name]
    return Fingerprint(
        metric=metric.name,
        protocol=metric.protocol.name,
        decoder=DECODER,
        precision=networks.precision,
        choices=choices,
        checkpoints=networks.checkpoints(_backbones([metric])),
        weights=networks.weights,
        code=__version__,
    )


def _captioner(metric: Metric, networks: Networks) -> dict[str, Choice]:
    if not _captioned(metric):
        return {}
    settings = networks.captions.captioner.settings
    return {f"captioner.{name}": value for name, value in settings.items()}


def _captioned(metric: Metric) -> bool:
    return any(feature.captioned for feature in metric.features)


def _backbones(metrics: Iterable[Metric]) -> tuple[str, ...]:
    features = {feature for metric in metrics for feature in metric.features}
    return tuple(sorted({name for feature in features for name in feature.backbones}))
