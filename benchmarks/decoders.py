"""What becomes of pixels and scores if another library decodes: PyAV against OpenCV and decord.

    python -m benchmarks.decoders            compare, and write the table in docs/media.md

OpenCV is in the extra `lab`. decord is no dependency; to compare with it, install `decord`,
`eva-decord` or `decord2` somewhere and put that on PYTHONPATH.

Clips are those of `vbench_scores`, and one of them encoded anew in ways in which decoders could
differ. Scores are of the official networks with golden weights, under protocol `vbench`. A metric
sees pixels and the rate alone, so that equal ones need no score to be compared.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from goldens import official

from eval.scoring import exact
from metrics.features import Decoded, Facts, Feature, Values
from metrics.protocol import load_protocol
from metrics.registry import METRICS, make_metrics
from mora.media import Clip, read_video

ROOT = Path(__file__).parents[1]
SCORES = ROOT / "tests" / "goldens" / "vbench_scores"
PAGE = ROOT / "docs" / "media.md"
BEGIN, END = "<!-- decoders -->", "<!-- end of decoders -->"
EIGHT = tuple(METRICS)[:8]
ENCODED_ANEW = "clip_12f_192x128_10fps.mp4"

Frames = NDArray[np.uint8]


def opencv(path: Path) -> Clip:
    """Reads as VBench does for motion smoothness and dynamic degree."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        there, frame = capture.read()
        if not there:
            break
        frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    return Clip(np.stack(frames), capture.get(cv2.CAP_PROP_FPS))


def decord(path: Path) -> Clip:
    """Reads as VBench does for the other metrics."""
    from decord import VideoReader

    reader = VideoReader(str(path))
    return Clip(reader.get_batch(range(len(reader))).asnumpy(), reader.get_avg_fps())


def decoders() -> dict[str, Callable[[Path], Clip]]:
    """The others, by name and version, as far as they are installed."""
    found: dict[str, Callable[[Path], Clip]] = {f"OpenCV {cv2.__version__}": opencv}
    for name in ("decord", "eva-decord", "decord2"):
        try:
            found[f"{name} {version(name)}"] = decord
            break  # they share a module, so that only one can be installed
        except PackageNotFoundError:
            continue
    return found


def encoded_anew(folder: Path) -> dict[str, Path]:
    """One clip in other encodings."""
    clip = read_video(SCORES / ENCODED_ANEW)
    ways: dict[str, tuple[str, str, str, dict[str, str]]] = {
        "H.264, tagged BT.709": ("mp4", "libx264", "yuv420p", {"colorspace": "bt709"}),
        "H.264, full range": ("mp4", "libx264", "yuvj420p", {}),
        "H.264, 4:4:4": ("mp4", "libx264", "yuv444p", {}),
        "H.264, 10 bit": ("mp4", "libx264", "yuv420p10le", {}),
        "HEVC": ("mp4", "libx265", "yuv420p", {"x265-params": "log-level=none"}),
        "HEVC, 10 bit": ("mp4", "libx265", "yuv420p10le", {"x265-params": "log-level=none"}),
        "MPEG-4": ("mp4", "mpeg4", "yuv420p", {}),
        "VP9": ("webm", "libvpx-vp9", "yuv420p", {}),
    }
    return {
        title: _encode(folder / f"{number}.{suffix}", clip, codec, pixels, dict(options))
        for number, (title, (suffix, codec, pixels, options)) in enumerate(ways.items())
    }


def _encode(path: Path, clip: Clip, codec: str, pixels: str, options: dict[str, str]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=round(clip.fps), options=options)
        stream.height, stream.width = clip.frames.shape[1:3]
        stream.pix_fmt = pixels
        if options.pop("colorspace", None):
            stream.codec_context.colorspace = 1  # BT.709 in ITU-T H.273
        for frame in clip.frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())
    return path


def scores(clip: Clip, networks: official.GoldenNetworks) -> dict[str, float]:
    """All eight scores of decoded frames."""
    golden = json.loads((SCORES / "cases.json").read_text())["dimensions"]
    prompt = golden["temporal_style"]["videos"][ENCODED_ANEW]["prompt"]
    style = golden["appearance_style"]["videos"][ENCODED_ANEW]["style_text"]
    count, height, width, _ = clip.frames.shape
    facts = Facts(count, height, width, clip.fps, prompt, style)
    video = Decoded(torch.from_numpy(clip.frames).permute(0, 3, 1, 2).contiguous(), facts)
    known: dict[Feature, Values] = {}
    found = {}
    for metric in make_metrics(EIGHT, load_protocol("vbench")):
        for feature in metric.features:
            if feature not in known:
                known[feature] = feature.compute(video, networks)
        found[metric.name] = metric.measure(known).value
    return found


def compare(title: str, path: Path, networks: official.GoldenNetworks) -> list[list[str]]:
    """One row for each other decoder."""
    ours = read_video(path)
    rows = []
    known: dict[str, float] | None = None
    for name, read in decoders().items():
        try:
            theirs = read(path)
        except Exception as error:  # what decord raises is of its own kind
            rows.append([title, name, "–", "–", f"cannot be read: {str(error).splitlines()[0]}"])
            continue
        if theirs.frames.shape != ours.frames.shape:
            shapes = f"{theirs.frames.shape} instead of {ours.frames.shape}"
            rows.append([title, name, "–", "–", f"frames {shapes}"])
            continue
        difference = np.abs(theirs.frames.astype(int) - ours.frames)
        same_rate = abs(theirs.fps - ours.fps) < 1e-3 * ours.fps
        if not difference.any() and same_rate:
            told = "equal"
        else:
            known = scores(ours, networks) if known is None else known
            other = scores(theirs, networks)
            told = ", ".join(
                f"{metric.replace('_', ' ')} {abs(other[metric] - value):.0e}"
                for metric, value in known.items()
                if other[metric] != value
            )
            told += "" if same_rate else f"; {theirs.fps:g} frames a second, ours {ours.fps:g}"
        rows.append([title, name, str(difference.max()), f"{difference.mean():.2g}", told])
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Compares and writes."""
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as name, exact():
        networks = official.GoldenNetworks(Path(name), torch.device("cpu"))
        for path in sorted(SCORES.glob("*.mp4")):
            rows += compare(f"`{path.name}`", path, networks)
        for title, path in encoded_anew(Path(name)).items():
            rows += compare(title, path, networks)
    heads = ["clip", "decoder", "largest, levels", "mean", "scores"]
    lines = [heads, ["---"] * len(heads), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")


if __name__ == "__main__":
    main()
