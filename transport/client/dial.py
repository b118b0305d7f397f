"""Connect to a server: TCP, TLS, and the WebSocket handshake, within one deadline."""

import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias
from urllib.parse import SplitResult, urlsplit

import trio
from attrs import define, field, frozen
from trio_websocket import ConnectionRejected, WebSocketConnection, wrap_client_stream

from transport.client.decoder import MAX_FRAME_BYTES
from transport.client.reconnect import ConnectionEnd, ended_by_refusal

_MAX_HANDSHAKE_BYTES: Final = 256 * 1024  # most bytes of the answer to a handshake; more end the attempt
_PIECE_BYTES: Final = 64 * 1024  # most bytes of one read

Stream: TypeAlias = trio.SocketStream | trio.SSLStream[trio.SocketStream]


class ConnectFailed(Exception):
    """No connection could be made; `ending` says why."""

    def __init__(self, ending: ConnectionEnd) -> None:
        super().__init__(ending.reason)
        self.ending = ending


@frozen
class SocketUrl:
    """The parsed URL of a server's WebSocket, and the subprotocol to ask for there, if any."""

    secure: bool
    host: str
    port: int
    authority: str
    resource: str
    subprotocol: str | None = None

    @classmethod
    def parse(cls, url: str, subprotocol: str | None = None) -> "SocketUrl":
        """Parse `ws://host:port/path` or `wss://…`. Raises ValueError for any other URL."""
        parts: SplitResult = urlsplit(url)
        valid = parts.scheme in ("ws", "wss") and parts.hostname and parts.port != 0
        if not valid or "@" in parts.netloc or not url.isascii() or not url.isprintable() or " " in url:
            raise ValueError("that is not the address of a WebSocket; ws://127.0.0.1:8002/ws is one")
        secure = parts.scheme == "wss"
        resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        port = parts.port or (443 if secure else 80)
        return cls(secure, parts.hostname or "", port, parts.netloc, resource, subprotocol)


@define(eq=False)
class MonitoredStream(trio.abc.Stream):
    """A stream that records when it last received bytes, and whether it has ended.

    Before `opened`, more than _MAX_HANDSHAKE_BYTES are an error: a refusal without end.
    """

    stream: Stream
    opened: bool = False
    ended: trio.Event = field(factory=trio.Event)
    heard_at: float = field(factory=trio.current_time)
    _heard: int = 0

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive bytes and record the time."""
        try:
            piece = bytes(await self.stream.receive_some(_PIECE_BYTES))
            self._heard += 0 if self.opened else len(piece)
            if self._heard > _MAX_HANDSHAKE_BYTES:
                raise trio.BrokenResourceError("the answer to the handshake has no end")
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.ended.set()
            raise
        self.heard_at = trio.current_time()
        if not piece:
            self.ended.set()
        return piece

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes."""
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until `send_all` might not block."""
        await self.stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Close without TLS's closing handshake: that of the WebSocket has taken place."""
        await trio.aclose_forcefully(self.stream)


async def open_stream(address: SocketUrl, tls: ssl.SSLContext | None) -> MonitoredStream:
    """Open a stream to the server, with TLS if the URL asks for it. Raises ConnectFailed. Call it with a deadline."""
    try:
        if not address.secure:
            return MonitoredStream(await trio.open_tcp_stream(address.host, address.port))
        stream = await trio.open_ssl_over_tcp_stream(
            address.host, address.port, https_compatible=True, ssl_context=tls or ssl.create_default_context()
        )
    except (OSError, UnicodeError) as error:
        raise ConnectFailed(ConnectionEnd(f"no connection can be made ({_os_error_text(error)})")) from None
    try:
        await stream.do_handshake()
    except trio.BrokenResourceError as error:
        await trio.aclose_forcefully(stream)
        why = getattr(error.__cause__, "verify_message", None) or "it does not speak TLS"
        raise ConnectFailed(ConnectionEnd(f"no secure connection to the server ({why})")) from None
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return MonitoredStream(stream)


def _os_error_text(error: OSError | UnicodeError) -> str:
    causes = [cause for cause in flatten_errors(error.__cause__ or error) if isinstance(cause, OSError)]
    return next((cause.strerror for cause in causes if cause.strerror), "the host name cannot be resolved")


@frozen
class _ReaderNursery:
    """A nursery for the library's reader task: any error there is the server's fault, and becomes ConnectFailed."""

    nursery: trio.Nursery

    def start_soon(self, read: Callable[[], Awaitable[None]]) -> None:
        """Start the reader."""
        self.nursery.start_soon(self._read, read)

    async def _read(self, read: Callable[[], Awaitable[None]]) -> None:
        try:
            await read()
        except ConnectionRejected as rejected:
            raise ConnectFailed(ended_by_refusal(rejected.status_code, rejected.headers, time.time())) from None
        except Exception as error:  # errors of three protocol libraries, and what invalid bytes cause in them
            raise ConnectFailed(ConnectionEnd("the server does not follow the WebSocket protocol")) from error


async def open_websocket(
    nursery: trio.Nursery, stream: MonitoredStream, address: SocketUrl, token: str | None
) -> WebSocketConnection:
    """Open the WebSocket. Raises ConnectFailed. Call it with a deadline.

    Its reader runs in `nursery`, and raises ConnectFailed there if the server refuses it, or does not speak WebSocket.
    """
    headers = [] if token is None else [(b"Authorization", b"Bearer " + token.encode())]
    socket: WebSocketConnection | None = None
    # Any: these have the methods that the library calls on a nursery and on a stream, and no others.
    reading: Any = _ReaderNursery(nursery)
    wrapped: Any = stream
    async with trio.open_nursery() as waiting:

        async def give_up() -> None:
            await stream.ended.wait()
            waiting.cancel_scope.cancel()

        waiting.start_soon(give_up)
        socket = await wrap_client_stream(
            reading, wrapped, address.authority, address.resource, extra_headers=headers,
            subprotocols=None if address.subprotocol is None else [address.subprotocol],
            max_message_size=MAX_FRAME_BYTES, receive_buffer_size=None,
        )  # fmt: skip
        waiting.cancel_scope.cancel()
    if socket is None:
        raise ConnectFailed(ConnectionEnd("the server ended the connection during the handshake"))
    stream.opened = True
    return socket


def flatten_errors(error: BaseException) -> list[BaseException]:
    """Return the leaf errors of a (nested) exception group."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for exception in error.exceptions for leaf in flatten_errors(exception)]
    return [error]
