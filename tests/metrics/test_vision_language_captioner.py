"""Captions from a model that runs here: a tiny LLaVA of random weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from goldens import golden
from PIL import Image
from tiny_llava import save_tiny_llava
from transformers import AutoModelForImageTextToText, AutoProcessor

from metrics.captioners.captioner import CaptionerError
from metrics.captioners.vision_language import VisionLanguageCaptioner, VisionLanguageSettings

QUESTION = "word1 word2 word3"
CLIP = golden.clip("captions", 3, 40, 56)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llava(tmp_path_factory.mktemp("llava"))


def captioner(folder: Path) -> VisionLanguageCaptioner:
    settings = VisionLanguageSettings(
        name="tiny_llava",
        version="0",
        source=str(folder),
        revision=None,
        dtype="float32",
        max_new_tokens=6,
    )
    return VisionLanguageCaptioner(settings, "cpu")


@torch.inference_mode()
def likeliest(folder: Path, frames: np.ndarray) -> str:
    """The model's likeliest words, one at a time, without the library's generation."""
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder)
    text = "<image> " * len(frames) + QUESTION
    pictures = [Image.fromarray(frame) for frame in frames]
    inputs = processor(text=text, images=pictures, return_tensors="pt")
    ids, count = inputs["input_ids"], inputs["input_ids"].shape[1]
    for _ in range(6):
        logits = model(input_ids=ids, pixel_values=inputs["pixel_values"]).logits
        ids = torch.cat([ids, logits[:, -1].argmax(-1, keepdim=True)], dim=1)
    return str(processor.decode(ids[0, count:], skip_special_tokens=True))


@pytest.mark.parametrize("frames", [1, 3])
def test_says_the_likeliest_words_about_all_frames(folder: Path, frames: int) -> None:
    asked = captioner(folder)
    asked.load()
    caption = asked.caption(CLIP[:frames], 8.0, QUESTION)
    assert caption.split() == likeliest(folder, CLIP[:frames]).split()
    assert asked.caption(CLIP[:frames], 8.0, QUESTION) == caption


def test_other_frames_get_another_caption(folder: Path) -> None:
    asked = captioner(folder)
    captions = {asked.caption(255 - CLIP[:count], 8.0, QUESTION) for count in (1, 2, 3)}
    captions |= {asked.caption(CLIP[:count], 8.0, QUESTION) for count in (1, 2, 3)}
    assert len(captions) > 1


def test_a_model_that_is_none_is_told_before_the_first_caption(
    folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(CaptionerError, match=f"tiny_llava: {tmp_path} cannot be loaded"):
        captioner(tmp_path).load()
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    for path in folder.iterdir():
        if path.suffix != ".safetensors":
            (pickled / path.name).write_bytes(path.read_bytes())
    model = AutoModelForImageTextToText.from_pretrained(folder)
    torch.save(model.state_dict(), pickled / "pytorch_model.bin")
    with pytest.raises(CaptionerError, match="cannot be loaded"):
        captioner(pickled).load()


def test_settings_for_fingerprints_tell_models_apart_and_not_where_they_are(folder: Path) -> None:
    one = captioner(folder)
    assert one.settings == captioner(folder / "elsewhere").settings
    other = VisionLanguageCaptioner(one.asked.model_copy(update={"version": "1"}), "cpu")
    assert other.settings != one.settings
