"""Serves a small language model over OpenAI's protocol, to try a client against a real server.

    python benchmarks/serve_language_model.py DIR --gguf NAME.gguf --port 8123

It has one model, takes one question at a time, and refuses `response_format` with status 400, as
servers do that cannot hold a model to a schema.
"""

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from mora.language.local import LocalModel
from mora.language.model import Answer, LanguageError, Message, Reason
from mora.language.purse import Purse
from mora.language.settings import LanguageSettings, LocalSettings

PATH = "/v1/chat/completions"


def handler(model: LocalModel) -> type[BaseHTTPRequestHandler]:
    """Makes the class that answers requests with a model."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.path != PATH:
                self._say(404, error(f"no such path {self.path}", "not_found"))
            elif "response_format" in asked:
                self._say(400, error("response_format is not supported", "unsupported_parameter"))
            else:
                self._say(*answered(model, asked))

        def _say(self, status: int, body: dict[str, Any]) -> None:
            said = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

    return Handler


def answered(model: LocalModel, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Status and body of the answer to a request."""
    messages = [Message.model_validate(each) for each in asked["messages"]]
    limit, seed = asked.get("max_tokens", 256), asked.get("seed", 0)
    try:
        answer = model.complete(messages, schema=None, seed=seed, max_tokens=limit)
    except LanguageError as failure:
        if failure.answer is None:
            code = "context_length_exceeded" if failure.reason is Reason.TOO_LONG else "error"
            return 400, error(str(failure), code)
        answer = failure.answer
    return 200, completion(answer)


def completion(answer: Answer) -> dict[str, Any]:
    """An answer in the protocol's form."""
    message = {"role": "assistant", "content": answer.text}
    return {
        "object": "chat.completion",
        "model": answer.model,
        "choices": [{"index": 0, "message": message, "finish_reason": answer.finish}],
        "usage": {
            "prompt_tokens": answer.usage.input_tokens,
            "completion_tokens": answer.usage.output_tokens,
        },
    }


def error(message: str, code: str) -> dict[str, Any]:
    """An error in the protocol's form."""
    return {"error": {"message": message, "type": "error", "code": code}}


def main() -> None:
    """Serves until it is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", help="folder of the model")
    parser.add_argument("--gguf", help="GGUF file in it")
    parser.add_argument("--name", default="small", help="what the model is called")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    settings = LanguageSettings(
        name=chosen.name,
        local=LocalSettings(weights=chosen.weights, gguf_file=chosen.gguf),
        temperature=chosen.temperature,
    )
    with LocalModel.opened(settings, chosen.device, Purse(settings.budget)) as model:
        server = ThreadingHTTPServer(("127.0.0.1", chosen.port), handler(model))
        print(f"http://127.0.0.1:{server.server_port}/v1", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
