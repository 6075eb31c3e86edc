"""The training loop that all miniature models share.

At the size of these models a step is bound by launching kernels, not by arithmetic. On a GPU the
whole step (drawing the batch, rendering it, forward, backward, optimiser, average of the weights)
is therefore captured once as a CUDA graph and replayed. A loss function must for that reason draw
its own batch with `torch.rand` and the like on the device, keep every shape fixed, and never look
at a value from the host.
"""

import math
import os
import random
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

WARMUP_STEPS = 200
LOG_EVERY = 200
CHECKPOINT_SECONDS = 45.0


@dataclass(frozen=True)
class Settings:
    """What every training takes.

    Attributes:
        out: Folder for weights (`safetensors`), the checkpoint to resume from and the log.
        device: Torch device.
        steps: Length of the training in optimiser steps, resumed ones included.
        seconds: Wall-clock budget of all sessions together. Where it ends before `steps` do, the
            learning rate has followed the clock, so that it is low at the end all the same. A
            training that the clock ended is not repeatable to the bit.
        seed: Seed of initialisation and of all batches.
        batch: Samples a step; `None` takes the model's own default.
        capture: Whether to capture the step as a CUDA graph (only on a GPU).
    """

    out: Path
    device: torch.device
    steps: int | None = None
    seconds: float = 600.0
    seed: int = 0
    batch: int | None = None
    capture: bool = True


def seed_everything(seed: int) -> None:
    """Seeds Python, numpy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  libraries still draw from the global state
    torch.manual_seed(seed)


def autocast(device: torch.device) -> AbstractContextManager[None]:
    """Mixed precision in bfloat16 on a GPU, nothing elsewhere.

    The cache of cast weights is off: it would outlive the step that a graph captures.
    """
    return torch.autocast(
        device.type, torch.bfloat16, enabled=device.type == "cuda", cache_enabled=False
    )


class Training:
    """Trains modules on a loss that draws its own batches, and can be killed at any time.

    Args:
        name: Name in the log.
        modules: The modules to train and to average, by name.
        loss: Draws a batch on the device and returns the loss (a scalar), and values to log.
        settings: Where, how long, from which seed.
        steps: The model's default length, used where the settings name none.
        lr: Peak learning rate; linear warm-up, then a cosine to 1 % of it.
        ema: Decay of the exponential average of the weights, which is what `averaged` gives.
        weight_decay: AdamW's, on matrices and kernels only.
        after_step: Called after each optimiser step, inside the graph (a teacher's update, say).
    """

    def __init__(
        self,
        name: str,
        modules: Mapping[str, nn.Module],
        loss: Callable[[], tuple[Tensor, Mapping[str, Tensor]]],
        settings: Settings,
        *,
        steps: int,
        lr: float = 1e-3,
        ema: float = 0.999,
        weight_decay: float = 0.01,
        after_step: Callable[[], None] | None = None,
    ) -> None:
        self.name, self.loss, self.settings = name, loss, settings
        self.modules = nn.ModuleDict(modules).to(settings.device).train()
        self.steps, self.lr, self.ema_decay = settings.steps or steps, lr, ema
        self.after_step = after_step
        self.parameters: list[Tensor] = [p for p in self.modules.parameters() if p.requires_grad]
        self.averages = [p.detach().clone() for p in self.parameters]
        cuda = settings.device.type == "cuda"
        self.rate = torch.zeros((), device=settings.device)
        matrices = [p for p in self.parameters if p.ndim > 1]
        vectors = [p for p in self.parameters if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=self.rate if cuda else lr,
            betas=(0.9, 0.99),
            capturable=cuda,
            fused=cuda,
        )
        self.step, self.elapsed = 0, 0.0
        self.logged: dict[str, Tensor] = {}
        settings.out.mkdir(parents=True, exist_ok=True)
        self.checkpoint = settings.out / f"{name}.checkpoint.pt"

    def run(self) -> None:
        """Trains from the last checkpoint, if there is one, to the end of steps or of time."""
        self._resume()
        started, before, saved = time.monotonic(), self.elapsed, time.monotonic()
        replay: Callable[[], None] = self._one_step
        capture_at = self.step + 4  # the first steps fill the optimiser's state and the caches
        while self.step < self.steps and self.elapsed < self.settings.seconds:
            self._set_rate()
            if self.step == capture_at and self._captures():
                replay = self._capture()
            replay()
            self.step += 1
            if self.step % LOG_EVERY == 0 or self.step in (1, 10, 50):
                self._log()
            self.elapsed = before + time.monotonic() - started
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                self.save()
                saved = time.monotonic()
        self._log()
        self.save()

    def averaged(self) -> nn.ModuleDict:
        """Copies the averaged weights into the modules and returns them in eval mode."""
        with torch.no_grad():
            for parameter, average in zip(self.parameters, self.averages, strict=True):
                parameter.copy_(average)
        return self.modules.eval()

    def save(self) -> None:
        """Writes the checkpoint: to a temporary name first, so that a kill leaves the old one."""
        state = {
            "modules": self.modules.state_dict(),
            "averages": self.averages,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "elapsed": self.elapsed,
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        }
        temporary = self.checkpoint.with_suffix(".tmp")
        torch.save(state, temporary)
        temporary.replace(self.checkpoint)

    def _resume(self) -> None:
        if not self.checkpoint.exists():
            return
        state = torch.load(self.checkpoint, map_location=self.settings.device, weights_only=True)
        self.modules.load_state_dict(state["modules"])
        for average, stored in zip(self.averages, state["averages"], strict=True):
            average.copy_(stored)
        rates = [group["lr"] for group in self.optimizer.param_groups]
        self.optimizer.load_state_dict(state["optimizer"])
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self.step, self.elapsed = state["step"], state["elapsed"]
        torch.set_rng_state(state["rng"].cpu())
        if state["cuda_rng"] is not None and torch.cuda.is_available():
            torch.cuda.set_rng_state(state["cuda_rng"].cpu())
        print(f"{self.name}: resumed at step {self.step}, {self.elapsed:.0f} s", flush=True)

    def _captures(self) -> bool:
        return self.settings.capture and self.settings.device.type == "cuda"

    def _set_rate(self) -> None:
        progress = max(self.step / self.steps, self.elapsed / self.settings.seconds)
        warm = min(1.0, (self.step + 1) / WARMUP_STEPS)
        cosine = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        rate = self.lr * warm * cosine
        self.rate.fill_(rate)
        if self.settings.device.type != "cuda":
            for group in self.optimizer.param_groups:
                group["lr"] = rate

    def _one_step(self) -> None:
        self.optimizer.zero_grad(set_to_none=False)
        loss, values = self.loss()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, 1.0, foreach=True)
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.averages, self.parameters, 1 - self.ema_decay)
        if self.after_step is not None:
            self.after_step()
        self.logged = {"loss": loss.detach(), "norm": norm.detach()}
        self.logged |= {key: value.detach() for key, value in values.items()}

    def _capture(self) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._one_step()  # allocations of the side stream, before the capture forbids them
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()
        with torch.cuda.graph(graph):
            self._one_step()
        return graph.replay

    def _log(self) -> None:
        values = "  ".join(f"{key} {float(value):.4f}" for key, value in self.logged.items())
        line = f"{self.name}: step {self.step}/{self.steps}  {self.elapsed:.0f} s  {values}"
        print(line, flush=True)
        with (self.settings.out / f"{self.name}.log").open("a") as log:
            log.write(line + os.linesep)
