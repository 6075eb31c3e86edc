"""A language model that runs here: any causal model of transformers with a chat template.

It takes the likeliest words, or draws them from a seed. Each question goes through the model
alone, so that its answer does not depend on its neighbours.
"""

import gc
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pydantic import JsonValue

from mora.checkpoints import CheckpointError, file_sha256, folder_sha256
from mora.errors import SettingError
from mora.language.model import (
    Answer,
    LanguageError,
    Message,
    Reason,
    Schema,
    Structure,
)
from mora.language.purse import Purse
from mora.language.settings import LanguageSettings, LocalSettings
from mora.language.structured import asked_in_words
from mora.records import content_hash

JOINER: Final = "\u2060"
"""A sign without width, which keeps a special token's text in a message from being that token."""


class LocalModel:
    """A model in memory; see `mora.language.model.LanguageModel`. `LocalModel.opened` makes it.

    Args:
        settings: The model and how it answers; its `local` is given.
        tokenizer: Its tokenizer, with a chat template.
        network: Its network, on its device.
        purse: What may be spent, in tokens.
    """

    def __init__(
        self, settings: LanguageSettings, tokenizer: Any, network: Any, purse: Purse
    ) -> None:
        self._settings = settings
        self._tokenizer = tokenizer
        self._network = network
        self._purse = purse
        self._identity = local_identity(settings)
        self._context = int(getattr(network.config, "max_position_embeddings", 0)) or None
        self._ends = _ends(tokenizer, network)
        self._one_at_a_time = threading.Lock()

    @classmethod
    @contextmanager
    def opened(
        cls, settings: LanguageSettings, device: str, purse: Purse
    ) -> Iterator["LocalModel"]:
        """Loads a model onto a torch device, and frees its memory at the end.

        Raises:
            CheckpointError: The weights are missing, cannot be fetched or cannot be read.
            SettingError: The model has no chat template, or GGUF cannot be read here.
        """
        import torch

        tokenizer, network = _load(settings, device)
        try:
            yield cls(settings, tokenizer, network, purse)
        finally:
            del tokenizer, network
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    @property
    def name(self) -> str:
        """Name in artifacts and reports."""
        return self._settings.name

    @property
    def identity(self) -> Mapping[str, JsonValue]:
        """What its answers depend on. Kernels of another device may round differently."""
        return self._identity

    @property
    def samples(self) -> bool:
        """Whether it draws its words."""
        return bool(self._settings.temperature)

    def complete(
        self, messages: Sequence[Message], *, schema: Schema | None, seed: int, max_tokens: int
    ) -> Answer:
        """Lets the model answer; see `LanguageModel.complete`. A schema is asked for in words."""
        structure = Structure.NONE if schema is None else Structure.WORDS
        asked = messages if schema is None else asked_in_words(messages, schema)
        with self._one_at_a_time:
            ids = self._ids(asked)
            length = ids.shape[1]
            if self._context is not None and length + max_tokens > self._context:
                raise LanguageError(
                    Reason.TOO_LONG,
                    f"{self.name}: messages of {length} tokens and an answer of up to {max_tokens} "
                    f"do not fit its context of {self._context}; shorten the text or max_tokens",
                )
            promised = self._purse.promise(length, max_tokens)
            try:
                told = self._generate(ids, seed, max_tokens)
            except BaseException:
                self._purse.settle(promised, 0, 0)
                raise
            usage = self._purse.settle(promised, length, len(told))
        ended = bool(told) and told[-1] in self._ends
        text = self._tokenizer.decode(told, skip_special_tokens=True)
        answer = Answer(
            text=text.strip(),
            finish="stop" if ended else "length",
            model=self.name,
            structure=structure,
            usage=usage,
            at=datetime.now(UTC),
        )
        if not ended:
            raise LanguageError(
                Reason.CUT_OFF, f"{self.name} was cut off after {max_tokens} tokens", answer
            )
        if not answer.text:
            raise LanguageError(Reason.EMPTY, f"{self.name} gave an empty answer", answer)
        return answer

    def _ids(self, messages: Sequence[Message]) -> Any:
        """The conversation as tokens, int64 (1, N)."""
        conversation = [
            {"role": each.role, "content": self._plain(each.content)} for each in messages
        ]
        encoded = self._tokenizer.apply_chat_template(
            conversation, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        return encoded["input_ids"].to(self._network.device)

    def _plain(self, text: str) -> str:
        """A text in which no special token is left, such as one that begins another's turn."""
        for token in self._tokenizer.all_special_tokens:
            text = text.replace(token, f"{token[0]}{JOINER}{token[1:]}")
        return text

    def _generate(self, ids: Any, seed: int, max_tokens: int) -> list[int]:
        """The tokens of an answer."""
        import torch

        drawing = (
            {"do_sample": True, "temperature": self._settings.temperature, "top_k": 0}
            | ({} if self._settings.top_p is None else {"top_p": self._settings.top_p})
            if self.samples
            else {"do_sample": False}
        )
        devices = [ids.device] if ids.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.inference_mode():
            torch.manual_seed(seed)
            [tokens] = self._network.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=max_tokens,
                repetition_penalty=_local(self._settings).repetition_penalty,
                **drawing,
            )
        return [int(token) for token in tokens[ids.shape[1] :]]


def local_identity(settings: LanguageSettings) -> Mapping[str, JsonValue]:
    """What the answers of a model that runs here depend on.

    Raises:
        CheckpointError: Its weights are missing.
    """
    local = _local(settings)
    template = None if local.chat_template is None else _template(local)
    return {
        "weights": _weights_id(local),
        "gguf_file": local.gguf_file,
        "dtype": local.dtype,
        "repetition_penalty": local.repetition_penalty,
        "chat_template": None if template is None else content_hash(template),
        "temperature": settings.temperature,
        "top_p": settings.top_p,
    }


def _weights_id(local: LocalSettings) -> str:
    if local.weights.startswith("hub:"):
        return f"{local.weights.removeprefix('hub:')}@{local.revision}"
    folder = Path(local.weights).expanduser()
    if local.gguf_file is None:
        return folder_sha256(folder)
    file = folder / local.gguf_file  # which holds tokenizer and configuration, too
    if not file.is_file():
        raise CheckpointError(f"{file}: found no such file; gguf_file names one in weights.")
    return file_sha256(file)


def _load(settings: LanguageSettings, device: str) -> tuple[Any, Any]:
    """Loads tokenizer and network."""
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    transformers.utils.logging.disable_progress_bar()
    local = _local(settings)
    is_hub = local.weights.startswith("hub:")
    source = local.weights.removeprefix("hub:") if is_hub else str(Path(local.weights).expanduser())
    place = {
        "revision": local.revision,
        "local_files_only": not is_hub,
        "trust_remote_code": False,
        **({} if local.gguf_file is None else {"gguf_file": local.gguf_file}),
    }
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **place)
        network = AutoModelForCausalLM.from_pretrained(
            source, dtype=getattr(torch, local.dtype), use_safetensors=True, **place
        )
    except ImportError as error:
        raise SettingError(
            f"{settings.name}: gguf_file={local.gguf_file} needs the package gguf; "
            "pip install gguf, or take weights in safetensors."
        ) from error
    except (OSError, ValueError) as error:
        told = " ".join(str(error).split())
        raise CheckpointError(
            f"{settings.name}: {source} cannot be loaded as a language model: {told}"
        ) from error
    if local.chat_template is not None:
        tokenizer.chat_template = _template(local)
    if not tokenizer.chat_template:
        raise SettingError(
            f"{settings.name}: {source} has no chat template, so it is no model to talk to; take "
            "one that was trained on instructions, or name a template with local.chat_template."
        )
    # The model's own habits of drawing would come on top of what the settings say.
    network.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=sorted(_ends(tokenizer, network)),
        pad_token_id=tokenizer.pad_token_id
        if tokenizer.pad_token_id is not None
        else tokenizer.eos_token_id,
    )
    return tokenizer, network.to(device).eval()


def _ends(tokenizer: Any, network: Any) -> frozenset[int]:
    """Tokens that end an answer: the tokenizer's, and those that the model names."""
    named = network.generation_config.eos_token_id
    several = named if isinstance(named, list) else [named]
    return frozenset(each for each in (tokenizer.eos_token_id, *several) if each is not None)


def _template(local: LocalSettings) -> str:
    path = Path(local.chat_template or "").expanduser()
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingError(
            f"local.chat_template={path}: expected a file with a Jinja template; {error}."
        ) from None


def _local(settings: LanguageSettings) -> LocalSettings:
    if settings.local is None:
        raise ValueError(f"{settings.name}: expected the settings of a local model")
    return settings.local
