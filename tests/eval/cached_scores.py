"""Scores that were never computed, for tests of what becomes of them."""

from types import MappingProxyType

from eval.plan import Plan
from metrics.dynamic_degree import DynamicDegree
from metrics.protocol import load_protocol
from mora.records import Fingerprint, MediaRef, Score, Video

METRIC = DynamicDegree(load_protocol("sound"))
PRINT = Fingerprint(metric=METRIC.name, protocol="sound", decoder="d", precision="float32")


def video(number: int) -> Video:
    media = MediaRef(
        sha256=f"{number:064x}", path="a.mp4", kind="video", width=64, height=64, frames=14, fps=7.0
    )
    return Video(id=f"v{number}", model="mora", media=media)


def plan(*videos: Video) -> Plan:
    return Plan(
        videos=videos,
        metrics={each.id: (METRIC,) for each in videos},
        fingerprints=MappingProxyType({METRIC.name: PRINT}),
        styles={},
        skipped=0,
    )


def score(number: int) -> Score:
    series = tuple(number / 7 + step / 3 for step in range(500))
    return Score(
        video_id=f"v{number}",
        metric=METRIC.name,
        fingerprint=PRINT.id,
        value=number / 3,
        per_frame=series,
        seconds=1.5,
    )
