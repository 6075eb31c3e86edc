"""Where parts of a pipeline are, in how many bits, and what a safety checker may say."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_pipelines
import torch
from tiny_pipelines import saved

from mora.agents import pipelines, placement
from mora.agents.binding import bind
from mora.agents.pipeline_settings import PipelineSettings, Quantisation
from mora.agents.pipelines import Pipeline
from mora.errors import RefusedError, SettingError

INPUTS = {"text": "prompt", "image": "image"}
PICTURE = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tiny_pipelines.pix2pix, tmp_path_factory.mktemp("editor") / "pix2pix")


@pytest.fixture(scope="module")
def prude(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An editor whose safety checker refuses everything."""

    def build() -> Any:
        pipeline = tiny_pipelines.pix2pix()
        pipeline.safety_checker.concept_embeds_weights.data.fill_(-2.0)
        return pipeline

    return saved(build, tmp_path_factory.mktemp("prude") / "pix2pix")


def settings(weights: Path, **more: Any) -> dict[str, Any]:
    return {
        "name": "editor",
        "pipeline": "StableDiffusionInstructPix2PixPipeline",
        "weights": str(weights),
        "call": {"num_inference_steps": 2},
    } | more


def agent(weights: Path, **more: Any) -> Any:
    prompt = {"agent": "verbatim"}
    chosen = settings(weights, **more)
    return bind({"name": "tiny", "prompt": prompt, "image_to_image": chosen}).image_to_image


def edit(weights: Path, **more: Any) -> np.ndarray:
    with agent(weights, **more).open("cpu") as loaded:
        return next(loaded([PICTURE], ["at night"], [7]))


@pytest.mark.parametrize(
    "more",
    [
        {"memory": "offload"},
        {"vae": {"slicing": True}},
        {"device": "cpu:0"},
        {"dtype_of": {"vae": "float32"}},
    ],
)
def test_where_it_computes_changes_no_bit(editor, more):
    np.testing.assert_array_equal(edit(editor, **more), edit(editor))
    if "dtype_of" not in more:
        assert agent(editor, **more).recipe() == agent(editor).recipe()


def test_a_part_has_its_own_precision(editor):
    mixed = {"dtype": "bfloat16", "dtype_of": {"vae": "float32"}}
    chosen = PipelineSettings.model_validate(settings(editor, **mixed))
    with Pipeline(chosen, INPUTS).open("cpu") as loaded:
        assert loaded.part("vae").dtype == torch.float32
        assert loaded.part("unet").dtype == torch.bfloat16
    assert agent(editor, **mixed).recipe() != agent(editor, dtype="bfloat16").recipe()


def test_tiles_are_another_picture_and_another_recipe(editor):
    assert agent(editor, vae={"tiling": True}).recipe() != agent(editor).recipe()
    chosen = PipelineSettings.model_validate(settings(editor, vae={"tiling": True}))
    with Pipeline(chosen, INPUTS).open("cpu") as loaded:
        assert loaded.part("vae").use_tiling
        assert not loaded.part("vae").use_slicing


def test_an_autoencoder_that_cannot_is_named(tmp_path):
    folder = saved(tiny_pipelines.svd, tmp_path / "svd")
    chosen = {"name": "svd", "weights": str(folder), "fps": 7}
    chosen |= {"pipeline": "StableVideoDiffusionPipeline", "vae": {"tiling": True}}
    bound = bind({"name": "x", "prompt": {"agent": "verbatim"}, "image_to_video": chosen})
    with (
        pytest.raises(SettingError, match=r"svd: vae.tiling=true needs .* AutoencoderKLTemporal"),
        bound.image_to_video.open("cpu"),
    ):
        pass


def test_the_denoiser_alone_is_compiled(editor):
    chosen = PipelineSettings.model_validate(settings(editor, compile=True))
    with (
        torch.compiler.set_stance("force_eager"),
        Pipeline(chosen, INPUTS).open("cpu") as loaded,
    ):
        assert loaded.part("unet")._compiled_call_impl is not None
        assert loaded.part("vae")._compiled_call_impl is None
        from PIL import Image

        item = {"image": Image.fromarray(PICTURE), "text": "at night"}
        np.testing.assert_array_equal(next(loaded.run([item], [7])), edit(editor))
    assert agent(editor, compile=True).recipe() == agent(editor).recipe()


@pytest.mark.skipif(importlib.util.find_spec("optimum") is None, reason="quanto is not installed")
def test_quantised_weights_have_fewer_bits(editor):
    held = {"method": "quanto_int8", "parts": ["unet", "text_encoder"]}
    chosen = PipelineSettings.model_validate(
        settings(editor, memory="quantised", quantisation=held)
    )
    with Pipeline(chosen, INPUTS).open("cpu") as loaded:
        for part in held["parts"]:
            assert "QLinear" in {type(each).__name__ for each in loaded.part(part).modules()}
        assert "QLinear" not in {type(each).__name__ for each in loaded.part("vae").modules()}
    made = edit(editor, memory="quantised", quantisation=held)
    assert 0 < np.abs(made.astype(int) - edit(editor)).max() < 40


def test_bits_belong_to_the_recipe_where_they_are_fewer(editor):
    held = {"method": "bitsandbytes_8bit", "parts": ["unet"]}
    whole = agent(editor).recipe()
    assert agent(editor, quantisation=held).recipe() == whole
    quantised = agent(editor, memory="quantised", quantisation=held).recipe()
    assert quantised != whole
    offloaded = agent(editor, memory="quantised", quantisation=held | {"offload": True})
    assert offloaded.recipe() == quantised


@pytest.mark.parametrize("method", ["bitsandbytes_4bit", "bitsandbytes_8bit"])
def test_diffusers_is_told_which_parts_have_fewer_bits(method, monkeypatch):
    pytest.importorskip("bitsandbytes")
    import diffusers
    import transformers

    told = placement.quantisation(
        "flux",
        Quantisation(method=method, parts=("transformer", "text_encoder_2")),
        diffusers.FluxPipeline,
        compute=torch.bfloat16,
        device="cuda",
    ).quant_mapping
    assert set(told) == {"transformer", "text_encoder_2"}
    assert isinstance(told["transformer"], diffusers.BitsAndBytesConfig)
    assert isinstance(told["text_encoder_2"], transformers.BitsAndBytesConfig)
    for config in told.values():
        assert config.load_in_4bit == (method == "bitsandbytes_4bit")
        assert config.load_in_8bit == (method == "bitsandbytes_8bit")
        if config.load_in_4bit:
            assert config.bnb_4bit_quant_type == "nf4"
            assert config.bnb_4bit_compute_dtype == torch.bfloat16
    alone = placement.quantisation(
        "flux",
        Quantisation(method=method),
        diffusers.FluxPipeline,
        compute=torch.bfloat16,
        device="cuda",
    )
    assert set(alone.quant_mapping) == {"transformer"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"device": "cuda:99"}, r"editor: device=cuda:99: "),
        ({"memory": "sequential"}, r"editor: memory=sequential .* found device=cpu"),
        ({"inputs": {"before": "image"}}, "inputs.before: there is no such thing in this role"),
        ({"inputs": {"text": "caption"}}, "takes no caption"),
        ({"pipeline": "StableDiffusionXLInstructPix2PixPipeline", "safety_checker": False}, "none"),
    ],
)
def test_what_cannot_be_is_told_before_it_loads(editor, more, said):
    with pytest.raises(SettingError, match=said), agent(editor, **more).open("cpu"):
        pass


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"memory": "swapped"}, "agents.image_to_image.memory: "),
        ({"one_at_a_time": True, "batch_size": 2}, "set batch_size to 1"),
        ({"inputs": {"height": "height"}}, "need one_at_a_time: true"),
        ({"inputs": {"mask": "mask"}}, "agents.image_to_image.inputs.mask"),
        ({"size_step": 8, "call": {"height": 30}}, "call.height=30: expected .* 8, .* 24 or 32"),
        ({"load": {"safety_checker": None}}, "set safety_checker to false"),
    ],
)
def test_a_wrong_setting_is_named(editor, more, said):
    with pytest.raises(SettingError, match=said):
        agent(editor, **more)


def test_frames_are_counted_as_the_autoencoder_does():
    chosen = {"name": "w", "pipeline": "WanImageToVideoPipeline", "weights": "/w", "fps": 16}
    chosen |= {"frame_step": 4, "call": {"num_frames": 80}}
    with pytest.raises(SettingError, match=r"call.num_frames=80: .* of 4 and one, .* 77 or 81"):
        bind({"name": "x", "prompt": {"agent": "verbatim"}, "image_to_video": chosen})


@pytest.mark.parametrize("method", ["bitsandbytes_4bit", "quanto_int8"])
def test_a_package_that_is_not_there_is_named(editor, method, monkeypatch):
    monkeypatch.setattr(placement, "find_spec", lambda _: None)
    package = {"bitsandbytes_4bit": "bitsandbytes", "quanto_int8": "optimum-quanto"}[method]
    with (
        pytest.raises(SettingError, match=f"quantisation.method={method} .*pip install {package}"),
        agent(editor, memory="quantised", quantisation={"method": method}).open("cpu"),
    ):
        pass


def test_bits_need_a_device_and_a_part_that_is_there(editor, monkeypatch):
    monkeypatch.setattr(placement, "find_spec", lambda _: True)
    chosen = {"memory": "quantised", "quantisation": {"method": "bitsandbytes_4bit"}}
    with pytest.raises(SettingError, match="4bit needs a GPU"), agent(editor, **chosen).open("cpu"):
        pass
    chosen["quantisation"] = {"method": "quanto_int8", "parts": ["wings"]}
    with (
        pytest.raises(SettingError, match="has no part wings"),
        agent(editor, **chosen).open("cpu"),
    ):
        pass


def test_what_the_checker_refuses_is_a_refusal(prude):
    with agent(prude).open("cpu") as loaded, pytest.raises(RefusedError) as refusal:
        next(loaded([PICTURE], ["at night"], [7]))
    assert str(refusal.value).startswith("editor: the model's safety checker refused")


def test_a_checker_is_turned_off_in_the_open(editor, prude, caplog):
    pipelines._tell_that_nothing_is_checked.cache_clear()
    unchecked = edit(prude, safety_checker=False)
    assert unchecked.max() > 0
    edit(prude, safety_checker=False)
    said = [record.getMessage() for record in caplog.records if record.name == "mora"]
    assert said == ["editor: its safety checker is turned off by safety_checker=false."]
    assert agent(editor, safety_checker=False).recipe() != agent(editor).recipe()
    np.testing.assert_array_equal(edit(editor, safety_checker=False), edit(editor))
