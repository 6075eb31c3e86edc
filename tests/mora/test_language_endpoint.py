"""Language models behind an address: a real server on this machine, in good and in bad moods."""

import socket
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from openai_server import Reply, failed, said, serving

from mora.errors import SettingError
from mora.language.endpoint import EndpointModel
from mora.language.model import LanguageError, Message, Reason, Structure
from mora.language.opening import key_of, purse_of
from mora.language.retry import asked_to_wait, backoff
from mora.language.settings import EndpointSettings, LanguageSettings

KEY = "sk-a-secret-that-nobody-may-see"
ASKED = [Message(role="system", content="You are brief."), Message(role="user", content="A fox?")]
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}}
PRICES = {"currency": "USD", "input": 1_000_000.0, "output": 10_000_000.0}
"""One a token of messages, ten a token of answers."""


def settings(
    url: str, *, common: dict[str, Any] | None = None, **endpoint: Any
) -> LanguageSettings:
    at = {"model": "seer", "base_url": url, "key_variable": None, "timeout": 5.0, "tries": 1}
    return LanguageSettings.model_validate(
        {"name": "seer", "endpoint": at | endpoint, "temperature": 0.5} | (common or {})
    )


class Asking:
    """A model whose pauses are noted, not waited for."""

    def __init__(
        self, chosen: LanguageSettings, key: str | None = KEY, chance: float = 0.0
    ) -> None:
        self.pauses: list[float] = []
        self.purse = purse_of(chosen)
        self.model = EndpointModel(
            chosen, key, self.purse, sleep=self.pauses.append, chance=lambda: chance
        )

    def __call__(self, schema: Any = None, max_tokens: int = 50, seed: int = 7) -> Any:
        return self.model.complete(ASKED, schema=schema, seed=seed, max_tokens=max_tokens)


def test_messages_are_sent_and_the_answer_comes_back_with_what_it_took() -> None:
    with serving([said(" A red fox. ")]) as server:
        answer = Asking(settings(server.url, prices=PRICES, length_field="max_completion_tokens"))()
    assert (answer.text, answer.finish, answer.model) == (" A red fox. ", "stop", "seer-2026-01-01")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (9, 9)
    assert answer.usage.cost == pytest.approx(9 + 90)
    assert not answer.usage.estimated
    [body] = server.asked
    assert body["messages"] == [each.model_dump() for each in ASKED]
    assert (body["model"], body["temperature"], body["seed"]) == ("seer", 0.5, 7)
    assert body["max_completion_tokens"] == 50
    assert "max_tokens" not in body
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


def test_nothing_tells_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-mine")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-of-mine")
    with serving([said("fine")]) as server:
        Asking(settings(server.url))()
    told = server.headers[0]
    assert [name for name in told if "stainless" in name] == ["x-stainless-raw-response"]
    assert "of-mine" not in str(told)
    assert told["user-agent"].startswith("mora-bench/")


def test_what_is_not_set_is_not_sent() -> None:
    with serving([said("fine")]) as server:
        Asking(settings(server.url, send_seed=False, common={"temperature": None}), key=None)()
        Asking(settings(server.url, common={"temperature": 0.0}))()  # draws nothing: no seed
    assert not {"temperature", "seed", "top_p"} & server.asked[0].keys()
    assert "seed" not in server.asked[1]


@pytest.mark.parametrize(
    ("replies", "pauses"),
    [
        ([failed(429, "rate_limit", "slow down", retry_after="3"), said("fine")], [3.0]),
        ([failed(429, "rate_limit", "slow", retry_after_ms="20"), said("fine")], [0.02]),
        ([failed(500, "oops", "a bug"), failed(503, "busy", "later"), said("fine")], [2.0, 4.0]),
        ([failed(500, "oops", "a bug")] * 4 + [said("fine")], [2.0, 4.0, 8.0, 9.0]),
        ([Reply(body=said("fine").body, cut=True), said("fine")], [2.0]),
        ([Reply(body=said("fine").body, after=2.0), said("fine")], [2.0]),
        ([Reply(body=said("fine").body, drip=0.1), said("fine")], [2.0]),
    ],
    ids=["429", "429-ms", "5xx", "many", "cut", "late", "by drops"],
)
def test_what_may_pass_is_tried_again(replies: list[Reply], pauses: list[float]) -> None:
    with serving(replies) as server:
        asking = Asking(
            settings(server.url, tries=6, timeout=0.4, first_pause=2.0, longest_pause=9.0)
        )
        answer = asking()
    assert answer.text == "fine"
    assert len(answer.tries) == len(pauses) == len(server.asked) - 1
    assert asking.pauses == pauses


def test_a_server_that_wants_a_long_pause_is_not_waited_for() -> None:
    with serving([failed(429, "rate_limit", "slow down", retry_after="3600")]) as server:
        asking = Asking(settings(server.url, tries=6, longest_pause=9.0))
        with pytest.raises(LanguageError, match=r"asks to wait 3,600 seconds") as raised:
            asking()
    assert raised.value.reason is Reason.BUSY
    assert asking.pauses == []
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("reply", "reason", "told"),
    [
        (failed(429, "rate_limit", "slow down"), "busy", r"status 429: .*slow down.*\(tries: 1\)"),
        (failed(429, "insufficient_quota", "no credit"), "rejected", "429: .*no credit"),
        (failed(500, "oops", "a bug"), "busy", "with status 500: .*a bug"),
        (failed(401, "invalid_api_key", f"wrong key {KEY}"), "rejected", r"wrong key \(the key\)"),
        (failed(404, "model_not_found", "no model seer"), "rejected", "404: .*no model seer"),
        (failed(400, "context_length_exceeded", "too many"), "too_long", "too many"),
        (failed(400, "content_policy_violation", "no"), "refused", "refused with status 400"),
        (said(None, refusal="I will not"), "refused", "refused: I will not"),
        (said("", reason="content_filter"), "refused", "refused: content_filter"),
        (said(None), "empty", "empty answer"),
        (said(" \n"), "empty", "empty answer"),
        (said("A fox that", reason="length"), "cut_off", "cut off after 50 tokens"),
        (Reply(body=b'{"choices": [{"message"'), "malformed", "no chat completion: {"),
        (Reply(body=b'{"choices": []}'), "malformed", "no chat completion"),
        (Reply(body=b"null"), "malformed", "no chat completion: null"),
        (Reply(body=b"[" * 100_000), "malformed", "no chat completion"),
        (Reply(body=b'{"choices": "many"}'), "malformed", "no chat completion"),
        (Reply(body=b"\xff\xfe"), "malformed", "no chat completion"),
        (Reply(body=b"<html>hi</html>"), "malformed", "<html>hi"),
        (Reply(body=said("fine").body, cut=True), "unreachable", "hung up"),
        (Reply(body=b"late", after=3.0), "timeout", r"no answer within 0.3 seconds \(tries: 1\)"),
        (Reply(body=b"slowly" * 5, drip=0.1), "timeout", "no answer within 0.3 seconds"),
    ],
)
def test_what_is_no_answer_says_why(reply: Reply, reason: str, told: str) -> None:
    with serving([reply]) as server:
        asking = Asking(settings(server.url, timeout=0.3))
        with pytest.raises(LanguageError, match=f"^seer at {server.url} .*{told}") as raised:
            asking()
    assert raised.value.reason is Reason(reason)
    failure = raised.value.failure()
    assert failure.kind == ("refused" if reason == "refused" else "error")
    assert KEY not in failure.message
    assert len(server.asked) == 1


def test_a_server_that_is_not_there_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    asking = Asking(settings(f"http://127.0.0.1:{port}/v1", tries=3))
    with pytest.raises(LanguageError, match=rf"127.0.0.1:{port}/v1 .*\(tries: 3\)") as raised:
        asking()
    assert raised.value.reason is Reason.UNREACHABLE
    assert len(asking.pauses) == 2


def test_a_cut_answer_comes_along_with_its_error() -> None:
    cut = said("A fox that", reason="length")
    with serving([cut]) as server, pytest.raises(LanguageError) as raised:
        Asking(settings(server.url))()
    assert raised.value.answer is not None
    assert raised.value.answer.text == "A fox that"
    assert raised.value.usage.tokens == 18


def test_a_schema_is_asked_for_by_the_servers_own_means() -> None:
    with serving([said('{"a": "x"}')]) as server:
        answer = Asking(settings(server.url))(SCHEMA)
    assert answer.structure is Structure.SCHEMA
    asked = server.asked[0]["response_format"]
    assert asked["type"] == "json_schema"
    assert asked["json_schema"]["schema"] == SCHEMA


def test_a_server_that_refuses_schemas_is_asked_in_words_and_the_answer_says_so() -> None:
    refused = failed(400, "unsupported_parameter", "no response_format here")
    with serving([refused, said('{"a": "x"}'), said('{"a": "y"}')]) as server:
        asking = Asking(settings(server.url))
        first, second = asking(SCHEMA), asking(SCHEMA)
    assert first.structure is second.structure is Structure.WORDS
    assert "response_format refused" in first.tries[0]
    assert ["response_format" in body for body in server.asked] == [True, False, False]
    assert '{"a": "<string>"}' in server.asked[1]["messages"][-1]["content"]


def test_a_fault_that_only_looks_like_a_refused_schema_is_told_and_not_remembered() -> None:
    bad = failed(400, "invalid_value", "the seed is odd")
    with serving([bad, bad, said('{"a": "x"}')]) as server:
        asking = Asking(settings(server.url))
        with pytest.raises(LanguageError, match="the seed is odd"):
            asking(SCHEMA)
        assert asking(SCHEMA).structure is Structure.SCHEMA


def test_the_key_is_in_no_text_that_is_kept() -> None:
    with serving([said(f"Your key is {KEY}."), failed(500, "oops", f"key {KEY}")]) as server:
        asking = Asking(settings(server.url))
        answer = asking()
        with pytest.raises(LanguageError) as raised:
            asking()
    kept = (answer.model_dump_json(), str(raised.value), str(raised.value.tries))
    assert KEY not in " ".join([*kept, repr(dict(asking.model.identity)), repr(asking.model)])


def test_the_key_comes_from_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    at = settings("http://a/v1", key_variable="MY_KEY").endpoint
    assert at is not None
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(SettingError, match="key_variable=MY_KEY: this environment variable"):
        key_of(at)
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    assert key_of(at) == KEY
    for address in ("http://me:pass@a/v1", "http://a/v1?key=x"):
        with pytest.raises(ValueError, match="would be stored with every answer"):
            EndpointSettings(model="seer", base_url=address, key_variable=None)


def test_a_budget_is_never_passed_even_by_many_at_once() -> None:
    # A request takes at most 32 + 22 bytes and as many tokens, and 50 of an answer.
    most = sum(len(each.content) + 16 for each in ASKED) + 50
    with serving([said("fine")]) as server:
        asking = Asking(settings(server.url, common={"budget": {"tokens": most + 2 * 18}}))
        outcomes: list[str] = []

        def ask() -> None:
            try:
                outcomes.append(asking().text)
            except LanguageError as error:
                outcomes.append(error.reason)

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        while "fine" in outcomes:  # until what is left does not do for one more
            outcomes.clear()
            ask()
    assert outcomes == [Reason.BUDGET]
    assert asking.purse.spent.tokens == 18 * len(server.asked) == 18 * 3


def test_tries_without_an_answer_count_as_the_most_that_they_can_have_cost() -> None:
    with serving([Reply(body=b"x" * 9, cut=True), said("fine")]) as server:
        asking = Asking(settings(server.url, tries=2, prices=PRICES))
        answer = asking()
    most = sum(len(each.content) + 16 for each in ASKED)
    assert answer.usage.input_tokens == most + 9
    assert answer.usage.output_tokens == 50 + 9
    assert answer.usage.cost == pytest.approx(most + 9 + 10 * (50 + 9))
    assert answer.usage.estimated
    assert asking.purse.spent == answer.usage


def test_a_budget_in_money_needs_prices() -> None:
    with pytest.raises(ValueError, match=r"budget.cost=1.0 needs endpoint.prices"):
        settings("http://a/v1", common={"budget": {"cost": 1.0}})
    with serving([said("fine")]) as server:
        asking = Asking(settings(server.url, prices=PRICES, common={"budget": {"cost": 500.0}}))
        with pytest.raises(LanguageError, match=r"budget.cost=500 .*Raise the budget"):
            asking()  # 50 tokens of an answer would cost 500, and its messages more
    assert server.asked == []


def test_pauses_double_and_are_shortened_by_chance() -> None:
    assert [backoff(n, 1.0, 60.0, 0.0) for n in (1, 2, 3, 7, 5000)] == [1, 2, 4, 60, 60]
    assert backoff(3, 1.0, 60.0, 1.0) == 2.0


def test_the_pause_that_a_server_asks_for_is_read_in_all_its_forms() -> None:
    now = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
    for headers, seconds in (
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Thu, 01 Jan 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "inf"}, None),
    ):
        assert asked_to_wait(headers, now) == seconds
