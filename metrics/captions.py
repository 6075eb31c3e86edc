"""Features of captions: what is asked for and what is shown, in words, as sentence embeddings."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics import preprocess
from metrics.backbones.bert import Pooling
from metrics.features import Choice, Decoded, Feature, Text, Values
from metrics.networks import Networks
from mora.records import Role


@dataclass(frozen=True)
class AskedSentence(Feature):
    """Embedding of what was asked for: the input picture's caption, then the prompt, `(1, D)`.

    Attributes:
        question: What the captioner is asked about the picture.
        pooling: How BERT's vectors of tokens become one.
    """

    question: str
    pooling: Pooling
    backbones = ("sentence",)
    companions = (Role.INPUT_IMAGE,)
    captioned = True

    @property
    def text(self) -> Text:
        """The prompt, which is the instruction."""
        return "prompt"

    @property
    def choices(self) -> dict[str, Choice]:
        """The question and the pooling."""
        return {"picture_question": self.question, "bert_pooling": self.pooling}

    def compute(self, video: Decoded, networks: Networks) -> Values:
        """Asks for the caption, joins the texts with a space, embeds."""
        picture = video.companions[Role.INPUT_IMAGE]
        caption = networks.captions.of(_frames(picture, 1), picture.facts.fps, self.question)
        return networks.sentence(f"{caption} {video.facts.prompt}", self.pooling)


@dataclass(frozen=True)
class ShownSentence(Feature):
    """Embedding of the video's caption, `(1, D)` of unit length.

    Attributes:
        question: What the captioner is asked about the video.
        frames: Frames that it is shown: the middle ones of as many equal intervals.
        pooling: How BERT's vectors of tokens become one.
    """

    question: str
    frames: int
    pooling: Pooling
    backbones = ("sentence",)
    captioned = True

    @property
    def choices(self) -> dict[str, Choice]:
        """The question, the frames and the pooling."""
        return {
            "video_question": self.question,
            "caption_frames": self.frames,
            "bert_pooling": self.pooling,
        }

    def compute(self, video: Decoded, networks: Networks) -> Values:
        """Asks for the caption, embeds it."""
        shown = _frames(video, self.frames)
        fps = video.facts.fps * len(shown) / video.facts.frames
        return networks.sentence(networks.captions.of(shown, fps, self.question), self.pooling)


def _frames(video: Decoded, count: int) -> NDArray[np.uint8]:
    """The middle frames of `count` equal intervals, or all frames of a shorter video."""
    picked = preprocess.middle_frames(video.facts.frames, min(count, video.facts.frames))
    frames: NDArray[np.uint8] = video.frames[picked].permute(0, 2, 3, 1).cpu().numpy()
    return frames
