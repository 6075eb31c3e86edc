"""Trains the miniature DINO without labels, on the world's frames and on photographs.

A student and a teacher see different views of the same content, large ones and small ones. The
student learns to give the teacher's answer, and the teacher is the slow average of the student;
centring and sharpening of the teacher's answers keep both from giving one answer to everything
(arXiv:2104.14294, algorithm 1). The teacher is what is shipped, as the published weights are.

One thing is ours: in the world the two large views are of two moments of the same clip. An object
that has moved on is thus the same content, which is what subject consistency asks about.

The temperatures and the teacher's pace are constants, as in the published training of ViT-B/16
after its warm-up. A training of minutes has no use for their schedules.
"""

from collections.abc import Mapping
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab.data.pictures import tiles
from lab.train.export import save_json, save_module_fp16
from lab.train.loop import Settings, Training, autocast
from lab.train.views import cut_views
from lab.world.render import render
from lab.world.scene import (
    CLIP_SECONDS,
    COLOUR_NAMES,
    SHAPE_NAMES,
    SceneBatch,
    encode,
    sample_scenes,
)
from metrics import preprocess
from metrics.backbones.dino import MINI, Dino, features, load

SIDE: Final = 128
SCENES: Final = 40_000
BATCH: Final = 256
PHOTOGRAPHS: Final = 0.25
"""Share of the batch that are photographs."""
TILE: Final = 288
STEPS: Final = 8_000
LARGE: Final = (0.5, 1.0)
"""Side of the square that is seen in a large view."""
SMALL: Final = (0.2, 0.5)
"""Side of the square that is seen in a small view."""
SMALL_VIEWS: Final = 4
SMALL_SIDE: Final = 48
LIGHT: Final = 0.2
"""Greatest change of a view's brightness and of its contrast."""
STUDENT_TEMPERATURE: Final = 0.1
TEACHER_TEMPERATURE: Final = 0.04
TEACHER_PACE: Final = 0.996
CENTRE_PACE: Final = 0.9
HIDDEN: Final = 384
BOTTLENECK: Final = 64
ANSWERS: Final = 1024
HELD_OUT: Final = 900_000
"""Added to the seed for scenes that training never sees."""


class Answerer(nn.Module):
    """The network with the head that it is trained through and that is thrown away afterwards."""

    centre: Tensor
    """Running mean of the teacher's answers (answers,); the student's is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Dino(MINI.settings)
        self.head = nn.Sequential(
            nn.Linear(MINI.settings.width, HIDDEN),
            nn.GELU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.GELU(),
            nn.Linear(HIDDEN, BOTTLENECK),
        )
        self.answers = nn.Parameter(torch.randn(ANSWERS, BOTTLENECK))
        self.register_buffer("centre", torch.zeros(ANSWERS))

    def forward(self, pixels: Tensor) -> Tensor:
        """Gives the cosine of each picture (B, 3, H, W) with each answer, (B, answers)."""
        code = F.normalize(self.head(self.backbone(pixels)).float(), dim=-1)
        with torch.autocast(code.device.type, enabled=False):
            return code @ F.normalize(self.answers, dim=-1).T


class ViewLoss:
    """Draws views and compares the student's answers with the teacher's.

    Args:
        student: Learns, on the device.
        teacher: Its slow average; its centre is moved at each call.
        scenes: Scenes to draw from, on the device.
        photographs: uint8 tiles to draw from (N, 3, S, S), on the device.
        batch: Contents a step.
    """

    def __init__(
        self,
        student: Answerer,
        teacher: Answerer,
        scenes: SceneBatch,
        photographs: Tensor,
        batch: int,
    ) -> None:
        self.student, self.teacher, self.scenes = student, teacher, scenes
        self.photographs, self.device = photographs, photographs.device
        self.real = round(PHOTOGRAPHS * batch)
        self.drawn = batch - self.real
        how = MINI.preprocessing
        self.mean = torch.tensor(how.mean, device=self.device)[:, None, None]
        self.std = torch.tensor(how.std, device=self.device)[:, None, None]

    def __call__(self) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Returns the loss of a fresh batch, and values to log."""
        moments = self._moments()
        large = torch.cat([self._view(m, MINI.settings.side, LARGE) for m in moments])
        small = [moments[index % 2] for index in range(SMALL_VIEWS)]
        small_views = torch.cat([self._view(m, SMALL_SIDE, SMALL) for m in small])
        with autocast(self.device):
            with torch.no_grad():
                told = self.teacher(large).unflatten(0, (2, -1))
            said = torch.cat((self.student(large), self.student(small_views)))
        said = said.unflatten(0, (2 + SMALL_VIEWS, -1))
        centre = self.teacher.centre
        truth = ((told - centre) / TEACHER_TEMPERATURE).softmax(-1)
        guess = (said / STUDENT_TEMPERATURE).log_softmax(-1)
        pairs = -torch.einsum("tba,sba->ts", truth, guess) / said.shape[1]
        # A view is not compared with itself: the first two are the student's and the teacher's.
        loss = (pairs.sum() - pairs.diagonal().sum()) / (pairs.numel() - 2)
        with torch.no_grad():
            centre.lerp_(told.mean((0, 1)), 1 - CENTRE_PACE)
        entropy = -(truth * truth.clamp(min=1e-9).log()).sum(-1).mean()
        spread = truth.mean((0, 1))
        answers = (-(spread * spread.clamp(min=1e-9).log()).sum()).exp()
        return loss, {"entropy": entropy, "answers": answers}

    def _moments(self) -> tuple[Tensor, Tensor]:
        """Two sets of pictures (B, 3, 128, 128) of the same contents in the same order."""
        chosen = self.scenes[torch.randint(len(self.scenes), (self.drawn,), device=self.device)]
        times = CLIP_SECONDS * torch.rand(self.drawn, 2, device=self.device)
        first, second = render(chosen, times, SIDE, SIDE).unbind(1)
        tile = torch.randint(len(self.photographs), (self.real,), device=self.device)
        real = self.photographs[tile].float() / 255
        return torch.cat((first, real)), torch.cat((second, real))

    def _view(self, pictures: Tensor, side: int, shares: tuple[float, float]) -> Tensor:
        """Views (B, 3, side, side), mirrored half of the time, each in a light of its own."""
        views = cut_views(pictures, side, shares)
        mirrored, brightness, contrast = torch.rand(3, len(views), 1, 1, 1, device=self.device)
        views = torch.where(mirrored < 0.5, views.flip(-1), views)
        grey = views.mean((1, 2, 3), keepdim=True)
        views = grey + (views - grey) * (1 + LIGHT * (2 * contrast - 1))
        views = views * (1 + LIGHT * (2 * brightness - 1))
        return (views - self.mean) / self.std


def train(settings: Settings) -> None:
    """Trains a student, writes its teacher and measures it on held-out scenes.

    Writes `weights/dino/model.safetensors` and `dino.json` with figures below `settings.out`.
    """
    device, batch = settings.device, settings.batch or BATCH
    drawn = batch * (settings.steps or STEPS)
    scenes = encode(sample_scenes(min(SCENES, drawn), settings.seed)).to(device)
    # Shrunk to the world's size, so that views of both have their detail at one scale.
    photographs = F.interpolate(tiles("training", TILE).float(), (SIDE, SIDE), mode="area")
    student, teacher = Answerer().to(device), Answerer().to(device)
    teacher.load_state_dict(student.state_dict())
    teacher.requires_grad_(requires_grad=False)
    pairs = list(zip(teacher.parameters(), student.parameters(), strict=True))

    def follow() -> None:
        with torch.no_grad():
            for slow, fast in pairs:
                slow.lerp_(fast, 1 - TEACHER_PACE)

    training = Training(
        "dino",
        {"student": student, "teacher": teacher},
        ViewLoss(student, teacher, scenes, photographs.round().to(device, torch.uint8), batch),
        settings,
        steps=STEPS,
        weight_decay=0.04,
        after_step=follow,
    )
    training.run()
    folder = settings.out / "weights" / "dino"
    size = save_module_fp16(teacher.backbone, folder)
    shipped = load(MINI, folder / "model.safetensors", device)  # rounded to half precision
    # On a CPU training is a trial of the code.
    known, count = (4096, 512) if device.type == "cuda" else (64, 32)
    figures: dict[str, float] = {"steps": training.step, "bytes": size}
    save_json(settings.out / "dino.json", figures | measure(shipped, known, count, settings.seed))


@torch.inference_mode()
def measure(model: Dino, known: int, count: int, seed: int) -> dict[str, float]:
    """Asks what a trained network's features hold, on held-out scenes with one object each.

    Args:
        model: The network.
        known: Scenes whose labels are known.
        count: Scenes that are asked about.
        seed: Seed of the training.

    Returns:
        Shares of right answers: which of all `count` scenes, seen at the start, a frame near the
        end belongs to (`same_clip`); the colour and the shape of the object by the vote of the 10
        nearest of the known scenes (`colour`, `shape`); their chances (`colour_chance`,
        `shape_chance`). And mean cosines between a clip's two frames (`cosine_same`) and between
        frames of different clips (`cosine_other`).
    """
    device = model.pos_embed.device
    scenes = encode(sample_scenes(known + count, seed + HELD_OUT, objects=1)).to(device)
    first, last = (_features(model, scenes, second) for second in (0.0, 0.9 * CLIP_SECONDS))
    asked = torch.arange(known, known + count, device=device)
    cosines = last[asked] @ first[asked].T
    same = cosines.diagonal()
    nearest = (first[asked] @ first[:known].T).topk(10, 1).indices
    votes = {
        "colour": (scenes.colour[:, 0], len(COLOUR_NAMES)),
        "shape": (scenes.shape[:, 0], len(SHAPE_NAMES)),
    }
    figures = {
        "same_clip": _right(cosines.argmax(1), torch.arange(count, device=device)),
        "cosine_same": float(same.mean()),
        "cosine_other": float((cosines.sum() - same.sum()) / (count * (count - 1))),
    }
    for name, (labels, kinds) in votes.items():
        said = F.one_hot(labels[nearest], kinds).sum(1).argmax(1)
        figures |= {name: _right(said, labels[asked]), f"{name}_chance": 1 / kinds}
    return figures


def _features(model: Dino, scenes: SceneBatch, second: float) -> Tensor:
    """Features of the scenes' frames at one time, through the metric's own preprocessing."""
    found = []
    for part in torch.arange(len(scenes), device=scenes.device).split(64):
        times = torch.full((len(part), 1), second, device=scenes.device)
        frames = (255 * render(scenes[part], times, SIDE, SIDE)[:, 0]).round().to(torch.uint8)
        found.append(features(model, preprocess.unrounded(frames, MINI.preprocessing)))
    return torch.cat(found)


def _right(found: Tensor, truth: Tensor) -> float:
    return float((found == truth).float().mean())
