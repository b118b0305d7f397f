"""A client of event streams: the parser of the WHATWG HTML standard, section 9.2.6, over a real socket."""

import codecs
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import h11
import trio
from attrs import define, field

WAIT_S = 60.0


@define
class Message:
    """One event as EventSource would dispatch it."""

    kind: str
    data: str
    last_id: str

    @property
    def body(self) -> dict[str, Any]:
        decoded = json.loads(self.data)
        assert isinstance(decoded, dict)
        return decoded


@define
class Parser:
    """Turns bytes into events. `last_id` and `retry_ms` are the last values set; `comments` are recorded for tests."""

    last_id: str = ""
    retry_ms: int | None = None
    comments: list[str] = field(factory=list)
    _decoder: codecs.IncrementalDecoder = field(factory=lambda: codecs.getincrementaldecoder("utf-8-sig")("replace"))
    _rest: str = ""
    _kind: str = ""
    _data: list[str] = field(factory=list)
    _id: str | None = None

    def feed(self, chunk: bytes) -> list[Message]:
        """Parse bytes. A line ends with CRLF, LF or CR, an event with an empty line."""
        text = self._rest + self._decoder.decode(chunk)
        # A CR at the end may be half of a CRLF: it waits for what follows.
        kept = "\r" if text.endswith("\r") else ""
        lines = text[: len(text) - len(kept)].replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._rest = lines.pop() + kept
        return [message for line in lines if (message := self._line(line)) is not None]

    def _line(self, line: str) -> Message | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name:
            self.comments.append(value)
        elif name == "event":
            self._kind = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self.last_id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_ms = int(value)
        return None

    def _dispatch(self) -> Message | None:
        data, kind, self._data, self._kind = self._data, self._kind, [], ""
        return Message(kind or "message", "\n".join(data), self.last_id) if data else None


@define
class Stream:
    """An open event stream, or the refusal (then `body` is decoded)."""

    status: int
    headers: dict[str, str]
    socket: trio.SocketStream
    http: h11.Connection
    body: Any = None
    parser: Parser = field(factory=Parser)
    seen: list[Message] = field(factory=list)
    _ready: list[Message] = field(factory=list)

    async def read(self) -> Message:
        """Return the next event. Raises EOFError at the end of the answer."""
        with trio.fail_after(WAIT_S):
            while not self._ready:
                self._ready += self.parser.feed(await self.some())
        self.seen.append(self._ready.pop(0))
        return self.seen[-1]

    async def some(self) -> bytes:
        """Return some bytes of the answer. Raises EOFError at its end."""
        while True:
            event = self.http.next_event()
            if event is h11.NEED_DATA:
                self.http.receive_data(await self.socket.receive_some(65536))
            elif isinstance(event, h11.Data):
                return bytes(event.data)
            else:
                raise EOFError

    async def until(self, kind: str) -> dict[str, Any]:
        """Read up to the next event of this kind. Return its data."""
        while True:
            message = await self.read()
            if message.kind == kind:
                return message.body

    async def until_end(self) -> None:
        try:
            while True:
                await self.read()
        except EOFError:
            return

    def numbers(self) -> list[int]:
        """Return the seq of each durable event seen so far."""
        return [event.body["seq"] for event in self.seen if "seq" in event.body]

    def kinds(self) -> list[str]:
        return [event.kind for event in self.seen]


@asynccontextmanager
async def streaming(
    address: str,
    path: str,
    token: str | None = None,
    *,
    method: str = "GET",
    body: bytes = b"",
    headers: dict[str, str] | None = None,
) -> AsyncIterator[Stream]:
    """Request an event stream. Its connection is closed after the block."""
    where, http = urlsplit(address), h11.Connection(h11.CLIENT)
    lines = {"Host": where.netloc, "Accept": "text/event-stream", "Content-Length": str(len(body))}
    if token is not None:
        lines["Authorization"] = f"Bearer {token}"
    request = h11.Request(method=method, target=path, headers=list((lines | (headers or {})).items()))
    async with await trio.open_tcp_stream(where.hostname or "", where.port or 80) as socket:
        sent = (http.send(request) or b"") + (http.send(h11.Data(body)) or b"")
        await socket.send_all(sent + (http.send(h11.EndOfMessage()) or b""))
        with trio.fail_after(WAIT_S):
            while (event := http.next_event()) is h11.NEED_DATA:
                http.receive_data(await socket.receive_some(65536))
        assert isinstance(event, h11.Response)
        fields = {name.decode(): value.decode() for name, value in event.headers}
        stream = Stream(event.status_code, fields, socket, http)
        if fields.get("content-type") == "application/json":
            stream.body = json.loads(await _all(stream))
        yield stream


async def _all(stream: Stream) -> bytes:
    whole = b""
    try:
        while True:
            whole += await stream.some()
    except EOFError:
        return whole
