"""Has a language model write a prompt set, and asks again for what cannot be used.

The set is asked for in rounds: each asks for all that is missing, in batches. An answer's prompts
are checked one by one, in the order of the batches, so that the set does not depend on which answer
came first. With the same answers the same requests follow: a killed session that is run again finds
what it asked in the archive, pays for nothing twice, and ends with the same set.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mora.language.model import Answer, LanguageError, LanguageModel, Reason, Structure
from mora.records import Prompt, PromptSource, Record, TaskName, content_hash
from prompts.asking import messages, schema
from prompts.briefs import Brief, briefs
from prompts.duplicates import NEAR, Wordings
from prompts.tags import MOVING_OBJECTS
from prompts.written import Fault, Item, Limits, read

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
"""Embeds texts: float32 (N, D), rows of unit length."""

FAULTS: Final[Mapping[Reason, Fault]] = {
    Reason.REFUSED: Fault.REFUSED,
    Reason.EMPTY: Fault.EMPTY,
    Reason.CUT_OFF: Fault.CUT_OFF,
    Reason.MALFORMED: Fault.NO_JSON,
    Reason.TOO_LONG: Fault.TOO_LONG,
}
"""What a request came to that may come to something else when it is asked in another way. Other
reasons end the session."""


class Order(Record):
    """What set is to be written, and how."""

    name: str = Field(min_length=1)
    """Name of the set; its prompts' ids begin with it."""
    task: TaskName
    mode: Literal["few_shot", "zero_shot"]
    """Whether examples are shown."""
    count: int = Field(ge=1)
    """Prompts of the set."""
    seed: int = Field(ge=0)
    """Decides what the prompts are to be about, and which examples are shown."""
    batch: int = Field(ge=1)
    """Prompts that are asked for in one request."""
    rounds: int = Field(ge=1)
    """How often a prompt is asked for at most."""
    examples: int = Field(ge=1)
    """Examples that are shown in one request, with mode=few_shot."""
    tags: bool
    """Whether the model says how its prompts are tagged; small models cannot."""
    language: str = Field(min_length=2)
    """Code of the language that the prompts are in."""
    fewest_words: int = Field(ge=1)
    """Words that a prompt has at least."""
    most_characters: int = Field(ge=1)
    """Characters that a prompt has at most."""
    near: float = Field(default=NEAR, gt=0, le=1)
    """Likeness by pairs of words from which two prompts are near-duplicates."""
    near_embedding: float = Field(default=0.9, gt=0, le=1)
    """Cosine of embeddings from which they are, where texts are embedded."""
    licence: str = "Apache-2.0"
    """Licence of the set."""


class Made(Record):
    """What came of an order so far."""

    asked: int
    """Prompts that were ordered."""
    made: int
    """Prompts that there are."""
    missing: Mapping[int, str]
    """Numbers of the others, and what was last wrong with each."""
    stopped: str | None
    """Why the session ended before its rounds did, where it did."""
    rounds: int
    """Rounds that were begun."""
    requests: int
    """Requests of these rounds, those found in the archive included."""
    faults: Mapping[str, int]
    """What was wrong with answers and prompts, and how often."""
    models: Mapping[str, int]
    """Models that really answered, and how often."""
    structures: Mapping[str, int]
    """How answers were held to the schema, and how often."""

    @property
    def complete(self) -> bool:
        """Whether the set has all its prompts."""
        return self.made == self.asked


@dataclass(frozen=True)
class Progress:
    """How far an order is.

    Attributes:
        round: The round, from 1.
        done: Prompts that there are.
        total: Prompts of the set.
        faults: What was wrong so far.
    """

    round: int
    done: int
    total: int
    faults: Mapping[Fault, int]


@dataclass
class _Session:
    """What there is so far."""

    taken: dict[int, Prompt] = field(default_factory=dict)
    last: dict[int, str] = field(default_factory=dict)
    faults: Counter[Fault] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    structures: Counter[Structure] = field(default_factory=Counter)
    requests: int = 0
    rounds: int = 0
    stopped: str | None = None


@dataclass(frozen=True)
class _Batch:
    """One request: what it asks for, and what it shows."""

    briefs: Sequence[Brief]
    examples: Sequence[Prompt]
    seed: int

    @property
    def numbers(self) -> list[int]:
        return [brief.number for brief in self.briefs]


def generate(
    order: Order,
    model: LanguageModel,
    *,
    max_tokens: int,
    concurrency: int = 1,
    examples: Sequence[Prompt] = (),
    sources: Sequence[Prompt] = (),
    unlike: Sequence[Prompt] = (),
    embed: Embed | None = None,
    report: Callable[[Progress], None] = lambda _: None,
    save: Callable[[Sequence[Prompt]], None] = lambda _: None,
) -> tuple[list[Prompt], Made]:
    """Has a language model write a prompt set.

    Args:
        order: What set, and how.
        model: Who writes it. Where its answers come from an archive, the session goes on where
            an earlier one ended.
        max_tokens: Length that an answer may have.
        concurrency: Requests that are on their way at once.
        examples: What few-shot draws its examples from.
        sources: Prompts of what a task with inputs starts from.
        unlike: Prompts that no prompt of the set may be a near-duplicate of.
        embed: Embeds texts, to find near-duplicates in other words; `None` goes by words alone.
        report: Called after each answer.
        save: Called after each round with the prompts so far, in their order.

    Returns:
        The prompts in their order, and what came of the order: all of them are there, or it says
        which are missing and why.

    Raises:
        ValueError: There are too few examples or sources.
    """
    if order.mode == "few_shot" and len(examples) < order.examples:
        raise ValueError(f"examples={order.examples}: found {len(examples)} of {order.task.value}")
    wanted = briefs(order.task, order.count, order.seed, sources)
    near = _Near(order, [*examples, *unlike], embed)
    session = _Session()
    with ThreadPoolExecutor(concurrency) as threads:
        for number in range(order.rounds):
            missing = [brief for brief in wanted if brief.number not in session.taken]
            if not missing or session.stopped is not None:
                break
            session.rounds = number + 1
            batches = list(_batches(order, missing, number, examples))
            asked = threads.map(lambda batch: _ask(order, model, batch, max_tokens), batches)
            for batch, outcome in zip(batches, asked, strict=True):
                session.requests += 1
                _take(order, session, batch, outcome, near)
                report(Progress(session.rounds, len(session.taken), order.count, session.faults))
            save(_in_order(session))
    return _in_order(session), _made(order, session, wanted)


def _in_order(session: _Session) -> list[Prompt]:
    return [session.taken[number] for number in sorted(session.taken)]


def _batches(
    order: Order, missing: Sequence[Brief], attempt: int, examples: Sequence[Prompt]
) -> Iterator[_Batch]:
    """Cuts what is missing into requests, smaller ones from round to round."""
    size = max(1, order.batch >> attempt)
    for start in range(0, len(missing), size):
        part = [brief.again(order.seed, attempt) for brief in missing[start : start + size]]
        seed = int(content_hash([order.seed, attempt, [each.number for each in part]])[:15], 16)
        yield _Batch(part, _shown(order, examples, seed), seed)


def _shown(order: Order, examples: Sequence[Prompt], seed: int) -> list[Prompt]:
    """Draws the examples of a request."""
    if order.mode == "zero_shot":
        return []
    drawn = np.random.default_rng(seed).permutation(len(examples))[: order.examples]
    return [examples[int(place)] for place in drawn]


def _ask(
    order: Order, model: LanguageModel, batch: _Batch, max_tokens: int
) -> Answer | LanguageError:
    asked = messages(order.task, batch.briefs, batch.examples, order.language, tags=order.tags)
    form = schema(order.task, tags=order.tags)
    try:
        return model.complete(asked, schema=form, seed=batch.seed, max_tokens=max_tokens)
    except LanguageError as error:
        return error


def _take(
    order: Order,
    session: _Session,
    batch: _Batch,
    outcome: Answer | LanguageError,
    near: "_Near",
) -> None:
    """Takes over what can be used of an answer, and counts what cannot."""
    answer = outcome if isinstance(outcome, Answer) else outcome.answer
    if answer is not None:
        session.models[answer.model] += 1
        session.structures[answer.structure] += 1
    if isinstance(outcome, LanguageError):
        fault = FAULTS.get(outcome.reason)
        session.last |= dict.fromkeys(batch.numbers, str(outcome))
        if fault is None:
            session.stopped = session.stopped or str(outcome)
        else:
            session.faults[fault] += 1
        if fault is not Fault.CUT_OFF:
            return
    if answer is None:
        return
    limits = Limits(order.fewest_words, order.most_characters)
    reading = read(answer.text, batch.numbers, order.task, limits, tags=order.tags)
    if isinstance(outcome, Answer):
        session.faults.update(reading.faults)
        told = ", ".join(dict.fromkeys(reading.faults)) or "it was not in the answer"
        session.last |= dict.fromkeys(batch.numbers, f"its answer: {told}")
    else:  # what the cut left out is counted as the cut
        left_out = (Fault.NO_JSON, Fault.MISSING)
        session.faults.update(each for each in reading.faults if each not in left_out)
    for brief in batch.briefs:
        item = reading.items.get(brief.number)
        if item is None:
            continue
        prompt = _prompt(order, batch, brief, item, answer)
        like = near.like(prompt)
        if like is None:
            near.add(prompt)
            session.taken[brief.number] = prompt
            session.last.pop(brief.number, None)
        else:
            session.faults[like.fault] += 1
            session.last[brief.number] = f"{like.fault}: of {like.other}"


def _prompt(order: Order, batch: _Batch, brief: Brief, item: Item, answer: Answer) -> Prompt:
    tags: dict[str, str | int | list[str]] = {}
    if order.tags:
        tags = {
            "subjects": list(item.subjects or ()),
            "style": item.style or "",
            "motion": list(item.motion or ()),
            MOVING_OBJECTS: item.moving_objects or 0,
        }
    if brief.inputs:
        tags["from"] = [each.id for each in brief.inputs]
    return Prompt(
        id=f"{order.name}-{brief.number:03}",
        task=order.task,
        text=item.text,
        tags=tags,
        language=order.language,
        source=PromptSource(
            model=answer.model,
            date=answer.at.date().isoformat(),
            mode=order.mode,
            examples=tuple(each.id for each in batch.examples),
        ),
        licence=order.licence,
    )


def _made(order: Order, session: _Session, wanted: Sequence[Brief]) -> Made:
    never = "it was not asked for"
    return Made(
        asked=order.count,
        made=len(session.taken),
        missing={
            brief.number: session.last.get(brief.number, never)
            for brief in wanted
            if brief.number not in session.taken
        },
        stopped=session.stopped,
        rounds=session.rounds,
        requests=session.requests,
        faults={fault.value: count for fault, count in sorted(session.faults.items())},
        models=dict(sorted(session.models.items())),
        structures={each.value: count for each, count in sorted(session.structures.items())},
    )


@dataclass(frozen=True)
class _Like:
    """What a prompt is too much like."""

    fault: Fault
    other: str


class _Near:
    """Finds what a prompt is too much like, by words and, where texts are embedded, by meaning.

    Args:
        order: The thresholds.
        others: Prompts of other sets to keep away from.
        embed: Embeds texts.
    """

    def __init__(self, order: Order, others: Sequence[Prompt], embed: Embed | None) -> None:
        self._order = order
        self._embed = embed
        self._wordings = Wordings(order.near)
        self._names: list[str] = []
        self._rows: list[NDArray[np.float32]] = []
        self._foreign: set[str] = set()
        for place, prompt in enumerate(others):
            name = f"other:{place}:{prompt.id}"
            self._foreign.add(name)
            self._add(name, prompt.text)

    def add(self, prompt: Prompt) -> None:
        """Adds a prompt of the set."""
        self._add(prompt.id, prompt.text)

    def like(self, prompt: Prompt) -> _Like | None:
        """Returns what a prompt is too much like, if anything."""
        found = self._wordings.like(prompt.id, prompt.text)
        name = found[0].first if found else self._near_in_meaning(prompt.text)
        if name is None:
            return None
        if name in self._foreign:
            return _Like(Fault.COPIED, name.split(":", 2)[2])
        return _Like(Fault.NEAR_DUPLICATE, name)

    def _add(self, name: str, text: str) -> None:
        self._wordings.add(name, text)
        if self._embed is not None:
            self._names.append(name)
            self._rows.append(self._embed([text])[0])

    def _near_in_meaning(self, text: str) -> str | None:
        if self._embed is None or not self._rows:
            return None
        cosines = np.stack(self._rows) @ self._embed([text])[0]
        nearest = int(cosines.argmax())
        return self._names[nearest] if cosines[nearest] >= self._order.near_embedding else None
