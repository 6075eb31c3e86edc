"""What a planned evaluation has to do, counted in units that time is proportional to."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from eval.plan import Plan
from metrics.backbones import musiq
from metrics.features import (
    Facts,
    Feature,
    FlowMagnitudes,
    FrameFeature,
    InterpolationErrors,
    Of,
    QualityScores,
)
from metrics.networks import Networks
from mora.records import Failure, MediaRef, Video


@dataclass(frozen=True)
class Work:
    """What is to be computed.

    Attributes:
        videos: Videos to decode.
        frames: Their frames.
        decoded: Bytes of their frames.
        largest: Bytes of the frames of the largest of them.
        weights: Bytes of the files of the networks that are needed.
        units: For each metric that has any, the units of its work, see `units`. A feature that
            several metrics need counts for the first of them, as its time does.
    """

    videos: int = 0
    frames: int = 0
    decoded: int = 0
    largest: int = 0
    weights: int = 0
    units: Mapping[str, float] = field(default_factory=dict)


def count(plan: Plan, networks: Networks) -> Work:
    """Counts what a plan has to do. Nothing is loaded or decoded."""
    readable = [(video, video.media) for video in plan.videos if video.media is not None]
    sizes = [_bytes(media) for _, media in readable]
    work: dict[str, float] = defaultdict(float)
    shared: set[tuple[str, Feature]] = set()
    for video, media in readable:
        facts = _facts(media, video)
        seen: set[Feature] = set()
        for metric in plan.metrics[video.id]:
            if metric.refusal(facts) is not None:
                continue
            for feature in metric.features:
                if feature not in seen:
                    seen.add(feature)
                    work[metric.name] += _units(feature, video, facts, shared, networks)
    files = {networks.path(name) for name in plan.backbones}
    return Work(
        videos=len(readable),
        frames=sum(media.frames for _, media in readable),
        decoded=sum(sizes),
        largest=max(sizes, default=0),
        weights=sum(path.stat().st_size for path in files),
        units={name: units for name, units in work.items() if units},
    )


def units(feature: Feature, facts: Facts, networks: Networks) -> float:
    """Work of a feature of one video, in units that its time is proportional to.

    A network that sees frames at their own size takes time by the pixel, others by the frame or
    the clip, since they see all frames at one size. Texts are embedded once for all their videos
    and facts are not computed: they are no work.

    Returns:
        Pairs of frames times millions of pixels for flow and interpolation, frames times patches
        for imaging quality, else frames, clips or captions.
    """
    if feature.captioned:
        return 1.0
    if not isinstance(feature, FrameFeature):
        return 0.0
    rows = float(len(feature.items(facts)))
    match feature:
        case FlowMagnitudes() | InterpolationErrors():
            return rows * facts.height * facts.width / 1e6
        case QualityScores():
            settings = networks.card("musiq").settings
            return rows * musiq.tokens(settings, facts.height, facts.width, feature.resize)
        case _:
            return rows


def _units(
    feature: Feature,
    video: Video,
    facts: Facts,
    shared: set[tuple[str, Feature]],
    networks: Networks,
) -> float:
    """Work of a feature of a video, or of its companion, which counts once for all its videos."""
    if not isinstance(feature, Of):
        return units(feature, facts, networks)
    companion = video.companions[feature.role]
    if isinstance(companion, Failure) or (companion.sha256, feature.feature) in shared:
        return 0.0
    shared.add((companion.sha256, feature.feature))
    return units(feature.feature, _facts(companion), networks)


def _facts(media: MediaRef, video: Video | None = None) -> Facts:
    """What is known of a video from its records, or of a companion, which has none of its own.

    Work does not depend on texts, nor time on whether a style is missing, so texts are left out
    unless there are none: a metric that refuses such a video has no work on it.
    """
    text = None if video is None else video.text
    return Facts(
        frames=media.frames,
        height=media.height,
        width=media.width,
        fps=media.fps or 1.0,
        prompt=text,
        style=text,
        companions=frozenset() if video is None else frozenset(video.companions),
        given=None if video is None else video.given,
    )


def _bytes(media: MediaRef) -> int:
    return 3 * media.frames * media.height * media.width
