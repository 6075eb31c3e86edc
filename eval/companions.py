"""What videos were made from: read when a feature first asks for it, its features shared.

Several videos may be made from the same picture or video. A feature of that (`metrics.features.Of`)
depends on its content alone, so it is computed once in an evaluation, and a companion whose
features are all known is not read again.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from eval.decode import read_media
from metrics.features import Decoded, Facts, Feature, Of, UnreadableCompanionError, Values
from metrics.networks import Networks
from mora.media import Clip
from mora.records import Failure, Given, MediaRef, Role, Video


def decoded(
    clip: Clip,
    device: torch.device,
    *,
    prompt: str | None = None,
    style: str | None = None,
    companions: Mapping[Role, Decoded] | None = None,
    given: Given | None = None,
) -> Decoded:
    """Takes a clip to the device, with what else is known of it."""
    frames = torch.from_numpy(clip.frames).to(device).permute(0, 3, 1, 2).contiguous()
    count, _, height, width = frames.shape
    made_from = {} if companions is None else companions
    facts = Facts(count, height, width, clip.fps, prompt, style, frozenset(made_from), given)
    return Decoded(frames, facts, made_from)


class Companions:
    """The companions of a run's videos.

    Args:
        run: Folder that their paths are relative to.
        device: Where their frames go.
    """

    def __init__(self, run: Path, device: torch.device) -> None:
        self._run = run
        self._device = device
        self._features: dict[tuple[str, Feature], Values] = {}

    def of(self, video: Video) -> Mapping[Role, Decoded]:
        """A video's companions, each decoded when it is first asked for."""
        return _Lazy(video.companions, self._run, self._device)

    def compute(self, feature: Of, video: Video, pixels: Decoded, networks: Networks) -> Values:
        """A feature of a companion, computed unless another video had it computed before.

        Raises:
            UnreadableCompanionError: The companion cannot be read.
        """
        companion = video.companions[feature.role]
        if isinstance(companion, Failure):
            raise UnreadableCompanionError(feature.role, companion)
        key = (companion.sha256, feature.feature)
        if key not in self._features:
            self._features[key] = feature.compute(pixels, networks)
        return self._features[key]


class _Lazy(Mapping[Role, Decoded]):
    def __init__(
        self, recorded: Mapping[Role, MediaRef | Failure], run: Path, device: torch.device
    ) -> None:
        self._recorded = recorded
        self._run = run
        self._device = device
        self._decoded: dict[Role, Decoded] = {}

    def __getitem__(self, role: Role) -> Decoded:
        if role not in self._decoded:
            recorded = self._recorded[role]
            clip = recorded if isinstance(recorded, Failure) else read_media(recorded, self._run)
            if isinstance(clip, Failure):
                raise UnreadableCompanionError(role, clip)
            self._decoded[role] = decoded(clip, self._device)
        return self._decoded[role]

    def __iter__(self) -> Iterator[Role]:
        return iter(self._recorded)

    def __len__(self) -> int:
        return len(self._recorded)
