"""Pipelines of diffusers behind agents: batches, seeds, recipes, and settings that are wrong."""

import copy
import json
import shutil

import numpy as np
import pytest

from mora.agents.binding import bind
from mora.agents.pipelines import Pipeline, PipelineSettings
from mora.checkpoints import CheckpointError
from mora.errors import SettingError

TEXTS = [f"a {word} circle" for word in ("red", "green", "blue", "pink", "white")]
SEEDS = [11, 12, 13, 14, 2**59]


def _changed(agents, path: str, value):
    changed = copy.deepcopy(agents)
    *parents, last = path.split(".")
    place = changed
    for parent in parents:
        place = place[parent]
    place[last] = value
    return changed


def test_batch_size_changes_no_bit(tiny_agents):
    made = []
    for size in (1, 8):
        agents = bind(_changed(tiny_agents, "text_to_image.batch_size", size))
        with agents.text_to_image.open("cpu") as draw:
            made.append(list(draw(TEXTS, SEEDS)))
    for one, eight in zip(*made, strict=True):
        assert one.shape == (32, 32, 3)
        assert one.dtype == np.uint8
        np.testing.assert_array_equal(one, eight)
    assert any((made[0][0] != other).any() for other in made[0][1:])


def test_an_item_does_not_depend_on_its_neighbours(tiny_agents):
    pictures = list(np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3), dtype=np.uint8))
    with bind(tiny_agents).image_to_video.open("cpu") as animate:
        together = list(animate(pictures, [""] * 3, SEEDS[:3]))
        alone = next(animate(pictures[2:], [""], SEEDS[2:3]))
        other_seed = next(animate(pictures[2:], [""], [99]))
    assert alone.frames.shape == (4, 32, 32, 3)
    assert alone.fps == 7
    np.testing.assert_array_equal(together[2].frames, alone.frames)
    assert (other_seed.frames != alone.frames).any()


def test_a_recipe_follows_settings_and_weights_but_not_batch_size(tiny_agents, tmp_path):
    def recipe(agents) -> str:
        return bind(agents).text_to_image.recipe()

    first = recipe(tiny_agents)
    assert recipe(_changed(tiny_agents, "text_to_image.batch_size", 1)) == first
    assert recipe(_changed(tiny_agents, "text_to_image.call.num_inference_steps", 3)) != first
    copied = tmp_path / "copy"
    shutil.copytree(tiny_agents["text_to_image"]["weights"], copied)
    moved = _changed(tiny_agents, "text_to_image.weights", str(copied))
    assert recipe(moved) == first
    config = copied / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"beta_end": 0.02}))
    assert recipe(moved) != first
    clip = bind(tiny_agents).image_to_video.recipe()
    assert bind(_changed(tiny_agents, "image_to_video.fps", 8)).image_to_video.recipe() != clip


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("text_to_image.batch_size", 0, "agents.text_to_image.batch_size: "),
        ("text_to_image.steps", 3, "agents.text_to_image.steps: no such setting"),
        ("image_to_video.fps", None, "agents.image_to_video.fps: "),
        ("image_to_video.call.decode_chunk_size", 3, "frames of two videos together"),
        ("prompt.agent", "gpt", "agents.prompt.agent: "),
        ("text_to_image.revision", "main", "agents.text_to_image.revision: "),
    ],
)
def test_a_wrong_setting_is_named(tiny_agents, path, value, said):
    with pytest.raises(SettingError, match=said):
        bind(_changed(tiny_agents, path, value))


@pytest.mark.parametrize(
    ("path", "value", "error", "said"),
    [
        ("pipeline", "NoSuchPipeline", SettingError, "pipeline=NoSuchPipeline is not a pipeline"),
        ("pipeline", "UNet2DModel", SettingError, "is not a pipeline of"),
        ("pipeline", "DDPMPipeline", SettingError, "takes no prompt"),
        ("call.stepps", 3, SettingError, "call.stepps is no setting"),
        ("call.prompt", "x", SettingError, "call.prompt is no setting"),
        ("call.output_type", "pil", SettingError, "call.output_type is no setting"),
        ("load.custom_pipeline", "some/code", SettingError, "load.custom_pipeline is no part"),
        ("load.trust_remote_code", True, SettingError, "load.trust_remote_code is no part"),
        ("weights", "mini:none", CheckpointError, "weights=mini:none of sdxl_tiny"),
        ("weights", "/no/such", CheckpointError, "/no/such: expected the folder"),
        ("weights", "hub:a/b", SettingError, "needs revision="),
    ],
)
def test_what_cannot_be_loaded_is_told_before_loading(tiny_agents, path, value, error, said):
    agents = bind(_changed(tiny_agents, f"text_to_image.{path}", value))
    with pytest.raises(error, match=said), agents.text_to_image.open("cpu"):
        pass


def test_weights_that_cannot_be_read_are_named(tiny_agents, tmp_path):
    copied = tmp_path / "copy"
    shutil.copytree(tiny_agents["text_to_image"]["weights"], copied)
    (copied / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    agents = bind(_changed(tiny_agents, "text_to_image.weights", str(copied)))
    with (
        pytest.raises(CheckpointError, match=r"sdxl_tiny: .*copy could not be loaded"),
        agents.text_to_image.open("cpu"),
    ):
        pass


def test_values_that_are_not_finite_are_an_error(tiny_agents):
    settings = PipelineSettings.model_validate(tiny_agents["text_to_image"])
    with Pipeline(settings, {"text": "prompt"}).open("cpu") as loaded:
        for weight in loaded.part("unet").conv_out.parameters():
            weight.data.fill_(float("nan"))
        with pytest.raises(ValueError, match="not finite"):
            list(loaded.run([{"text": "a star"}], [1]))
