"""The naive way to score a video, as a peer: decode it for each metric, then go frame by frame.

So work the published programs: each metric is a program of its own, which decodes all videos
itself and pushes single frames, or single pairs of frames, through its network. RAFT brings the
flow of each of its updates to the full size, although only the last is used; the frames of a pair
are encoded anew for the next pair: RAFT's forward is torchvision's. The other networks and their
arithmetic are this project's.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models.optical_flow.raft import RAFT, CorrBlock

from metrics import preprocess
from metrics.backbones import aesthetic, amt, clip, dino, musiq, raft, viclip
from metrics.backbones.padding import pad_to_multiple
from metrics.networks import Networks
from mora.media import read_video

RATE = 8.0
"""Frames a second at which flow is measured, about."""


def score(path: Path, prompt: str, networks: Networks) -> dict[str, float]:
    """Scores a video on the eight metrics: seconds are the caller's to count.

    Returns:
        For each metric the sum of what its network gave, so that nothing can be left out.
    """
    return {name: float(way(path, prompt, networks)) for name, way in METRICS.items()}


def _frames(path: Path, networks: Networks) -> tuple[Tensor, float]:
    clip_ = read_video(path)
    frames = torch.from_numpy(clip_.frames).permute(0, 3, 1, 2).contiguous()
    return frames.to(networks.device), clip_.fps


def object_consistency(path: Path, _prompt: str, networks: Networks) -> Tensor:
    """DINO frame by frame."""
    how, frames = networks.card("dino").preprocessing, _frames(path, networks)[0]
    return _sum(
        dino.features(networks["dino"], preprocess.unrounded(f, how)) for f in _ones(frames)
    )


def background_consistency(path: Path, _prompt: str, networks: Networks) -> Tensor:
    """CLIP frame by frame."""
    how, frames = networks.card("clip_b32").preprocessing, _frames(path, networks)[0]
    network = networks["clip_b32"]
    return _sum(clip.image_features(network, preprocess.unrounded(f, how)) for f in _ones(frames))


def appearance_style(path: Path, prompt: str, networks: Networks) -> Tensor:
    """CLIP frame by frame, through PIL, and the prompt."""
    how, frames = networks.card("clip_b32").preprocessing, _frames(path, networks)[0]
    network = networks["clip_b32"]
    text = clip.text_features(network, networks.tokens("clip_b32", prompt))
    return _sum(
        clip.image_features(network, preprocess.antialiased(f, how)) * text for f in _ones(frames)
    )


def aesthetic_quality(path: Path, _prompt: str, networks: Networks) -> Tensor:
    """CLIP and the head frame by frame."""
    how, frames = networks.card("clip_l14").preprocessing, _frames(path, networks)[0]
    network, head = networks["clip_l14"], networks["aesthetic"]
    return _sum(
        aesthetic.scores(head, clip.image_features(network, preprocess.unrounded(f, how)))
        for f in _ones(frames)
    )


def imaging_quality(path: Path, _prompt: str, networks: Networks) -> Tensor:
    """MUSIQ frame by frame."""
    return _sum(musiq.scores(networks["musiq"], f) for f in _ones(_frames(path, networks)[0]))


def temporal_style(path: Path, prompt: str, networks: Networks) -> Tensor:
    """ViCLIP once, and the prompt."""
    how, frames = networks.card("viclip").preprocessing, _frames(path, networks)[0]
    picked = frames[preprocess.middle_frames(len(frames), 8)]
    network = networks["viclip"]
    text = viclip.text_features(network, networks.tokens("viclip", prompt))
    return (viclip.video_features(network, preprocess.rounded(picked, how)[None]) * text).sum()


def motion_smoothness(path: Path, _prompt: str, networks: Networks) -> Tensor:
    """AMT triple by triple."""
    frames = _frames(path, networks)[0]
    even, odd = frames[::2], frames[1::2]
    return _sum(
        amt.interpolate(networks["amt"], a[None], b[None]) * 255 - between
        for (a, b), between in zip(pairwise(even), odd, strict=False)
    )


def dynamic_degree(path: Path, _prompt: str, networks: Networks) -> Tensor:
    """RAFT pair by pair, by torchvision's own forward, which is the published one."""
    frames, fps = _frames(path, networks)
    ours: raft.Raft = networks["raft"]
    settings = ours.settings
    network = RAFT(
        feature_encoder=ours.feature_encoder,
        context_encoder=ours.context_encoder,
        corr_block=CorrBlock(num_levels=settings.levels, radius=settings.radius),
        update_block=ours.update_block,
        mask_predictor=ours.mask_predictor,
    )
    return _sum(
        network(_padded(a), _padded(b), num_flow_updates=settings.updates)[-1]
        for a, b in pairwise(_ones(frames[:: max(1, round(fps / RATE))]))
    )


METRICS: dict[str, Callable[[Path, str, Networks], Tensor]] = {
    "object_consistency": object_consistency,
    "background_consistency": background_consistency,
    "motion_smoothness": motion_smoothness,
    "aesthetic_quality": aesthetic_quality,
    "dynamic_degree": dynamic_degree,
    "imaging_quality": imaging_quality,
    "temporal_style": temporal_style,
    "appearance_style": appearance_style,
}


def _ones(frames: Tensor) -> list[Tensor]:
    return list(frames.split(1))


def _padded(frame: Tensor) -> Tensor:
    return pad_to_multiple(frame / 127.5 - 1, multiple=8, smallest=128, network="RAFT")[0]


def _sum(parts: Iterable[Tensor]) -> Tensor:
    return torch.stack([part.double().sum() for part in parts]).sum()
