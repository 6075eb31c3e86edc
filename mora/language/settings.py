"""Settings of language models, as `mora/conf/language` holds them."""

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from mora.records import Record


class Prices(Record):
    """What a server asks for its answers."""

    currency: str = "USD"
    """Currency of both prices and of the budget."""
    input: float = Field(ge=0)
    """Price of a million tokens of messages."""
    output: float = Field(ge=0)
    """Price of a million tokens of answers."""

    def cost(self, input_tokens: int, output_tokens: int) -> float:
        """Returns the price of so many tokens."""
        return (input_tokens * self.input + output_tokens * self.output) / 1e6


class Budget(Record):
    """What may be spent. A request is sent only if the most that it can take still fits."""

    cost: float | None = Field(default=None, ge=0)
    """In the currency of the prices; `None` for no limit."""
    tokens: int | None = Field(default=None, ge=0)
    """Tokens of messages and answers together; `None` for no limit."""


class EndpointSettings(Record):
    """A model behind an address that speaks OpenAI's protocol: OpenAI, Ollama, vLLM, llama.cpp."""

    model: str = Field(min_length=1)
    """Name of the model there. A dated one does not change under its name."""
    base_url: str = Field(pattern=r"^https?://")
    """Address up to the version, such as `https://api.openai.com/v1`."""
    key_variable: str | None
    """Name of the environment variable with the key; `None` for a server without keys."""
    structured: Literal["json_schema", "words"] = "json_schema"
    """How a schema is asked for: by `response_format`, where a server that refuses it is asked
    in words, or in words from the start."""
    length_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the server calls the length that an answer may have; OpenAI's is the longer name."""
    send_seed: bool = True
    """Whether the seed is sent; some servers refuse it."""
    timeout: float = Field(default=60.0, gt=0)
    """Seconds that an answer may take."""
    tries: int = Field(default=6, ge=1)
    """How often a request is sent at most."""
    first_pause: float = Field(default=1.0, ge=0)
    """Seconds before the second try; they double from try to try, less up to half by chance."""
    longest_pause: float = Field(default=60.0, ge=0)
    """Most seconds between two tries. A server that asks for more is not tried again."""
    prices: Prices | None = None
    """What the answers cost; needed for a budget in money."""

    @field_validator("base_url")
    @classmethod
    def _holds_no_key(cls, value: str) -> str:
        if "@" in urlsplit(value).netloc or urlsplit(value).query:
            raise ValueError(
                "a user, password or query in an address would be stored with every answer; put "
                "the key into the environment and its name into key_variable"
            )
        return value


class LocalSettings(Record):
    """A causal language model of transformers with a chat template."""

    weights: str = Field(min_length=1)
    """Path of a local folder, or `hub:OWNER/NAME` on the Hugging Face hub."""
    revision: str | None = Field(default=None, pattern="^[0-9a-f]{40}$")
    """Commit on the hub; needed there, since a branch's content changes under its name."""
    gguf_file: str | None = None
    """File with GGUF weights in there; `None` for safetensors."""
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Precision of the weights and of the arithmetic; GGUF weights are unpacked to it."""
    repetition_penalty: float = Field(default=1.0, ge=1)
    """Above 1, tokens that were said become less likely (arXiv 1909.05858): small models go less
    in circles, but lose the form of JSON, whose signs are repeated."""
    chat_template: str | None = None
    """Path of a Jinja template, for a model that brings none."""
    licence: str | None = None
    """Licence of weights on the hub, for the list of checkpoints."""

    @model_validator(mode="after")
    def _hub_is_pinned(self) -> Self:
        if self.weights.startswith("hub:") and self.revision is None:
            raise ValueError(
                f"weights={self.weights} needs revision=, the 40 digits of a commit on the hub"
            )
        return self


class LanguageSettings(Record):
    """A language model and how it answers."""

    name: str = Field(min_length=1)
    """What the model is called in artifacts and reports."""
    endpoint: EndpointSettings | None = None
    """Where it is asked; or else `local`."""
    local: LocalSettings | None = None
    """What runs here; or else `endpoint`."""
    temperature: float | None = Field(default=0.0, ge=0)
    """Randomness of its words: 0 takes the likeliest, `None` says nothing of it to a server."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Draws from the likeliest words of this share; `None` draws from all."""
    max_tokens: int = Field(default=1024, ge=1)
    """Length that an answer may have."""
    concurrency: int = Field(default=1, ge=1)
    """Requests that are on their way at once. A model on this machine takes one at a time."""
    budget: Budget = Budget()
    """What may be spent."""
    archive: str = "auto"
    """File that keeps every request and answer, so that nothing is paid twice: a path, or `auto`
    for one of the user's own cache."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.endpoint is None) == (self.local is None):
            raise ValueError("expected either endpoint or local, which say where the model is")
        if self.local is not None and self.temperature is None:
            raise ValueError("temperature=null: a model that runs here needs a number, such as 0")
        if self.budget.cost is not None and (self.endpoint is None or self.endpoint.prices is None):
            raise ValueError(
                f"budget.cost={self.budget.cost} needs endpoint.prices, the price of a million "
                "tokens; or limit budget.tokens"
            )
        return self
