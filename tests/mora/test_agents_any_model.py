"""Every model that ships for a seat: its own settings on a tiny pipeline of the same class."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_pipelines
import yaml
from tiny_pipelines import saved

import mora
from mora.agents.binding import bind

CONF = Path(mora.__file__).parent / "conf" / "agents"
TEXTS = ("a red circle moves right", "a star")
SEEDS = (11, 2**59)


@dataclass(frozen=True)
class Tiny:
    """A tiny pipeline in the place of a shipped one.

    Attributes:
        build: Its builder in `tiny_pipelines`.
        call: What the call needs to be small; all else is as shipped.
        made: Frames, height and width of what it makes; no frames for a picture.
        vae: Which sparing ways of the autoencoder are left on.
    """

    build: str
    call: Mapping[str, Any]
    made: tuple[int, ...]
    more: Mapping[str, Any] = field(default_factory=dict)


SMALL = {"num_inference_steps": 2, "height": 32, "width": 64}
TEMPLATE = {"template": "{}", "crop_start": 0, "image_emb_len": 4, "image_emb_start": 2}
MODELS = {
    "text_to_image": {
        "sdxl_base": Tiny("sdxl", SMALL, (32, 64)),
        "flux": Tiny("flux", SMALL, (32, 64)),
        "sd3": Tiny("sd3", SMALL, (32, 64)),
        "qwen_image": Tiny("qwen_image", SMALL, (32, 64)),
    },
    "image_to_image": {
        "instruct_pix2pix": Tiny("pix2pix", {"num_inference_steps": 2}, (32, 64)),
        "flux_kontext": Tiny(
            "flux_kontext",
            {"num_inference_steps": 2, "max_area": 32 * 64, "_auto_resize": False},
            (32, 64),
        ),
        "qwen_image_edit": Tiny("qwen_image_edit", {"num_inference_steps": 2}, (32, 64)),
    },
    "image_to_video": {
        "svd": Tiny("svd", SMALL | {"height": 64, "num_frames": 4}, (4, 64, 64)),
        "svd_xt": Tiny("svd", SMALL | {"height": 64, "num_frames": 4}, (4, 64, 64)),
        "ltx": Tiny("ltx", SMALL | {"num_frames": 9}, (9, 32, 64)),
        "wan": Tiny("wan", SMALL | {"num_frames": 5}, (5, 32, 64)),
        "cogvideox": Tiny("cogvideox", SMALL | {"num_frames": 9}, (9, 32, 64)),
        "hunyuan": Tiny(
            "hunyuan",
            SMALL
            | {
                "num_frames": 9,
                "prompt_template": TEMPLATE | {"image_emb_end": 6, "double_return_token_id": 0},
            },
            (5, 32, 64),
        ),
    },
}
"""What ships for each seat, but for the miniatures and SDXL with its refiner."""
CASES = [(role, choice) for role, choices in MODELS.items() for choice in choices]
READERS = [("image_to_video", name) for name in ("ltx", "wan", "cogvideox", "hunyuan")]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    made: dict[str, Path] = {}

    class Lazily(dict[str, Path]):
        def __missing__(self, name: str) -> Path:
            folder = tmp_path_factory.mktemp("tiny") / name
            made[name] = self[name] = saved(getattr(tiny_pipelines, name), folder)
            return made[name]

    return Lazily()


def shipped(role: str, choice: str) -> dict[str, Any]:
    return yaml.safe_load((CONF / role / f"{choice}.yaml").read_text())


def agent(role: str, choice: str, folders: Mapping[str, Path], **more: Any) -> Any:
    """Binds the shipped settings to a tiny pipeline."""
    tiny = MODELS[role][choice]
    settings = shipped(role, choice)
    settings |= {"weights": str(folders[tiny.build]), "revision": None, "variant": None}
    settings |= {"dtype": "float32", "dtype_of": {}}
    settings["call"] = {**settings["call"], **tiny.call}
    if "decode_chunk_size" in settings["call"]:
        settings["call"]["decode_chunk_size"] = tiny.call["num_frames"]
    settings |= more
    return getattr(bind({"name": "tiny", "prompt": {"agent": "verbatim"}, role: settings}), role)


def pictures() -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (2, 32, 64, 3), dtype=np.uint8))


def make(role: str, loaded: Any, texts: Any = TEXTS, seeds: Any = SEEDS) -> list[np.ndarray]:
    if role == "text_to_image":
        return list(loaded(texts, seeds))
    made = loaded(pictures()[: len(texts)], texts, seeds)
    return [each.frames if role == "image_to_video" else each for each in made]


@pytest.fixture(autouse=True)
def _a_small_picture_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Qwen-Image-Edit works at a million pixels, which no setting changes."""
    from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit as edit

    real = edit.calculate_dimensions
    monkeypatch.setattr(edit, "calculate_dimensions", lambda _, ratio: real(32 * 64, ratio))


@pytest.mark.parametrize(("role", "choice"), CASES)
def test_a_shipped_model_plays_its_part(role, choice, folders):
    bound = agent(role, choice, folders)
    with bound.open("cpu") as loaded:
        made = make(role, loaded)
        again = make(role, loaded, TEXTS[1:], SEEDS[1:]) if role == "text_to_image" else None
        other = make(role, loaded, TEXTS[:1], [5])
    for each in made:
        assert each.shape == (*MODELS[role][choice].made, 3)
        assert each.dtype == np.uint8
    assert (other[0] != made[0]).any()  # another seed, another picture
    if again is not None:
        np.testing.assert_array_equal(again[0], made[1])
    assert bound.name == shipped(role, choice)["name"]


@pytest.mark.parametrize(
    ("role", "choice"), [*((r, c) for r, c in CASES if r != "image_to_video"), *READERS]
)
def test_the_text_reaches_what_is_made(role, choice, folders):
    with agent(role, choice, folders).open("cpu") as loaded:
        one, other = (make(role, loaded, [text], SEEDS[:1]) for text in TEXTS)
    assert (one[0] != other[0]).any()


@pytest.mark.parametrize(("role", "choice"), [case for case in CASES if case[0] != "text_to_image"])
def test_the_picture_reaches_what_is_made(role, choice, folders):
    with agent(role, choice, folders).open("cpu") as loaded:
        made = [next(loaded([picture], TEXTS[:1], SEEDS[:1])) for picture in pictures()]
    one, other = [each.frames if role == "image_to_video" else each for each in made]
    assert (one != other).any()


def test_stages_know_which_models_read_the_text(folders):
    reads = {
        choice: agent("image_to_video", choice, folders).reads_text
        for choice in MODELS["image_to_video"]
    }
    assert reads == {choice: ("image_to_video", choice) in READERS for choice in reads}


def test_all_that_ships_is_tried_here():
    elsewhere = {"sdxl", "sdxl_mini", "svd_mini", "pix2pix_mini"}
    for role, choices in MODELS.items():
        there = {path.stem for path in (CONF / role).glob("*.yaml")}
        assert there - elsewhere == set(choices)


@pytest.mark.parametrize(("role", "choice"), CASES)
def test_weights_of_the_hub_are_pinned_or_say_what_is_missing(role, choice):
    settings = shipped(role, choice)
    assert settings["weights"].startswith("hub:")
    assert (settings["revision"] is None) == (choice == "hunyuan")
    bound = getattr(bind({"name": "x", "prompt": {"agent": "verbatim"}, role: settings}), role)
    if settings["revision"] is not None:
        assert len(bound.recipe()) == 64
        return
    with pytest.raises(ValueError, match=r"needs revision=, the 40 digits of a commit"):
        bound.recipe()
