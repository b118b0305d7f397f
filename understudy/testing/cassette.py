"""A cassette: HTTP exchanges with models' providers, recorded once and replayed without a network, for tests.

A cassette is a server on this machine, to which the variables of the providers' addresses point. While it records, it
passes each request on to the provider.

1. A recording has no headers of requests, and so no keys. In texts the findings of the policy `strict` are masked, and
   the texts that the test wants to hide. While recording, the client's answers are masked too, as in a replay.
2. A request is recognized by provider, path and body. Identifiers that differ from run to run count as equal.
3. A request that was not recorded is refused at once, and `NotRecorded` is raised at the end, even if the agent caught
   the refusal.
"""

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from attrs import define, evolve, field, frozen

from sanitization import STRICT, Sanitizer

RECORD: Final = "UNDERSTUDY_RECORD"
"""The variable by which cassettes record, if it is 1."""
VERSION: Final = 1
PROVIDERS: Final = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com"}
"""The addresses of the providers, by their names in paths of the cassette's server."""
MAX_BODY: Final = 64 * 1024 * 1024
TIMEOUT_S: Final = 600.0
LONG: Final = 2_000
"""Characters from which a text without spaces, an image or encrypted reasoning, is replaced by its digest."""
_ID: Final = re.compile(r"\b[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\b")
_UNREAD: Final = frozenset({"id", "type", "role", "model", "signature", "encrypted_content"})
"""Members that are not masked: they are no texts, and a changed value would be invalid."""
_OWN_HEADERS: Final = frozenset({"host", "content-length", "connection", "accept-encoding", "transfer-encoding"})
_KEPT_HEADERS: Final = ("content-type", "retry-after")


class NotRecorded(AssertionError):
    """A request is not on the cassette; the message says which, and where it differs from the most similar one."""


@frozen
class Recorded:
    """A request and its answer. `body` is the request's JSON, None without one; `answer` is text."""

    provider: str
    method: str
    path: str
    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(factory=dict)
    answer: str = ""


@define(eq=False)
class Cassette:
    """Use it as a context: `with Cassette("orders.json"):`. Models made inside use it.

    `hide` are texts to be masked, such as names. `record` defaults to whether UNDERSTUDY_RECORD is 1: then keys are
    needed, and the file is rewritten at the end. In a replay no key is needed, and no provider is asked.

    Raises:
        NotRecorded: On exit, for a request that was not recorded; on entry, if there is no file.
    """

    path: Path = field(converter=Path)
    hide: Sequence[str] = ()
    record: bool = field(factory=lambda: os.environ.get(RECORD) == "1")
    exchanges: list[Recorded] = field(factory=list, init=False)
    missing: list[str] = field(factory=list, init=False)
    _unplayed: list[Recorded] = field(factory=list, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    _addresses: dict[str, str] = field(factory=dict, init=False)
    _old_variables: dict[str, str | None] = field(factory=dict, init=False)
    _server: ThreadingHTTPServer | None = field(default=None, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)
    _sanitizer: Sanitizer = field(factory=lambda: Sanitizer(STRICT), init=False)

    def __enter__(self) -> Self:
        if not self.record:
            self.exchanges = _read(self.path)
            self._unplayed = list(self.exchanges)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        for name, address in PROVIDERS.items():
            self._addresses[name] = os.environ.get(f"{name.upper()}_BASE_URL") or address
            self._set(f"{name.upper()}_BASE_URL", f"http://127.0.0.1:{self._server.server_address[1]}/{name}")
            if not self.record:
                self._set(f"{name.upper()}_API_KEY", "on-the-cassette")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, value in self._old_variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
        if self.record and error is None:
            _write(self.path, self.exchanges)
        if self.missing and (error is None or isinstance(error, Exception)):
            raise NotRecorded("\n".join(self.missing)) from error

    def _set(self, name: str, value: str) -> None:
        self._old_variables[name] = os.environ.get(name)
        os.environ[name] = value

    def find(self, request: Recorded) -> Recorded | None:
        """Return the next recorded exchange of a request; None if there is none left, which `missing` notes."""
        with self._lock:
            for exchange in self._unplayed:
                if _key(exchange) == _key(request):
                    self._unplayed.remove(exchange)
                    return exchange
            self.missing.append(self._explain(request))
            return None

    def keep(self, exchange: Recorded) -> None:
        """Add an exchange to the recording."""
        with self._lock:
            self.exchanges.append(exchange)

    def address(self, provider: str) -> str:
        """Return the provider's own address."""
        return self._addresses[provider]

    def mask(self, text: str) -> str:
        """Return a text with the texts of `hide` and the findings of the filter masked."""
        for secret in self.hide:
            text = text.replace(secret, "(hidden)")
        return self._sanitizer.sanitize(text).text

    def masked(self, value: Any, ids: dict[str, str] | None = None) -> Any:
        """Return JSON with each text masked. With `ids`, for requests, identifiers are also replaced by numbers."""
        match value:
            case dict():
                return {
                    name: member if name in _UNREAD and ids is None else self.masked(member, ids)
                    for name, member in value.items()
                }
            case list():
                return [self.masked(item, ids) for item in value]
            case str() if ids is not None and len(value) > LONG and " " not in value:
                return f"sha256:{hashlib.sha256(value.encode()).hexdigest()[:16]}"
            case str() if ids is not None:
                return self.mask(_ID.sub(lambda match: ids.setdefault(match[0], f"(id {len(ids) + 1})"), value))
            case str():
                return self.mask(value)
        return value

    def _explain(self, request: Recorded) -> str:
        """Return why a request is not on the cassette."""
        what = f"{request.method} {request.path} of {request.provider}"
        remedy = f"Record anew with {RECORD}=1 and a key."
        similar = [past for past in self.exchanges if (past.provider, past.path) == (request.provider, request.path)]
        if not similar:
            return f"{self.path} has no recording of {what}. {remedy}"
        if any(_key(exchange) == _key(request) for exchange in similar):
            return f"{self.path} has {what} less often than it was asked. {remedy}"
        nearest = max(similar, key=lambda exchange: _likeness(exchange.body, request.body))
        number = self.exchanges.index(nearest) + 1
        place = next(_differences(nearest.body, request.body), "its form")
        nearest_is = f"recording {number} is most like it, but for {place}"
        return f"{self.path} has no recording of this {what}; {nearest_is}. {remedy}"


def _handler(tape: Cassette) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            if size > MAX_BODY:
                self.close_connection = True
                self._refuse(413)
                return
            self._answer(self.rfile.read(size))

        def _answer(self, sent: bytes | None) -> None:
            _, provider, path = self.path.split("/", 2) if self.path.count("/") > 1 else ("", "", "")
            try:
                body = None if sent is None else json.loads(sent)
            except ValueError:
                body = str(sent)
            request = Recorded(provider, self.command, f"/{path}", tape.masked(body, {}))
            try:
                if provider not in PROVIDERS:
                    self._refuse(404)
                elif tape.record:
                    self._pass_on(request, sent)
                elif (exchange := tape.find(request)) is None:
                    self._refuse(400)
                else:
                    self._begin(exchange.status, exchange.headers)
                    if exchange.answer:
                        self._piece(exchange.answer.encode())
                    self._piece(b"")
            except OSError:
                self.close_connection = True  # the client has left

        def _pass_on(self, request: Recorded, sent: bytes | None) -> None:
            """Ask the provider, stream its answer to the client, and record the exchange."""
            import httpx2  # needed by the providers' packages

            headers = {name: value for name, value in self.headers.items() if name.lower() not in _OWN_HEADERS}
            url = tape.address(request.provider).rstrip("/") + request.path
            with (
                httpx2.Client(timeout=TIMEOUT_S) as client,
                client.stream(request.method, url, content=sent, headers=headers) as answer,
            ):
                kept = {name: answer.headers[name] for name in _KEPT_HEADERS if name in answer.headers}
                self._begin(answer.status_code, kept)
                pieces: list[str] = []
                for piece in _masked_answer(tape, kept.get("content-type", ""), answer.iter_lines()):
                    pieces.append(piece)
                    self._piece(piece.encode())
                tape.keep(evolve(request, status=answer.status_code, headers=kept, answer="".join(pieces)))
                self._piece(b"")

        def _refuse(self, status: int) -> None:
            self._begin(status, {"content-type": "application/json"})
            self._piece(b'{"type":"error","error":{"type":"invalid_request_error","message":"not on the cassette"}}')
            self._piece(b"")

        def _begin(self, status: int, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()

        def _piece(self, content: bytes) -> None:
            """Send a piece of the answer. An empty piece ends the answer, and must be sent once."""
            self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
            self.wfile.flush()

    return Handler


def _masked_answer(tape: Cassette, kind: str, lines: Iterable[str]) -> Iterator[str]:
    """Yield an answer with its texts masked: an event stream line by line, any other answer as a whole."""
    if "event-stream" not in kind:
        text = "\n".join(lines)
        try:
            text = json.dumps(tape.masked(json.loads(text)))
        except ValueError:
            text = tape.mask(text)
        if text:
            yield text
        return
    for line in lines:
        data = line.removeprefix("data:").strip()
        if line.startswith("data:"):
            try:
                line = f"data: {json.dumps(tape.masked(json.loads(data)))}"
            except ValueError:
                line = f"data: {tape.mask(data)}"
        yield f"{line}\n"


def _key(exchange: Recorded) -> tuple[str, str, str, str]:
    return exchange.provider, exchange.method, exchange.path, json.dumps(exchange.body, sort_keys=True)


def _likeness(one: Any, other: Any) -> int:
    """Return how many characters two bodies have in common at their beginnings."""
    first, second = (json.dumps(body, sort_keys=True) for body in (one, other))
    return next(
        (n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )


def _differences(recorded: Any, sent: Any, place: str = "the body") -> Iterator[str]:
    """Yield the places where two bodies differ, each with both values."""
    if isinstance(recorded, dict) and isinstance(sent, dict):
        for name in dict.fromkeys((*recorded, *sent)):
            yield from _differences(recorded.get(name), sent.get(name), f"{place}.{name}".removeprefix("the body."))
    elif isinstance(recorded, list) and isinstance(sent, list) and len(recorded) == len(sent):
        for number, (one, other) in enumerate(zip(recorded, sent, strict=True)):
            yield from _differences(one, other, f"{place}[{number}]")
    elif recorded != sent:
        yield f"{place}: {_short(recorded)} was recorded, {_short(sent)} was sent"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else f"{text[:120]}…"


def _read(path: Path) -> list[Recorded]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["version"] != VERSION:
            raise NotRecorded(f"{path} is of another version: record anew with {RECORD}=1 and a key")
        return [Recorded(**row["request"], **row["response"]) for row in document["exchanges"]]
    except FileNotFoundError:
        raise NotRecorded(f"there is no cassette {path}: record it once with {RECORD}=1 and a key") from None
    except (ValueError, KeyError, TypeError) as error:
        raise NotRecorded(f"{path} is no cassette ({type(error).__name__}): record anew with {RECORD}=1") from error


def _write(path: Path, exchanges: Sequence[Recorded]) -> None:
    """Write the file atomically."""
    rows = [
        {
            "request": {"provider": row.provider, "method": row.method, "path": row.path, "body": row.body},
            "response": {"status": row.status, "headers": dict(row.headers), "answer": row.answer},
        }
        for row in exchanges
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    text = json.dumps({"version": VERSION, "exchanges": rows}, indent=1, ensure_ascii=False)
    temporary.write_text(f"{text}\n", encoding="utf-8")
    temporary.replace(path)
