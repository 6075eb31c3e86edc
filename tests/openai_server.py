"""A real HTTP server on this machine that speaks as much of OpenAI's protocol as is asked of it."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATH = "/v1/chat/completions"


@dataclass(frozen=True)
class Reply:
    """What the server answers, whatever was asked.

    Attributes:
        status: HTTP status.
        body: The body's bytes.
        headers: Headers besides those of the body.
        after: Seconds that it waits before it answers.
        cut: Whether it hangs up in the middle of the body.
        drip: Seconds between two bytes of the body; none sends it at once.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    after: float = 0.0
    cut: bool = False
    drip: float = 0.0


def said(text: str | None, *, refusal: str | None = None, reason: str = "stop") -> Reply:
    """A chat completion."""
    message = {"role": "assistant", "content": text, "refusal": refusal}
    completion = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "seer-2026-01-01",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18},
    }
    return Reply(body=json.dumps(completion).encode())


def failed(status: int, code: str, message: str, **headers: str) -> Reply:
    """An error in the protocol's form."""
    body = {"error": {"message": message, "type": "error", "code": code, "param": None}}
    return Reply(
        status,
        json.dumps(body).encode(),
        {name.replace("_", "-"): v for name, v in headers.items()},
    )


@dataclass
class Server:
    """The running server.

    Attributes:
        url: Address to be given as `base_url`.
        asked: Bodies of the requests that came.
        headers: Their headers.
    """

    url: str
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def serving(
    replies: Sequence[Reply] | Callable[[dict[str, Any]], Reply],
) -> Iterator[Server]:
    """Serves the replies one after another, the last of them again and again; or what is said to
    the body of a request."""
    waiting, one_at_a_time = threading.Event(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            asked = json.loads(body)
            with one_at_a_time:
                place = len(server.asked)
                server.asked.append(asked)
            if self.path != PATH:
                reply = failed(404, "not_found", f"no such path {self.path}")
            elif callable(replies):
                reply = replies(asked)
            else:
                reply = replies[min(place, len(replies) - 1)]
            server.headers.append({name.lower(): value for name, value in self.headers.items()})
            waiting.wait(reply.after)
            with suppress(BrokenPipeError, ConnectionResetError):  # who asked may not wait
                self._answer(reply)

        def _answer(self, reply: Reply) -> None:
            self.send_response(reply.status)
            for name, value in {"content-type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            body = reply.body[: len(reply.body) // 2] if reply.cut else reply.body
            step = 1 if reply.drip else max(1, len(body))
            for start in range(0, len(body), step):
                waiting.wait(reply.drip)
                self.wfile.write(body[start : start + step])
            self.close_connection = reply.cut

        def log_message(self, *_: object) -> None:
            """Is quiet."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Server(f"http://127.0.0.1:{http.server_port}/v1")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        waiting.set()
        http.shutdown()
        thread.join()
        http.server_close()
