"""What the miniature text encoders of diffusion pipelines share: CLIP's class, our vocabulary."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPTextConfig

from lab.world.vocabulary import CONTEXT, clip_tokenizer


def text_config(sizes: Mapping[str, Any]) -> CLIPTextConfig:
    """Configuration of a CLIP text encoder for the miniature vocabulary.

    Args:
        sizes: Its widths, layers and heads, by their names in `CLIPTextConfig`.
    """
    tokenizer = clip_tokenizer()
    return CLIPTextConfig(
        **sizes,
        max_position_embeddings=CONTEXT,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,  # where a pooled output is read
        pad_token_id=tokenizer.pad_token_id,
    )


def liven(embeddings: nn.Module) -> None:
    """Gives tokens and places embeddings of the size of activations.

    CLIP starts at 0.02. In an encoder that is trained along with its reader, what the layers add
    would drown the words for many steps.
    """
    nn.init.normal_(embeddings.get_submodule("token_embedding").get_parameter("weight"), std=0.5)
    nn.init.normal_(embeddings.get_submodule("position_embedding").get_parameter("weight"), std=0.2)


def empty_text(device: torch.device) -> Tensor:
    """Tokens (77,) of the empty text, int64: what pipelines put in the place of no text."""
    empty = clip_tokenizer()("", padding="max_length", max_length=CONTEXT).input_ids
    return torch.tensor(empty, device=device)
