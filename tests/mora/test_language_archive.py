"""Requests and answers are kept, and nothing is asked twice."""

import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import JsonValue

from mora.language.archive import Archive, Archived
from mora.language.model import Answer, LanguageError, Message, Reason, Schema, Usage
from mora.language.opening import purse_of
from mora.language.settings import LanguageSettings

TOOK = Usage(input_tokens=5, output_tokens=2, cost=0.25)


class Counting:
    """A model that answers with the number of its answers; or fails first, for given reasons."""

    name = "counting"

    def __init__(self, *fails: Reason, samples: bool = True, version: int = 1) -> None:
        self.fails = list(fails)
        self.samples = samples
        self.identity: Mapping[str, JsonValue] = {"model": "counting", "version": version}
        self.asked = 0

    def complete(
        self,
        messages: Sequence[Message],  # noqa: ARG002
        *,
        schema: Schema | None,  # noqa: ARG002
        seed: int,  # noqa: ARG002
        max_tokens: int,  # noqa: ARG002
    ) -> Answer:
        self.asked += 1
        answer = Answer(
            text=f"answer {self.asked}",
            finish="stop",
            model="counting-1",
            usage=TOOK,
            at=datetime.now(UTC),
        )
        if self.fails:
            reason = self.fails.pop(0)
            raise LanguageError(reason, f"it is {reason}", answer)
        return answer


def ask(model: Archived, text: str = "A fox?", **changed: object) -> str:
    given = {"schema": None, "seed": 1, "max_tokens": 9} | changed
    messages = [Message(role="user", content=text)]
    return model.complete(messages, **given).text


def archived(path: Path, model: Counting, *, repeat: bool = True) -> Archived:
    return Archived(model, Archive(path), repeat_failures=repeat)


def test_the_same_question_gets_the_same_answer_also_from_another_session(tmp_path: Path) -> None:
    path, model = tmp_path / "kept.jsonl", Counting()
    one = archived(path, model)
    assert ask(one) == ask(one) == ask(archived(path, model)) == "answer 1"
    assert (one.asked, one.found) == (1, 1)
    for changed in (
        {"text": "A dog?"},
        {"seed": 2},
        {"max_tokens": 10},
        {"schema": {"type": "object"}},
    ):
        before = model.asked
        assert ask(one, **changed) == f"answer {before + 1}"
    assert ask(archived(path, Counting(version=2))) == "answer 1"


def test_a_model_that_draws_nothing_is_asked_once_for_all_seeds(tmp_path: Path) -> None:
    greedy = archived(tmp_path / "kept.jsonl", Counting(samples=False))
    assert ask(greedy, seed=1) == ask(greedy, seed=2)


def test_everything_is_kept_the_failures_too(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    model = archived(path, Counting(Reason.REFUSED))
    with pytest.raises(LanguageError):
        ask(model)
    ask(model, "A dog?")
    archive = Archive(path)
    assert archive.spent == TOOK + TOOK
    assert archive.spent.cost == 0.5
    text = path.read_text()
    for kept in ("A fox?", "A dog?", "it is refused", "answer 1", "answer 2", "counting-1"):
        assert kept in text
    budget = {"budget": {"tokens": 9}, "local": {"weights": "x"}}
    chosen = LanguageSettings.model_validate({"name": "x", **budget})
    with pytest.raises(LanguageError, match="14 are spent"):
        purse_of(chosen, archive).promise(1, 1)  # what a killed session spent counts
    purse_of(chosen).promise(1, 1)


@pytest.mark.parametrize(
    ("reason", "repeat", "again"),
    [
        (Reason.REFUSED, True, "refused"),
        (Reason.CUT_OFF, True, "cut_off"),
        (Reason.REFUSED, False, "answer 2"),
        (Reason.BUSY, True, "answer 2"),
        (Reason.TIMEOUT, False, "answer 2"),
    ],
)
def test_a_paid_failure_is_repeated_where_asked_for_and_others_are_tried_anew(
    tmp_path: Path, reason: Reason, repeat: bool, again: str
) -> None:
    path, model = tmp_path / "kept.jsonl", Counting(reason)
    with pytest.raises(LanguageError):
        ask(archived(path, model, repeat=repeat))
    later = archived(path, model, repeat=repeat)
    if again != "answer 2":
        with pytest.raises(LanguageError, match=f"it is {again}") as raised:
            ask(later)
        assert raised.value.answer is not None
        assert model.asked == 1
    else:
        assert ask(later) == again


def test_a_request_that_was_never_sent_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    with pytest.raises(LanguageError):
        ask(archived(path, Counting(Reason.BUDGET)))
    assert not path.exists()


def test_a_line_that_a_kill_left_half_written_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, model = tmp_path / "kept.jsonl", Counting()
    ask(archived(path, model))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    later = archived(path, model)
    assert "line 2: passed over" in caplog.text
    assert ask(later) == "answer 1"
    assert ask(later, "A dog?") == "answer 2"
    assert ask(archived(path, model), "A dog?") == "answer 2"


def test_who_asks_the_same_at_the_same_time_waits_for_the_answer(tmp_path: Path) -> None:
    model = Counting()
    shared = archived(tmp_path / "kept.jsonl", model)
    heard: list[str] = []
    threads = [threading.Thread(target=lambda: heard.append(ask(shared))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == ["answer 1"] * 8
    assert model.asked == 1


def test_many_processes_may_write_into_one_archive(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path[:0] = [{here!r}]\n"
        "from pathlib import Path\n"
        "from test_language_archive import Counting, archived, ask\n"
        "model = archived(Path({path!r}), Counting())\n"
        "for number in range(20): ask(model, f'{{sys.argv[1]}} {{number}}')\n"
    )
    path = tmp_path / "kept.jsonl"
    text = code.format(here=str(Path(__file__).parent), path=str(path))
    root = Path(__file__).parents[2]
    writers = [
        subprocess.Popen([sys.executable, "-c", text, str(each)], cwd=root) for each in range(3)
    ]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert len(path.read_text().splitlines()) == 60
    assert Archive(path).spent.tokens == 60 * TOOK.tokens
