"""Features of the miniature networks with random weights, against the networks called alone."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from goldens.golden import clip as golden_clip
from random_weights import save_random_weights
from torch import Tensor

from metrics import preprocess
from metrics.backbones import aesthetic, amt, clip, dino, musiq, raft, viclip
from metrics.backbones.loading import file_sha256
from metrics.backbones.padding import FrameTooSmallError
from metrics.features import (
    AestheticRatings,
    ClipFrames,
    ClipText,
    Decoded,
    DinoFrames,
    Facts,
    Feature,
    FlowMagnitudes,
    FrameSize,
    InterpolationErrors,
    QualityScores,
    ViclipText,
    ViclipVideo,
    sizes,
)
from metrics.networks import BACKBONES, MissingWeightsError, Networks
from metrics.preprocess import Size
from mora.checkpoints.tensors import WeightsError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def networks(metric_weights: Path) -> Networks:
    return Networks("mini", metric_weights, CPU)


def decoded(frames: int, height: int = 128, width: int = 144, fps: float = 7.0) -> Decoded:
    pixels = torch.from_numpy(golden_clip("features", frames, height, width)).permute(0, 3, 1, 2)
    facts = Facts(frames, height, width, fps, "a small red circle moves left", "night")
    return Decoded(pixels.contiguous(), facts)


def one_by_one(forward: Callable[[Tensor], Tensor], video: Decoded) -> np.ndarray:
    return torch.cat([forward(frame[None]) for frame in video.frames]).numpy()


def test_features_of_frames_are_those_of_each_frame_alone(networks: Networks) -> None:
    video = decoded(18)
    of_dino, of_clip = networks.card("dino").preprocessing, networks.card("clip_b32").preprocessing

    def dino_alone(frame: Tensor) -> Tensor:
        return dino.features(networks["dino"], preprocess.unrounded(frame, of_dino))

    def clip_alone(frame: Tensor, resize: Callable = preprocess.unrounded) -> Tensor:
        return clip.image_features(networks["clip_b32"], resize(frame, of_clip))

    def rate_alone(frame: Tensor) -> Tensor:
        return aesthetic.scores(networks["aesthetic"], clip_alone(frame))

    def score_alone(frame: Tensor) -> Tensor:
        return musiq.scores(networks["musiq"], frame, resize="none")

    expected: dict[Feature, np.ndarray] = {
        DinoFrames(): one_by_one(dino_alone, video),
        ClipFrames("unrounded", "float32"): one_by_one(clip_alone, video),
        ClipFrames("antialiased", "float32"): one_by_one(
            lambda frame: clip_alone(frame, preprocess.antialiased), video
        ),
        AestheticRatings("float32"): one_by_one(rate_alone, video),
        QualityScores("none"): one_by_one(score_alone, video),
    }
    for feature, alone in expected.items():
        found = feature.compute(video, networks)
        assert found.shape == alone.shape
        np.testing.assert_allclose(found, alone, rtol=0, atol=2e-5, err_msg=str(feature))
    kept, cut = (expected[ClipFrames(way, "float32")] for way in ("unrounded", "antialiased"))
    assert np.abs(kept - cut).max() > 2e-4, "the two resizes gave the same"


@pytest.mark.parametrize(
    "feature",
    [DinoFrames(), ClipFrames("unrounded", "float32"), QualityScores("longer")],
    ids=lambda feature: type(feature).__name__,
)
def test_a_frame_counts_the_same_to_the_last_bit_whatever_follows_it(
    feature: Feature, networks: Networks
) -> None:
    long = decoded(21)
    whole = feature.compute(long, networks)
    for count in (5, 17):
        short = Decoded(long.frames[:count], replace(long.facts, frames=count))
        assert feature.compute(short, networks).tobytes() == whole[:count].tobytes(), count


def test_interpolation_errors_are_those_of_odd_frames_guessed_and_truncated(
    networks: Networks,
) -> None:
    video = decoded(8)
    found = InterpolationErrors().compute(video, networks)
    expected = []
    for odd in (1, 3, 5):
        guess = amt.interpolate(
            networks["amt"], video.frames[odd - 1 : odd], video.frames[odd + 1 : odd + 2]
        )
        levels = np.clip(guess.numpy() * 255, 0, 255).astype(np.uint8).astype(int)
        expected.append(np.abs(levels - video.frames[odd : odd + 1].numpy().astype(int)).mean())
    assert found.shape == (3,), "the eighth frame has no second neighbour"
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-3)


def test_flow_magnitudes_are_means_of_the_largest_twentieth_on_padded_frames(
    networks: Networks,
) -> None:
    video = decoded(3, height=133, width=128)
    found = FlowMagnitudes(8.0).compute(video, networks)
    expected = []
    for first in (0, 1):
        flow = raft.flows(
            networks["raft"], video.frames[first : first + 1], video.frames[first + 1 : first + 2]
        ).numpy()
        assert flow.shape == (1, 2, 136, 128)
        magnitudes = np.sort(np.hypot(flow[0, 0], flow[0, 1]), axis=None)
        expected.append(magnitudes[-int(136 * 128 * 0.05) :].mean())
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("fps", "step"), [(7, 1), (8, 1), (11.9, 1), (12, 2), (20, 2), (24, 3), (25, 3), (60, 8)]
)
def test_flow_is_measured_about_eight_times_a_second(fps: float, step: int) -> None:
    # 12 / 8 and 20 / 8 are halves, rounded to the even number.
    sampled = FlowMagnitudes(8.0).sampled(Facts(25, 128, 128, fps))
    assert list(sampled) == list(range(0, 25, step))


def test_flow_looks_at_the_sampled_frames_only(networks: Networks) -> None:
    video = decoded(7, fps=24.0)
    sampled = Decoded(video.frames[::3], replace(video.facts, frames=3, fps=8.0))
    feature = FlowMagnitudes(8.0)
    assert feature.compute(video, networks).tolist() == feature.compute(sampled, networks).tolist()


def test_texts_and_clips(networks: Networks) -> None:
    video = decoded(9)
    frames = preprocess.rounded(
        video.frames[[0, 1, 2, 3, 4, 5, 6, 7]], networks.card("viclip").preprocessing
    )
    expected = viclip.video_features(networks["viclip"], frames[None]).numpy()
    assert ViclipVideo().compute(video, networks).tolist() == expected.tolist()
    for feature in (ViclipText(), ClipText("prompt", "float32"), ClipText("style", "float32")):
        values = feature.compute(video, networks)
        assert np.linalg.norm(values) == pytest.approx(1, abs=1e-5)
        other = Decoded(
            video.frames, replace(video.facts, **{feature.text: "a blue square on the right"})
        )
        assert np.abs(values - feature.compute(other, networks)).max() > 1e-4
    mute = Decoded(video.frames, replace(video.facts, prompt=None))
    with pytest.raises(ValueError, match="the video has no prompt"):
        ViclipText().compute(mute, networks)


def test_frame_size(networks: Networks) -> None:
    assert FrameSize().compute(decoded(1), networks).tolist() == [128, 144]


@pytest.mark.parametrize("feature", [InterpolationErrors(), FlowMagnitudes(8.0)])
def test_small_frames_are_refused(feature: Feature, networks: Networks) -> None:
    with pytest.raises(FrameTooSmallError, match="120x112"):
        feature.compute(decoded(3, height=112, width=120), networks)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("volumes", [1, 2])
def test_pairs_in_a_forward_follow_from_the_size_and_fit_the_memory(
    device: str, volumes: int
) -> None:
    assert sizes.forward_pairs(Size(128, 128), device, volumes) == sizes.FORWARD_PAIRS
    assert sizes.forward_pairs(Size(2160, 3840), device, volumes) == 1
    for height, width in ((256, 256), (320, 576), (512, 512), (576, 1024), (1080, 1920)):
        pairs = sizes.forward_pairs(Size(height, width), device, volumes)
        taken = pairs * volumes * 4 * (math.ceil(height / 8) * math.ceil(width / 8)) ** 2
        assert pairs == 1 or taken <= sizes.PAIR_BYTES[device]
        assert sizes.forward_pairs(Size(width, height), device, volumes) == pairs


def test_networks_are_loaded_once_and_one_mini_clip_stands_for_both(networks: Networks) -> None:
    assert networks["clip_b32"] is networks["clip_l14"]
    assert networks["dino"] is networks["dino"]
    assert not networks["dino"].training
    assert networks.card("clip_b32").name == "clip_mini"


def test_checkpoints_are_named_with_their_tokenizer(networks: Networks) -> None:
    found = networks.checkpoints(["clip_l14", "aesthetic"])
    assert list(found) == ["aesthetic_mini", "clip_mini", "vocabulary/bpe.txt.gz"]
    assert found["clip_mini"] == file_sha256(networks.folder / "clip" / "model.safetensors")


def test_missing_weights_are_all_named_at_once(tmp_path: Path) -> None:
    mini = Networks("mini", tmp_path, CPU)
    with pytest.raises(MissingWeightsError) as caught:
        mini.check(["dino", "raft", "clip_b32", "clip_l14"])
    said = str(caught.value)
    assert "4 files of the mini weights are missing" in said
    assert all(str(tmp_path / part) in said for part in ("dino", "raft", "clip"))
    with pytest.raises(MissingWeightsError):
        _ = mini["dino"]
    official = Networks("official", tmp_path, CPU)
    with pytest.raises(MissingWeightsError) as caught:
        official.check(BACKBONES)
    said = str(caught.value)
    assert "9 files of the official weights" in said, "the aesthetic head comes with the project"
    assert str(tmp_path / "raft_things" / "raft-things.pth") in said
    assert "models/raft-things.pth in it" in said
    assert "https://huggingface.co/lalala125/AMT/resolve/31d0420e" in said
    assert "licence CC-BY-NC-SA-4.0" in said
    official.check(["aesthetic"])


def test_a_missing_tokenizer_counts_as_missing_weights(tmp_path: Path) -> None:
    folder = save_random_weights(tmp_path / "weights")
    (folder / "vocabulary" / "bpe.txt.gz").unlink()
    networks = Networks("mini", folder, CPU)
    networks.check(["dino"])
    with pytest.raises(MissingWeightsError):
        networks.check(["viclip"])


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    folder = save_random_weights(tmp_path / "weights")
    (folder / "amt" / "amt.safetensors").replace(folder / "raft" / "raft.safetensors")
    networks = Networks("mini", folder, CPU)
    networks.check(["raft"])
    with pytest.raises(WeightsError, match=r"raft\.safetensors"):
        _ = networks["raft"]
