"""Short clips as videos of a run, and what the engine scores them with."""

import shutil
from pathlib import Path

from eval import engine
from eval.decode import Seen
from eval.ledger import Ledger
from eval.plan import Plan
from eval.scoring import Scored, Scorer
from metrics.networks import Networks
from metrics.protocol import load_protocol
from metrics.registry import METRICS
from mora.media import ref
from mora.records import Score, Video

SOUND = load_protocol("sound")
APPLICABLE = [name for name in METRICS if name not in ("video_ti", "tcon", "tmean")]
"""Those that have something to say of a video that was made from text alone."""


def video(path: Path, text: str | None = "a red circle", id_: str | None = None) -> Video:
    return Video(id=id_ or path.stem, model="mora", text=text, media=ref(path, path.parent))


def copies(clips: Path, run: Path) -> list[Video]:
    """The clips as videos of a run, which lie in its folder."""
    shutil.copytree(clips, run, dirs_exist_ok=True)
    return [video(run / f"{number}.mp4", f"a circle, take {number}") for number in range(3)]


def score(
    run: Path, videos: list[Video], networks: Networks, **settings: object
) -> dict[tuple[str, str], Score]:
    """Scores videos in a new run; gives scores by video and metric, times left out."""
    with Ledger.open(run, {}) as ledger:
        ledger.add_videos(videos)
        engine.evaluate(ledger, SOUND, networks, **settings)
        return timeless(ledger)


def timeless(ledger: Ledger) -> dict[tuple[str, str], Score]:
    return {
        (each.video_id, each.metric): each.model_copy(update={"seconds": 0.0})
        for each in ledger.all_scores()
    }


def alone(video: Video, seen: Seen, work: Plan, networks: Networks) -> Scored:
    """Scores one video, which shares its forwards with none."""
    [found] = Scorer(work, networks, Path()).score([(video, seen)])
    return found
