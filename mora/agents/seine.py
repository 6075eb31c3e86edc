"""SEINE behind the connection agent."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from mora.agents.connection import (
    Connect,
    InputError,
    SeineSettings,
    between,
    pairs_of_a_size,
    resized,
)
from mora.agents.text_to_image import Picture
from mora.checkpoints import (
    CheckpointError,
    file_sha256,
    folder_sha256,
    mini_weights,
    official_weights,
)
from mora.checkpoints.checkpoint import HubFile
from mora.media import Clip
from mora.records import content_hash

if TYPE_CHECKING:
    import torch

    from mora.models.lavie.seine import Seine
    from mora.models.lavie.unet import UNet

PARTS: Final = ("text_encoder", "tokenizer", "vae")
"""Folders of Stable Diffusion that SEINE takes over."""


@dataclass(frozen=True)
class SeineConnection:
    """SEINE (arXiv 2310.20700) with one frame given at each end.

    Each clip draws its noise from its own generator, which lives on the CPU. On a CPU clips are
    made one by one, so that the batch size changes no bit; on a GPU it may change the last ones.

    Attributes:
        settings: Which weights, and how it samples.
    """

    settings: SeineSettings

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.settings.name

    @property
    def batch_size(self) -> int:
        """Pairs of pictures to give at once."""
        return self.settings.batch_size

    @property
    def reads_text(self) -> bool:
        """Whether the request's text matters; not where the settings say the same to all."""
        return self.settings.text is None

    def recipe(self) -> str:
        """Hash of settings and weights, not of the batch size.

        Raises:
            CheckpointError: Weights of a local path are missing.
        """
        left_out = {"batch_size", "unet", "stable_diffusion"}
        settings = self.settings.model_dump(mode="json", exclude=left_out)
        return content_hash([settings, self._unet_id(), self._parts_id()])

    @contextmanager
    def open(self, device: str) -> Iterator[Connect]:
        """Loads the networks onto a torch device, and frees their memory at the end.

        Raises:
            CheckpointError: Weights are missing.
            WeightsError: Weights cannot be read, or are those of another network.
        """
        self.recipe()  # tells what is missing before anything is loaded

        import torch

        try:
            yield partial(self._connect, self._load(torch.device(device)))
        finally:
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _load(self, device: "torch.device") -> "Seine":
        import torch
        import transformers

        from mora.models.lavie.seine import Seine
        from mora.models.lavie.stable_diffusion import StableDiffusion

        # Whoever runs the agents says how far they are; bars of a library would come between.
        transformers.utils.logging.disable_progress_bar()
        dtype = getattr(torch, self.settings.dtype)
        return Seine(
            _load_unet(self._unet_path(), device).to(dtype),
            StableDiffusion.load(
                self._parts_source(),
                device,
                dtype,
                chunk=self.settings.decode_chunk,
                revision=self.settings.stable_diffusion.revision,
                variant=self.settings.stable_diffusion.variant,
            ),
        )

    def _connect(
        self,
        model: "Seine",
        before: Sequence[Picture],
        after: Sequence[Picture],
        texts: Sequence[str],
        seeds: Sequence[int],
    ) -> Iterator[Clip]:
        at_once = 1 if model.device.type == "cpu" else self.settings.batch_size
        for part in pairs_of_a_size(before, after, at_once):
            yield from self._batch(model, before[part], after[part], texts[part], seeds[part])

    def _batch(
        self,
        model: "Seine",
        before: Sequence[Picture],
        after: Sequence[Picture],
        texts: Sequence[str],
        seeds: Sequence[int],
    ) -> Iterator[Clip]:
        """Makes the clips of pairs of one size."""
        import torch

        from mora.models.lavie.sampling import respaced

        settings = self.settings
        height, width = settings.height, settings.width
        if height is None or width is None:
            height, width = before[0].shape[:2]
        cell = model.stable_diffusion.cell
        if height % cell or width % cell:
            raise InputError(
                f"{self.name}: found pictures of {width}x{height}, expected sides that {cell} "
                "divides; set agents.connection.height and width to the size to work at."
            )

        def ends(pictures: Sequence[Picture]) -> "torch.Tensor":
            stacked = np.stack([resized(picture, height, width) for picture in pictures])
            return torch.from_numpy(stacked).permute(0, 3, 1, 2)[:, None].to(model.device)

        clips = model.fill(
            ends(before),
            ends(after),
            [settings.text if settings.text is not None else text for text in texts],
            settings.negative_text,
            frames=settings.frames,
            schedule=respaced(settings.sampler, settings.steps),
            guidance=settings.guidance,
            generators=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
        )
        for clip, first, last in zip(clips, before, after, strict=True):
            frames = clip.permute(0, 2, 3, 1).contiguous().numpy()
            yield Clip(between(first, frames, last), settings.fps)

    def _unet_path(self) -> Path:
        """The UNet's file, or its folder."""
        source = self.settings.unet
        if source.weights.startswith("mini:"):
            return mini_weights() / source.weights.removeprefix("mini:")
        if source.weights.startswith("hub:"):
            return self._hub_file().place(official_weights())
        return Path(source.weights).expanduser()

    def _hub_file(self) -> HubFile:
        source = self.settings.unet
        if source.file is None or source.revision is None:  # validated; here for the type
            raise ValueError(f"{source.weights} needs file and revision")
        return HubFile(source.weights.removeprefix("hub:"), source.file, source.revision)

    def _unet_id(self) -> str:
        source, path = self.settings.unet, self._unet_path()
        if path.is_dir():
            return folder_sha256(path)
        if not path.is_file():
            what = f"It is where agents.connection.unet.weights={source.weights} points"
            advice = (
                f"run `mora models pull {source.weights.removeprefix('hub:')}`"
                if source.weights.startswith("hub:")
                else "correct the setting"
            )
            raise CheckpointError(f"{path}: found no weights of {self.name}. {what}; {advice}.")
        if source.weights.startswith("hub:"):
            return f"{source.weights}@{source.revision}/{source.file}"
        return file_sha256(path)

    def _parts_source(self) -> str:
        """What the libraries load from: the hub's name, or a local folder."""
        weights = self.settings.stable_diffusion.weights
        if weights.startswith("hub:"):
            return weights.removeprefix("hub:")
        folder = (
            mini_weights() / weights.removeprefix("mini:")
            if weights.startswith("mini:")
            else Path(weights).expanduser()
        )
        missing = [part for part in PARTS if not (folder / part).is_dir()]
        if missing:
            raise CheckpointError(
                f"{folder}: found no folder {' and no '.join(missing)}, expected those of Stable "
                "Diffusion 1.4 as diffusers saves it. It is where "
                f"agents.connection.stable_diffusion.weights={weights} points; correct the setting."
            )
        return str(folder)

    def _parts_id(self) -> list[str]:
        source, found = self.settings.stable_diffusion, self._parts_source()
        if source.weights.startswith("hub:"):
            return [f"{source.weights}@{source.revision}"]
        return [folder_sha256(Path(found) / part) for part in PARTS]


def _load_unet(path: Path, device: "torch.device") -> "UNet":
    """A folder states its sizes; a single file is the published network."""
    from mora.models.lavie.blocks import UNetSettings
    from mora.models.lavie.weights import load, load_folder

    return load_folder(path, device) if path.is_dir() else load(path, UNetSettings(), device)
