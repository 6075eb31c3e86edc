"""Captions from a server: a real one on this machine, in good and in bad moods."""

import base64
import io
import socket
from typing import Any

import numpy as np
import pytest
from goldens import golden
from openai_server import Reply, failed, said, serving
from PIL import Image

from metrics.captioners.captioner import CaptionError, Captions, NoStore
from metrics.captioners.endpoint import EndpointCaptioner, EndpointSettings
from mora.records import FailureKind

KEY = "sk-a-secret-that-nobody-may-see"
CLIP = golden.clip("captions", 3, 24, 40)
ASKED = "What does the video show?"


def captioner(url: str, key: str | None = KEY, **settings: Any) -> EndpointCaptioner:
    chosen = {
        "model": "seer",
        "base_url": url,
        "temperature": 0.0,
        "seed": 0,
        "max_tokens": 50,
        "side": 512,
        "timeout": 5.0,
        "retries": 0,
    }
    return EndpointCaptioner(EndpointSettings.model_validate(chosen | settings), key)


def test_frames_and_question_are_sent_and_the_answer_comes_back() -> None:
    with serving([said(" A red circle\nmoves. ")]) as server:
        asked = captioner(server.url)
        assert asked.caption(CLIP, 8.0, ASKED) == " A red circle\nmoves. "
        assert Captions(asked, NoStore()).of(CLIP, 8.0, ASKED) == "A red circle moves."
    body = server.asked[0]
    assert (body["model"], body["temperature"], body["seed"]) == ("seer", 0.0, 0)
    assert body["max_completion_tokens"] == 50
    [message] = body["messages"]
    *pictures, text = message["content"]
    assert text == {"type": "text", "text": ASKED}
    sent = [_picture(each["image_url"]["url"]) for each in pictures]
    np.testing.assert_array_equal(np.stack(sent), CLIP)
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


def test_large_frames_are_scaled_down_and_small_ones_are_not() -> None:
    frames = golden.clip("large", 1, 30, 90)
    with serving([said("a picture")]) as server:
        captioner(server.url, side=45).caption(frames, 1.0, ASKED)
        captioner(server.url, side=90).caption(frames, 1.0, ASKED)
    shapes = [
        _picture(body["messages"][0]["content"][0]["image_url"]["url"]).shape
        for body in server.asked
    ]
    assert shapes == [(15, 45, 3), (30, 90, 3)]


def test_what_is_not_set_is_not_sent_and_a_server_without_keys_gets_none() -> None:
    with serving([said("a picture")]) as server:
        captioner(server.url, key=None, temperature=None, seed=None).caption(CLIP, 8.0, ASKED)
    assert not {"temperature", "seed"} & server.asked[0].keys()
    assert KEY not in str(server.headers[0])


@pytest.mark.parametrize(
    ("replies", "asked"),
    [
        ([failed(429, "rate_limit", "slow down", retry_after_ms="20"), said("fine")], 2),
        ([failed(500, "oops", "a bug"), failed(503, "busy", "later"), said("fine")], 3),
        ([Reply(body=b"late", after=1.0), said("fine")], 2),
    ],
    ids=["429", "5xx", "late"],
)
def test_what_may_pass_is_tried_again(replies: list[Reply], asked: int) -> None:
    with serving(replies) as server:
        assert captioner(server.url, retries=2, timeout=0.3).caption(CLIP, 8.0, ASKED) == "fine"
    assert len(server.asked) == asked


@pytest.mark.parametrize(
    ("reply", "kind", "told"),
    [
        (failed(429, "rate_limit", "slow down"), "error", "with status 429: .*slow down"),
        (failed(500, "oops", "a bug"), "error", "with status 500: .*a bug"),
        (failed(401, "invalid_api_key", f"wrong key {KEY}"), "error", r"wrong key \(the key\)"),
        (failed(404, "model_not_found", "no model seer"), "error", "status 404: .*no model seer"),
        (failed(400, "content_policy_violation", "no"), "refused", "refused with status 400"),
        (said(None, refusal="I cannot look at this"), "refused", "refused: I cannot look"),
        (said("", reason="content_filter"), "refused", "refused: content_filter"),
        (said(None), "error", "gave an empty answer"),
        (said(" \n"), "error", "gave an empty answer"),
        (said("A red circle that", reason="length"), "error", "cut off after 50 tokens"),
        (Reply(body=b'{"choices": [{"message"'), "error", "cannot be read"),
        (Reply(body=b'{"choices": []}'), "error", "without a message"),
        (Reply(body=b"null"), "error", "without a message"),
        (Reply(body=b'{"choices": "many"}'), "error", "without a message"),
        (Reply(body=b"<html>hello</html>", headers={"content-type": "text/html"}), "error", "html"),
        (Reply(body=said("fine").body, cut=True), "error", "cannot be"),
        (Reply(body=b"late", after=3.0), "error", "no answer within 0.3 seconds \\(tries: 1\\)"),
    ],
)
def test_what_is_no_caption_says_why(reply: Reply, kind: str, told: str) -> None:
    with serving([reply]) as server:
        asked = captioner(server.url, timeout=0.3)
        with pytest.raises(CaptionError, match=f"^seer at {server.url} .*{told}") as raised:
            asked.caption(CLIP, 8.0, ASKED)
    failure = raised.value.failure()
    assert failure.kind is FailureKind(kind)
    assert KEY not in failure.message
    assert len(server.asked) == 1


def test_a_server_that_is_not_there_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(CaptionError, match=f"127.0.0.1:{port}/v1 cannot be reached: "):
        captioner(f"http://127.0.0.1:{port}/v1").caption(CLIP, 8.0, ASKED)


def test_settings_for_fingerprints_hold_all_but_the_key() -> None:
    one = captioner("http://a/v1")
    assert KEY not in repr(one)
    assert KEY not in str(dict(one.settings))
    assert one.settings["name"] == "seer"
    for change in (
        {"model": "other"},
        {"base_url": "http://b/v1"},
        {"temperature": None},
        {"seed": 1},
        {"max_tokens": 60},
        {"side": 100},
    ):
        url = str(change.pop("base_url", "http://a/v1"))
        assert captioner(url, **change).settings != one.settings
    assert captioner("http://a/v1", timeout=9.0, retries=9).settings == one.settings


class _Shelf:
    def __init__(self) -> None:
        self.kept: dict[str, tuple[str, str]] = {}

    def caption(self, key: str) -> str | None:
        return self.kept[key][0] if key in self.kept else None

    def keep_caption(self, key: str, text: str, captioner: str) -> None:
        self.kept[key] = (text, captioner)


def test_a_caption_is_asked_for_once_and_a_failure_again() -> None:
    shelf = _Shelf()
    with serving([failed(400, "bad", "no"), said("first"), said("second")]) as server:
        captions = Captions(captioner(server.url), shelf)
        with pytest.raises(CaptionError):
            captions.of(CLIP, 8.0, ASKED)
        assert not shelf.kept
        assert [captions.of(CLIP, 8.0, ASKED) for _ in range(3)] == ["first"] * 3
        assert list(shelf.kept.values()) == [("first", "seer")]
        assert len(server.asked) == 2
        other = CLIP.copy()
        other[-1, 0, 0, 0] ^= 1
        changed = Captions(captioner(server.url, seed=7), shelf)
        for ask in (
            lambda: captions.of(other, 8.0, ASKED),
            lambda: captions.of(CLIP, 7.0, ASKED),
            lambda: captions.of(CLIP, 8.0, "Who?"),
            lambda: captions.of(CLIP.reshape(3, 40, 24, 3), 8.0, ASKED),
            lambda: changed.of(CLIP, 8.0, ASKED),
        ):
            before = len(server.asked)
            assert ask() == "second"
            assert len(server.asked) == before + 1


def _picture(url: str) -> np.ndarray:
    head, _, data = url.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
