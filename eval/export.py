"""A run's scores as files for other programs: CSV, Parquet, and the fingerprints as JSON.

Values have all their digits. Times of computing stay in the ledger, so that equal runs give equal
files.
"""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from eval.ledger import LedgerReader
from mora.records import Fingerprint, Video

Format = Literal["csv", "parquet"]


def export(
    ledger: LedgerReader, folder: Path, formats: Sequence[Format] = ("csv", "parquet")
) -> list[Path]:
    """Writes a run's scores to a folder.

    - `scores.*`: one row for each video and metric, with the fingerprint's id, and kind and
      message of a failure;
    - `videos.*`: one row for each video, scored or not, with two columns for each metric: its
      value and the kind of its failure. A metric that was scored under several fingerprints has
      them for each, named `metric@fingerprint`;
    - `fingerprints.json`: what the ids stand for.

    Args:
        ledger: The run's.
        folder: Where the files go; it is made if need be, and files of these names are replaced.
        formats: Which of the two table formats.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    frames = {"scores": long_frame(ledger), "videos": wide_frame(ledger)}
    contents: dict[str, bytes] = {}
    for name, frame in frames.items():
        for form in formats:
            contents[f"{name}.{form}"] = _encoded(frame, form)
    prints = {each.id: each.model_dump(mode="json") for each in ledger.fingerprints()}
    contents["fingerprints.json"] = (json.dumps(prints, indent=2) + "\n").encode()
    return [_write(folder / name, content) for name, content in contents.items()]


def long_frame(ledger: LedgerReader) -> pd.DataFrame:
    """One row for each video and metric, in the order of videos and fingerprints."""
    videos = _videos(ledger).drop(columns="failure")
    scores = ledger.scores().drop(columns=["ordinal", "model", "seconds"])
    return videos.merge(scores, on="video_id", how="right", validate="one_to_many")


def wide_frame(ledger: LedgerReader) -> pd.DataFrame:
    """One row for each video in their order."""
    frame = _videos(ledger)
    scores = ledger.scores()
    names = _column_names(ledger, set(scores["fingerprint"]))
    for fingerprint, name in names.items():
        of_metric = scores[scores["fingerprint"] == fingerprint].set_index("video_id")
        frame[name] = frame["video_id"].map(of_metric["value"])
        frame[f"{name}_failure"] = frame["video_id"].map(of_metric["failure"])
    return frame


def _column_names(ledger: LedgerReader, used: set[str]) -> dict[str, str]:
    """Names of columns by fingerprint's id, in the fingerprints' order."""
    prints: list[Fingerprint] = [each for each in ledger.fingerprints() if each.id in used]
    metrics = [each.metric for each in prints]
    return {
        each.id: each.metric if metrics.count(each.metric) == 1 else f"{each.metric}@{each.id}"
        for each in prints
    }


def _videos(ledger: LedgerReader) -> pd.DataFrame:
    def facts(video: Video) -> dict[str, object]:
        media = video.media
        return {
            "video_id": video.id,
            "model": video.model,
            "task": str(video.task),
            "prompt_id": video.prompt_id,
            "text": video.text,
            "seed": video.seed,
            "source": video.source,
            "sha256": media.sha256 if media else None,
            "width": media.width if media else None,
            "height": media.height if media else None,
            "frames": media.frames if media else None,
            "fps": media.fps if media else None,
            "failure": str(video.failure.kind) if video.failure else None,
        }

    types = {
        "video_id": "string",
        "model": "string",
        "task": "string",
        "prompt_id": "string",
        "text": "string",
        "seed": "Int64",
        "source": "string",
        "sha256": "string",
        "width": "Int64",
        "height": "Int64",
        "frames": "Int64",
        "fps": "Float64",
        "failure": "string",
    }
    rows = [facts(video) for video in ledger.videos()]
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def _encoded(frame: pd.DataFrame, form: Format) -> bytes:
    if form == "csv":
        return frame.to_csv(index=False, lineterminator="\n").encode()
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> Path:
    """Writes to a temporary name first, so that a kill leaves the old file or the new one."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    return temporary.replace(path)
