"""A fake provider: an HTTP server on a socket, which plays one scripted answer per request."""

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import attrs

KEY = "sk-test-not-a-real-key"


def text_chunk(text: str, finish: str | None = None) -> dict[str, Any]:
    """Return a chunk of text."""
    return chunk({"role": "assistant", "content": text}, finish)


def call_chunk(index: int, call_id: str | None, name: str | None, arguments: str | None) -> dict[str, Any]:
    """Return a chunk of a call."""
    function = {"name": name, "arguments": arguments}
    return chunk({"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]})


def end_chunk(finish: str) -> dict[str, Any]:
    """Return the last chunk of an answer."""
    return chunk({}, finish)


def usage_chunk(prompt: int, completion: int) -> dict[str, Any]:
    """Return the chunk that counts tokens."""
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {**chunk({}), "choices": [], "usage": usage}


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    """Return a chunk with one change."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "tiny",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


@attrs.define
class Script:
    """One answer. After its chunks, `hang` waits for the client to disconnect, and `drop` cuts the connection.

    A refusal, with an `error`, may have `headers`. `whole` is an answer that comes as one object, not as a stream;
    `kind` is a content type other than the usual one.
    """

    chunks: Iterable[dict[str, Any] | bytes] = ()
    status: int = 200
    error: dict[str, Any] | None = None
    done: bool = True
    hang: bool = False
    drop: bool = False
    headers: dict[str, str] = attrs.field(factory=dict)
    whole: dict[str, Any] | None = None
    kind: str = ""


class Provider:
    """The server. `requests` are the received bodies, `models` is what it says of models, by name.

    `left` is set when a client disconnects during an answer. It listens on a free port if none is given.
    """

    def __init__(self, port: int = 0) -> None:
        self.scripts: list[Script] = []
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.connections = 0
        self.models: dict[str, dict[str, Any]] = {}
        self.sent = threading.Event()
        self.left = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _door(self))
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"{self.root}/v1"

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "Provider":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _door(provider: Provider) -> Callable[..., BaseHTTPRequestHandler]:
    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            provider.connections += 1

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

        def do_POST(self) -> None:
            size = int(self.headers["content-length"])
            body = self.rfile.read(size)
            if len(body) < size:  # a client that gave up before it had sent its request
                provider.left.set()
                return
            provider.requests.append({"path": self.path, **json.loads(body)})
            provider.keys.append(self.headers["authorization"])
            script = provider.scripts.pop(0)
            try:
                if script.error is not None:
                    self._refuse(script)
                elif script.whole is not None:
                    self._answer(200, script.whole, {"content-type": script.kind or "application/json"})
                else:
                    self._stream(script)
            except OSError:
                self.close_connection = True
                provider.left.set()

        def do_GET(self) -> None:
            provider.keys.append(self.headers["authorization"])
            name = self.path.partition("/models/")[2]
            if provider.scripts and provider.scripts[0].error is not None:
                self._refuse(provider.scripts.pop(0))
            elif self.path.partition("?")[0].endswith("/models"):
                listed = [{"id": model, "object": "model", "type": "model"} for model in provider.models]
                self._answer(200, {"object": "list", "data": listed, "has_more": False})
            elif name in provider.models:
                self._answer(200, provider.models[name])
            else:
                self._answer(404, {"type": "error", "error": {"type": "not_found_error", "message": name}})

        def _refuse(self, script: Script) -> None:
            self._answer(script.status, {"type": "error", "error": script.error}, script.headers)

        def _answer(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            for name, value in ({"content-type": "application/json"} | dict(headers or {})).items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _stream(self, script: Script) -> None:
            self.send_response(200)
            self.send_header("content-type", script.kind or "text/event-stream")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for part in script.chunks:
                self._piece(part if isinstance(part, bytes) else b"data: " + json.dumps(part).encode() + b"\n\n")
            self.wfile.flush()
            provider.sent.set()
            if script.hang:
                self.connection.settimeout(10)
                if self.connection.recv(1) == b"":
                    provider.left.set()
            elif not script.drop:
                if script.done:
                    self._piece(b"data: [DONE]\n\n")
                self.wfile.write(b"0\r\n\r\n")
                return
            self.close_connection = True

        def _piece(self, content: bytes) -> None:
            self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")

    return Door


def port_of(provider: Provider) -> int:
    """Return the port of a provider."""
    port = urlsplit(provider.root).port
    assert port is not None
    return port
