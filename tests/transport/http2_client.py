"""A client of HTTP/2 over TLS, driven by the test: h2's state machine on a real connection."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import trio
from attrs import define, field
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)

E = TypeVar("E", bound=Event)


@define
class Answer:
    """What has come of one stream. `reset` is the error code of a RST_STREAM."""

    headers: dict[str, str] = field(factory=dict)
    body: bytearray = field(factory=bytearray)
    ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> int:
        """The status of the response; 0 without one."""
        return int(self.headers.get(":status", 0))


class Http2Client:
    """One connection. `read` takes in what the server sends; with `greedy` the windows are opened again at once."""

    def __init__(self, stream: trio.abc.Stream, *, greedy: bool = True) -> None:
        self.stream = stream
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.greedy = greedy
        self.answers: dict[int, Answer] = {}
        self.events: list[Event] = []
        self.ended = False

    async def start(self) -> None:
        """Send the preface."""
        self.h2.initiate_connection()
        await self.flush()

    async def flush(self) -> None:
        """Send what h2 has to send."""
        await self.stream.send_all(self.h2.data_to_send())

    def request(self, path: str = "/", method: str = "GET", *fields: tuple[str, str], end: bool = True) -> int:
        """Begin a request, which is sent by the next `flush`. Return its stream."""
        stream_id = self.h2.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path), *fields]
        self.h2.send_headers(stream_id, head, end_stream=end)
        self.answers[stream_id] = Answer()
        return stream_id

    async def get(self, path: str = "/", *fields: tuple[str, str]) -> Answer:
        """Send a request and return its complete answer."""
        stream_id = self.request(path, "GET", *fields)
        await self.flush()
        return await self.answer(stream_id)

    async def answer(self, stream_id: int) -> Answer:
        """Read until a stream has ended or is reset, or the connection has ended."""
        answer = self.answers[stream_id]
        await self.read_until(lambda: answer.ended or answer.reset is not None)
        return answer

    async def read_until(self, done: Callable[[], bool]) -> None:
        """Read until this holds, or the connection has ended, for a minute and a half at most."""
        with trio.fail_after(90):
            while not done() and not self.ended:
                await self.read()

    async def read(self) -> None:
        """Take in the next bytes."""
        try:
            data = await self.stream.receive_some(65536)
        except trio.BrokenResourceError:
            data = b""
        self.ended = not data
        for event in self.h2.receive_data(bytes(data)):
            self.events.append(event)
            answer = self.answers.get(getattr(event, "stream_id", None) or 0, Answer())
            match event:
                case ResponseReceived():
                    answer.headers = {str(name): str(value) for name, value in event.headers}
                case DataReceived():
                    answer.body += event.data
                    if self.greedy:
                        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case StreamEnded():
                    answer.ended = True
                case StreamReset():
                    answer.reset = int(event.error_code)
        if not self.ended and self.greedy:
            try:
                await self.flush()
            except trio.BrokenResourceError:
                self.ended = True

    def seen(self, kind: type[E]) -> list[E]:
        """Return the events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def goaway(self) -> int | None:
        """The error code of the last GOAWAY."""
        codes = [int(event.error_code) for event in self.seen(ConnectionTerminated) if event.error_code is not None]
        return codes[-1] if codes else None


@asynccontextmanager
async def http2_client(port: int, trusting: ssl.SSLContext, *, greedy: bool = True) -> AsyncIterator[Http2Client]:
    """An open connection whose preface is sent. `trusting` is a context that trusts the server."""
    trusting.set_alpn_protocols(["h2", "http/1.1"])
    tcp = await trio.open_tcp_stream("127.0.0.1", port)
    stream = trio.SSLStream(tcp, trusting, server_hostname="localhost", https_compatible=True)
    await stream.do_handshake()
    assert stream.selected_alpn_protocol() == "h2"
    client = Http2Client(stream, greedy=greedy)
    try:
        await client.start()
        yield client
    finally:
        await trio.aclose_forcefully(stream)
