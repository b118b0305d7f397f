"""A WebSocket client without tasks of its own: one read gives the events of every frame that it completed.

The Python client repairs gaps and drops repeats, which a check must see. And an event must cost little: the load often
shares the machine with the server.
"""

import ssl
from collections.abc import Iterable
from typing import Any, Final

import msgspec
import trio
from attrs import define, field
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import ProtocolError

from transport.client.dial import ConnectFailed, MonitoredStream, SocketUrl, open_stream
from understudy.wire.dialects import SUBPROTOCOL

CONNECT_S: Final = 30.0
"""Seconds for connecting, the handshake and `welcome`. A server under load takes a few."""
_READ_BYTES: Final = 64 * 1024


class Data(msgspec.Struct):
    """The members of `data` that are read."""

    code: str = ""
    message: str = ""


class LoadEvent(msgspec.Struct):
    """The members of an event that are read; the others are skipped by the decoder."""

    type: str
    seq: int | None = None
    thread_id: str | None = None
    run_id: str | None = None
    message_id: str | None = None
    timestamp: str = ""
    data: Data = msgspec.field(default_factory=Data)


class SocketEnded(Exception):
    """The socket was closed, lost or refused; the text says how, with the close code or status."""


_DECODE: Final = msgspec.json.Decoder(LoadEvent).decode
_DECODE_BATCH: Final = msgspec.json.Decoder(list[LoadEvent]).decode


@define(eq=False)
class LoadSocket:
    """An open socket. One task may read, any may send."""

    stream: MonitoredStream
    _protocol: WSConnection
    _unread: bool = False
    """Whether bytes that came with the answer to the handshake may hold events."""
    _text: list[str] = field(factory=list)
    _sending: trio.Lock = field(factory=trio.Lock)

    async def read(self) -> list[LoadEvent]:
        """Wait for bytes and return the events that they completed, perhaps none. Raises SocketEnded."""
        try:
            if not self._unread:
                self._protocol.receive_data(await self.stream.receive_some(_READ_BYTES) or None)
            self._unread = False
            events: list[LoadEvent] = []
            for event in self._protocol.events():
                await self._take(event, events)
        except (trio.BrokenResourceError, trio.ClosedResourceError, ProtocolError) as error:
            raise SocketEnded("lost") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SocketEnded("unreadable event") from error
        return events

    async def _take(self, event: Event, events: list[LoadEvent]) -> None:
        match event:
            case TextMessage(data=text, message_finished=finished):
                self._text.append(text)
                if finished:
                    whole = "".join(self._text)
                    self._text.clear()
                    events += _DECODE_BATCH(whole) if whole.startswith("[") else [_DECODE(whole)]
            case Ping():
                await self._send(event.response())
            case CloseConnection(code=code, reason=reason):
                raise SocketEnded(f"closed {int(code)}" + (f": {reason}" if reason else ""))
            case BytesMessage():
                raise SocketEnded("unreadable event")

    async def send(self, kind: str, payload: dict[str, Any]) -> None:
        """Send a command. Raises SocketEnded."""
        try:
            await self._send(TextMessage(msgspec.json.encode({"type": kind, "payload": payload}).decode()))
        except (trio.BrokenResourceError, trio.ClosedResourceError, ProtocolError) as error:
            raise SocketEnded("lost") from error

    async def _send(self, event: Event) -> None:
        async with self._sending:  # frames are encoded in the order in which they are written
            await self.stream.send_all(self._protocol.send(event))

    async def shake_hands(self, url: SocketUrl, token: str) -> None:
        """Ask for the upgrade, and read up to `welcome`. Raises SocketEnded."""
        headers = [(b"Authorization", b"Bearer " + token.encode())]
        request = Request(url.authority, url.resource, subprotocols=[SUBPROTOCOL], extra_headers=headers)
        try:
            await self._send(request)
            while True:
                self._protocol.receive_data(await self.stream.receive_some(_READ_BYTES) or None)
                if _accepted(self._protocol.events()):
                    break
        except (trio.BrokenResourceError, ProtocolError) as error:
            raise SocketEnded("lost during the handshake") from error
        self.stream.opened = self._unread = True
        refusal = ""
        while True:  # a refusal after the upgrade comes as an error, and then as a close code
            try:
                events = await self.read()
            except SocketEnded as ended:
                raise SocketEnded(refusal or str(ended)) from ended
            for event in events:
                if event.type == "welcome":
                    return
                refusal = event.data.message or refusal

    async def aclose(self) -> None:
        """Close the TCP connection without a closing handshake, as a browser does that is closed."""
        await self.stream.aclose()


async def open_socket(url: SocketUrl, token: str, tls: ssl.SSLContext | None = None) -> LoadSocket:
    """Connect, and wait for `welcome`. Raises SocketEnded."""
    with trio.move_on_after(CONNECT_S):
        try:
            stream = await open_stream(url, tls)
        except ConnectFailed as failed:
            raise SocketEnded(failed.ending.reason) from failed
        socket = LoadSocket(stream, WSConnection(ConnectionType.CLIENT))
        try:
            await socket.shake_hands(url, token)
        except BaseException:
            await socket.aclose()
            raise
        return socket
    raise SocketEnded("no answer to the handshake")


def _accepted(events: Iterable[Event]) -> bool:
    """Return whether one of the events is the server's consent; the later ones are left to be read."""
    for event in events:
        if isinstance(event, RejectConnection):
            raise SocketEnded(f"refused with {event.status_code}")
        if isinstance(event, AcceptConnection):
            return True
    return False
