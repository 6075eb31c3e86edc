"""A tiny causal language model of random weights with a chat template, saved as a real folder."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

END, TURN = SPECIAL = ("<|end|>", "<|turn|>")
LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
CONTEXT = 512
TEMPLATE = (
    "{% for message in messages %}<|turn|>{{ message['role'] }}\n{{ message['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)


def save_tiny_language_model(folder: Path, *, ends_at_once: bool = False, seed: int = 0) -> Path:
    """Saves model and tokenizer; the numbers are the same each time.

    Args:
        folder: Where to.
        ends_at_once: Whether the likeliest first token is the one that ends an answer.
        seed: Of the weights.
    """
    vocabulary = {entry: i for i, entry in enumerate([*SPECIAL, *LETTERS])}
    letters = Tokenizer(models.BPE(vocabulary, merges=[]))
    letters.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=letters,
        eos_token=END,
        extra_special_tokens={"turn_token": TURN},
        chat_template=TEMPLATE,
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    network = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(vocabulary),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=CONTEXT,
            bos_token_id=None,
            eos_token_id=0,
            pad_token_id=0,
            tie_word_embeddings=False,
        )
    )
    if ends_at_once:
        with torch.no_grad():
            network.lm_head.weight.zero_()  # all alike: the first token is taken, the one that ends
    network.save_pretrained(folder)
    return folder
