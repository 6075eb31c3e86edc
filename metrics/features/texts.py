"""Features of texts: what CLIP and ViCLIP make of a prompt, or of its style label."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from metrics.backbones import clip, viclip
from metrics.features.feature import Choice, Decoded, Feature, Text, Values
from metrics.networks import Networks


class TextFeature(Feature):
    """A feature that depends on one text alone."""

    @property
    @abstractmethod
    def text(self) -> Text:
        """The text."""

    @abstractmethod
    def embed(self, text: str, networks: Networks) -> Tensor:
        """Embeds a text: `(1, D)` of unit length."""

    def compute(self, video: Decoded, networks: Networks) -> Values:
        """Embeds the video's text.

        Raises:
            ValueError: There is none.
        """
        which = self.text
        text = video.facts.prompt if which == "prompt" else video.facts.style
        if text is None:
            raise ValueError(f"the video has no {which}; a metric that needs it has to refuse it")
        with networks.computing(self.backbones[0]):
            embedding: Values = self.embed(text, networks).float().cpu().numpy()
        return embedding


@dataclass(frozen=True)
class ClipText(TextFeature):
    """CLIP ViT-B/32's embedding of a text, `(1, D)` of unit length.

    Attributes:
        which: Which text: the whole prompt, or its style label.
        precision: Precision of the network.
    """

    which: Text
    precision: Literal["float32"]
    backbones = ("clip_b32",)

    @property
    def text(self) -> Text:
        """The text that was asked for."""
        return self.which

    @property
    def choices(self) -> dict[str, Choice]:
        """The text and the precision."""
        return {"appearance_text": self.which, "clip_precision": self.precision}

    def embed(self, text: str, networks: Networks) -> Tensor:
        """Embeds a text by itself."""
        return clip.text_features(networks["clip_b32"], networks.tokens("clip_b32", text))


@dataclass(frozen=True)
class ViclipText(TextFeature):
    """ViCLIP's embedding of the prompt, `(1, D)` of unit length."""

    backbones = ("viclip",)

    @property
    def text(self) -> Text:
        """The prompt."""
        return "prompt"

    def embed(self, text: str, networks: Networks) -> Tensor:
        """Embeds a text by itself."""
        return viclip.text_features(networks["viclip"], networks.tokens("viclip", text))
