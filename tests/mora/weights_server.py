"""A real HTTP server on this machine whose files misbehave as they are told to."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class Cut:
    """An answer whose connection ends after so many bytes."""

    after: int


@dataclass
class Served:
    """A file, and how it is served.

    Attributes:
        content: Its bytes.
        etag: Its ETag, quoted; `None` sends none.
        ranges: Whether `Range` is honoured.
        heeds_if_range: Whether `If-Range` is honoured.
        answers: How the next requests are answered, one each: with a status, or cut off.
        then: Status of all further requests; `None` serves the file.
        redirects: Whether the answer is to go to the header `Location`.
        headers: Further headers.
        stall: If set, half of the file is sent, and the rest only after the event.
    """

    content: bytes
    etag: str | None = '"v1"'
    ranges: bool = True
    heeds_if_range: bool = True
    answers: list[int | Cut] = field(default_factory=list)
    then: int | None = None
    redirects: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    stall: threading.Event | None = None


@dataclass
class Asked:
    """A request that came."""

    method: str
    target: str
    headers: dict[str, str]
    sent: int = 0


class Server:
    """The server: `files` by path, and `asked`, every request in its order."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.files: dict[str, Served] = {}
        self.asked: list[Asked] = []

    def url(self, path: str) -> str:
        return f"{self.address}{path}"

    def add_repository(self, name: str, revision: str, files: dict[str, bytes]) -> None:
        """Speaks the hub's protocol for a repository: large files by sha256, others as git does."""
        siblings = [{"rfilename": file, "size": len(files[file])} for file in files]
        info = {"id": name, "modelId": name, "sha": revision, "siblings": siblings}
        self.files[f"/api/models/{name}/revision/{revision}"] = Served(json.dumps(info).encode())
        tree: list[dict[str, object]] = []
        for file, content in files.items():
            framed = b"blob %d\0" % len(content) + content
            blob = hashlib.sha1(framed, usedforsecurity=False).hexdigest()
            large = file.endswith((".safetensors", ".bin", ".pth"))
            etag = hashlib.sha256(content).hexdigest() if large else blob
            entry = {"type": "file", "path": file, "size": len(content), "oid": blob}
            lfs = {"oid": etag, "size": len(content), "pointerSize": 134}
            tree.append({**entry, "lfs": lfs} if large else entry)
            self.files[f"/{name}/resolve/{revision}/{file}"] = Served(
                content, etag=f'"{etag}"', headers={"X-Repo-Commit": revision}
            )
        self.files[f"/api/models/{name}/tree/{revision}"] = Served(json.dumps(tree).encode())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Server

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""

    def _answer(self, *, body: bool) -> None:
        asked = Asked(self.command, self.path, {k.title(): v for k, v in self.headers.items()})
        self.state.asked.append(asked)
        served = self.state.files.get(unquote(urlsplit(self.path).path))
        if served is None:
            self._plain(404)
            return
        answer = served.answers.pop(0) if body and served.answers else served.then
        if served.redirects:
            answer = 302
        if isinstance(answer, int):
            self._plain(answer, served.headers)
            return
        whole, start, status = served.content, 0, 200
        wanted = asked.headers.get("Range")
        condition = asked.headers.get("If-Range")
        if wanted and served.ranges:
            if not served.heeds_if_range or condition in (None, served.etag):
                start, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
            if start >= len(whole) and status == 206:
                self._plain(416, {"Content-Range": f"bytes */{len(whole)}"})
                return
        rest = whole[start:]
        self.send_response(status)
        self.send_header("Content-Length", str(len(rest)))
        if served.etag:
            self.send_header("ETag", served.etag)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
        for name, value in served.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            cut = answer.after if isinstance(answer, Cut) else len(rest)
            self._send(served, rest, cut, asked)

    def _send(self, served: Served, rest: bytes, cut: int, asked: Asked) -> None:
        if served.stall is not None and not served.stall.is_set():
            half = len(rest) // 2
            self.wfile.write(rest[:half])
            self.wfile.flush()
            asked.sent = half
            served.stall.wait(30)
            rest = rest[half:]
            cut = len(rest)
        try:
            self.wfile.write(rest[:cut])
            self.wfile.flush()
        except OSError:  # the client has gone
            self.close_connection = True
            return
        asked.sent += min(cut, len(rest))
        if cut < len(rest):
            self.close_connection = True

    def _plain(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Nothing on the terminal: clients that are killed are meant."""


@contextmanager
def serving() -> Iterator[Server]:
    """Runs a server on a free port of this machine."""
    server = _HTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {}))
    state = Server(f"http://127.0.0.1:{server.server_address[1]}")
    server.RequestHandlerClass.state = state  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
