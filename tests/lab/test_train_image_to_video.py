"""The training of the miniature Stable Video Diffusion agrees with the unchanged pipeline."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from diffusers import (
    AutoencoderKLTemporalDecoder,
    EulerDiscreteScheduler,
    StableVideoDiffusionPipeline,
    UNetSpatioTemporalConditionModel,
)
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

import mora
from lab.train import held_out_clips, motion_bucket
from lab.train import image_to_video as svd
from lab.train.loop import Settings
from lab.world.render import flow
from lab.world.scene import encode, sample_scenes

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def vae() -> AutoencoderKLTemporalDecoder:
    torch.manual_seed(0)
    model = AutoencoderKLTemporalDecoder(
        down_block_types=("DownEncoderBlock2D",) * 4,
        block_out_channels=(32,) * 4,
        layers_per_block=1,
        scaling_factor=3.0,
        force_upcast=False,
    )
    return model.eval().requires_grad_(requires_grad=False)


@pytest.fixture(scope="module")
def networks() -> tuple[UNetSpatioTemporalConditionModel, CLIPVisionModelWithProjection]:
    torch.manual_seed(1)
    unet = UNetSpatioTemporalConditionModel(**svd.UNET)
    return unet, CLIPVisionModelWithProjection(CLIPVisionConfig(**svd.IMAGE_ENCODER))


@pytest.fixture(scope="module")
def clips(vae: AutoencoderKLTemporalDecoder) -> svd.Clips:
    return svd.Clips.build(vae, 3, 3, CPU)


@pytest.mark.parametrize(
    ("motion", "tolerance"),
    [("right", 0.02), ("stop", 0.05), ("orbit", 0.05), ("bounce", 0.15), ("spin", 0.25),
     ("grow", 0.25), ("shrink", 0.25)],
)  # fmt: skip
def test_motion_speed_is_the_mean_flow_of_the_object(motion: str, tolerance: float) -> None:
    scenes = encode(sample_scenes(4, 5, motion=motion, objects=1, style="plain"))
    steps, size = 40, 64
    dt = 2.0 / steps
    speeds = []
    for step in range(steps):
        start = torch.full((4,), step * dt)
        moved = flow(scenes, start, start + dt, size, size).norm(dim=1)
        # Where nothing moves (after a stop) the object cannot be told from the ground.
        pixels = (moved > 1e-6).float().sum((1, 2)).clamp(min=1)
        speeds.append(moved.sum((1, 2)) / pixels / size / dt)
    measured = torch.stack(speeds).mean(0)
    np.testing.assert_allclose(motion_bucket.motion_speed(scenes), measured, rtol=tolerance)


def test_still_scenes_have_no_motion_and_the_faster_object_counts() -> None:
    still = encode(sample_scenes(4, 1, motion="still", objects=1))
    assert motion_bucket.motion_bucket(motion_bucket.motion_speed(still)).tolist() == [0.0] * 4
    two = encode(sample_scenes(40, 2, motion="still", objects=2))
    moving = two.motion[:, 1] != two.motion[0, 0]
    assert moving.any()
    assert ((motion_bucket.motion_speed(two) > 0) == moving).all()


def test_motion_bucket_inverts_and_saturates() -> None:
    speeds = torch.tensor([motion_bucket.bucket_speed(bucket) for bucket in (0, 48, 127, 255)])
    assert motion_bucket.motion_bucket(speeds).tolist() == [0, 48, 127, 255]
    assert motion_bucket.motion_bucket(torch.tensor([5.0])).item() == 255


@pytest.mark.parametrize(("speed", "low", "high"), [("slow", 88, 102), ("normal", 120, 136),
                                                    ("fast", 150, 165)])  # fmt: skip
def test_documented_buckets_of_travel(speed: str, low: float, high: float) -> None:
    scenes = encode(sample_scenes(50, 4, motion=("left", "up"), speed=speed, objects=1))
    buckets = motion_bucket.motion_bucket(motion_bucket.motion_speed(scenes))
    assert low <= buckets.min()
    assert buckets.max() <= high


def test_clips_are_the_encoded_frames(vae: AutoencoderKLTemporalDecoder, clips: svd.Clips) -> None:
    assert clips.latents.shape == (3, 14, 4, 16, 16)
    assert set(clips.fps.tolist()) <= set(range(5, 11))
    expected = svd.encode_pictures(vae, clips.first[2:].float() / 127.5 - 1)
    np.testing.assert_allclose(
        clips.latents[2, 0].float(), vae.config.scaling_factor * expected[0], atol=2e-3
    )
    moving = (clips.latents[:, -1] - clips.latents[:, 0]).float().abs().amax((1, 2, 3)) > 1e-2
    assert moving.equal(clips.bucket > 0)


def test_a_diverged_autoencoder_is_named(vae: AutoencoderKLTemporalDecoder) -> None:
    broken = AutoencoderKLTemporalDecoder.from_config(vae.config)
    broken.quant_conv.weight.data.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="autoencoder gave latents that are not finite"):
        svd.Clips.build(broken, 1, 0, CPU)


def test_true_velocity_makes_the_scheduler_find_the_clean_latents() -> None:
    scheduler = EulerDiscreteScheduler(**svd.SCHEDULER)
    scheduler.set_timesteps(6)
    clean, noise = torch.randn(2, 1, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for timestep, sigma in zip(scheduler.timesteps, scheduler.sigmas, strict=False):
        assert timestep.item() == pytest.approx(0.25 * sigma.log().item(), rel=1e-5)
        noisy = clean + sigma * noise
        seen = scheduler.scale_model_input(noisy, timestep)
        np.testing.assert_allclose(seen, noisy / (sigma**2 + 1).sqrt(), rtol=1e-5)
        found = scheduler.step(svd.velocity(clean, noise, sigma), timestep, noisy)
        np.testing.assert_allclose(found.pred_original_sample, clean, atol=2e-4)


def _fed(
    pipeline: StableVideoDiffusionPipeline, picture: np.ndarray[Any, Any], **call: Any
) -> dict[str, torch.Tensor]:
    """What the unchanged pipeline feeds its network in the first step."""
    fed: list[dict[str, torch.Tensor]] = []

    def note(module: object, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        fed.append({"sample": positional[0], **named})

    hook = pipeline.unet.register_forward_pre_hook(note, with_kwargs=True)
    pipeline.set_progress_bar_config(disable=True)
    settings = held_out_clips.CALL | {"num_inference_steps": 1, "noise_aug_strength": 0.0} | call
    pipeline(Image.fromarray(picture), output_type="latent", **settings)
    hook.remove()
    return fed[0]


def test_conditioning_is_what_the_unchanged_pipeline_feeds(
    vae: AutoencoderKLTemporalDecoder,
    networks: tuple[UNetSpatioTemporalConditionModel, CLIPVisionModelWithProjection],
) -> None:
    unet, image_encoder = networks
    pipeline = StableVideoDiffusionPipeline(
        vae, image_encoder, unet, EulerDiscreteScheduler(**svd.SCHEDULER), CLIPImageProcessor()
    )
    picture = held_out_clips.first_frames(sample_scenes(1, 8))
    fed = _fed(pipeline, picture[0], fps=9, motion_bucket_id=140, max_guidance_scale=2.0)
    with torch.no_grad():
        ours = svd.condition(
            vae,
            image_encoder,
            torch.from_numpy(picture).permute(0, 3, 1, 2),
            torch.tensor([9.0]),
            torch.tensor([140.0]),
            torch.zeros(1),
        )
    unconditional, conditional = fed["encoder_hidden_states"]
    np.testing.assert_allclose(ours.embedding[0], conditional, atol=1e-5)
    assert not unconditional.any()
    unconditional, conditional = fed["sample"][:, :, 4:]
    np.testing.assert_allclose(ours.latents.expand(14, -1, -1, -1), conditional, atol=3e-4)
    assert not unconditional.any()
    np.testing.assert_allclose(ours.ids.expand(2, -1), fed["added_time_ids"])


class _NoLookFromTheHost(TorchDispatchMode):
    """Refuses what a CUDA graph cannot capture: values read on the host, or made there."""

    forbidden = ("_local_scalar_dense", "lift_fresh", "nonzero", "masked_select", "unique")

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        assert not any(word in str(func) for word in self.forbidden), func
        return func(*args, **(kwargs or {}))


def test_a_step_can_be_captured_and_reaches_every_tensor(
    vae: AutoencoderKLTemporalDecoder,
    networks: tuple[UNetSpatioTemporalConditionModel, CLIPVisionModelWithProjection],
    clips: svd.Clips,
) -> None:
    unet, image_encoder = networks
    loss = svd.Denoising(unet, image_encoder, vae, clips, batch=2)
    with pytest.raises(AssertionError), _NoLookFromTheHost():
        torch.ones(()).item()
    torch.manual_seed(0)
    with _NoLookFromTheHost():
        value, _ = loss()
        value.backward()
    assert 0.1 < value.item() < 5
    tensors = [*unet.named_parameters(), *image_encoder.named_parameters()]
    # One token has nothing to be chosen among: cross-attention's queries and keys learn nothing.
    idle = ("attn2.to_q", "attn2.to_k", "norm2")
    for name, tensor in tensors:
        assert tensor.grad is not None, name
        assert tensor.grad.any() or any(word in name for word in idle), name


def test_first_frame_is_dropped_as_a_whole(
    vae: AutoencoderKLTemporalDecoder,
    networks: tuple[UNetSpatioTemporalConditionModel, CLIPVisionModelWithProjection],
    clips: svd.Clips,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unet, image_encoder = networks
    monkeypatch.setattr(svd, "DROPPED", 0.5)
    fed: list[tuple[torch.Tensor, torch.Tensor]] = []

    def note(module: object, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        fed.append((positional[0], named["encoder_hidden_states"]))

    hook = unet.register_forward_pre_hook(note, with_kwargs=True)
    torch.manual_seed(2)
    with torch.no_grad():
        svd.Denoising(unet, image_encoder, vae, clips, batch=5)()
    hook.remove()
    sample, embedding = fed[0]
    latents_kept = sample[:, :, 4:].flatten(1).any(1)
    assert latents_kept.equal(embedding.flatten(1).any(1))
    assert 0 < latents_kept.sum() < 5


def test_training_writes_a_whole_pipeline_within_its_budget(
    vae: AutoencoderKLTemporalDecoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_out_clips, "BUCKETS", (127,))
    monkeypatch.setitem(held_out_clips.CALL, "num_inference_steps", 1)
    folder = tmp_path / "weights" / "image_to_video"
    vae.save_pretrained(folder / "vae")
    before = (folder / "vae" / "diffusion_pytorch_model.safetensors").read_bytes()
    svd.train(Settings(out=tmp_path, device=CPU, steps=2, batch=1, seconds=60))
    assert (folder / "vae" / "diffusion_pytorch_model.safetensors").read_bytes() == before
    assert (folder / "unet" / "diffusion_pytorch_model.safetensors").stat().st_size <= 4.6e6
    assert (folder / "image_encoder" / "model.safetensors").stat().st_size <= 0.6e6
    for name in ("image_to_video.json", "image_to_video.png", "image_to_video.mp4"):
        assert (tmp_path / name).stat().st_size > 100
    pipeline = StableVideoDiffusionPipeline.from_pretrained(folder)
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    assert pipeline.unet.config.num_frames == 14


def test_the_project_calls_the_miniature_as_it_was_measured() -> None:
    settings = Path(mora.__file__).parent / "conf" / "agents" / "image_to_video" / "svd_mini.yaml"
    call = yaml.safe_load(settings.read_text())["call"]
    assert held_out_clips.CALL.items() <= call.items()
