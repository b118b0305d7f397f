"""One port for WebSockets and HTTP/1.1. A connection carries HTTP until a request asks for a WebSocket.

An upgrade request goes to the `UpgradeHandler`, which refuses or accepts it; a request for an event stream to the
`StreamHandler`, if there is one; any other request goes to an ASGI application over hypercorn. An error on one
connection never affects another. Every connection holds a permit from accept on (see
`transport.server.connection_limiter`); handler and application mark it once the client has authenticated.
"""

import errno
import logging
import math
import os
import ssl
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any, Final, Protocol, Self
from urllib.parse import parse_qsl

import trio
from attrs import field, frozen
from websockets.exceptions import SecurityError
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from transport.auth.forwarded import TrustedProxies
from transport.server.connection_limiter import ConnectionLimiter, ConnectionPermit, LimitReached
from transport.server.http import HSTS, AsgiApp, HttpConfig, HttpServer, error_body, json_response
from transport.server.request_head import RequestHead, Unreadable, read_request_head
from transport.server.socket import Socket, SocketLimits
from transport.server.stream_response import StreamHandler, StreamRequest, StreamResponse, encode_head, parse_request
from transport.server.tls import PlainRequest, Stream, TlsStream, close_now
from transport.server.websocket import PROTOCOL_LOG, offered_extensions
from transport.wire.errors import SocketClosed, new_error_id

_MAX_QUERY_FIELDS: Final = 64  # a query with more counts as empty
_REFUSING: Final = 64
"""Most refusals that are answered at a time. Further refused connections are closed without a response."""
_LOG_EVERY_S: Final = 1.0  # seconds between two log lines about refused connections
WAIT_S: Final = 0.1
"""Pause in seconds after accept failed for lack of descriptors; connections wait in the kernel's queue meanwhile."""
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSES_PER_LOG: Final = 100  # one line is logged for 100 pauses, about every ten seconds

log: Final = logging.getLogger("transport.server.listener")


@frozen
class ServerLimits:
    """Bounds of the port; sizes in bytes, times in seconds.

    `head_bytes` (431) and `head_s` (408) bound a request's head. `handshake_s` bounds the TLS handshake, after which
    the connection is closed. `connections` bounds all open connections (503), `connections_per_peer` those of one
    address (429); at most half of `connections` may be unauthenticated. `grace_s` bounds closing handshakes and running
    requests after the server was cancelled.
    """

    head_bytes: int = 16 * 1024
    head_s: float = 10.0
    handshake_s: float = 10.0
    connections: int = 10_000
    connections_per_peer: int = 10_000
    grace_s: float = 5.0
    socket: SocketLimits = field(factory=SocketLimits)


class SocketHandler(Protocol):
    """Serves an accepted socket."""

    async def serve_socket(self) -> None:
        """Serve the socket to its end, in the connection's own task."""


class UpgradeHandler(Protocol):
    """Decides about upgrade requests."""

    async def handle_upgrade(self, upgrade: "Upgrade") -> SocketHandler | None:
        """Refuse or accept an upgrade. Return the handler of the accepted socket; None: close the socket.

        The handler runs in the same task, after everything of the handshake has been freed.
        """


class Upgrade:
    """A valid WebSocket upgrade request, to be refused or accepted.

    `path` is the path as sent, without the query. `query` has the first value of each field; `headers` have lower-case
    names, repeated ones joined with ", ". `subprotocols` are in the client's order. `peer` is the client's host,
    `peer_port` its port, 0 if it is not known any more.
    """

    def __init__(
        self,
        stream: Stream,
        protocol: ServerProtocol,
        request: Request,
        response: Response,
        rest: bytes,
        limits: ServerLimits,
        permit: ConnectionPermit,
    ) -> None:
        path, _, query = request.path.partition("?")
        self.path: str = path
        self.query: Mapping[str, str] = _query(query)
        self.headers: Mapping[str, str] = _headers(request)
        offered = self.headers.get("sec-websocket-protocol", "")
        self.subprotocols: tuple[str, ...] = tuple(name.strip() for name in offered.split(",") if name.strip())
        self.peer: str = _peer(stream)
        self.peer_port = _port(stream)
        self.permit = permit
        self.answered = False
        self.socket: Socket | None = None
        self.socket_handler: SocketHandler | None = None
        self._stream = stream
        self._protocol = protocol
        self._response = response
        self._rest = rest
        self._limits = limits

    async def refuse(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        """Refuse with an HTTP status and a JSON body. Raises RuntimeError if the upgrade was already answered."""
        self._answer_once()
        await _send_response(self._stream, json_response(status, body, headers), self._limits)

    async def accept(
        self,
        subprotocol: str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        authenticated: bool = True,
    ) -> Socket:
        """Complete the handshake, selecting one of the offered subprotocols or none.

        With `authenticated` False the client has yet to authenticate; its permit may be revoked until it has.

        Raises ValueError for a subprotocol that was not offered, RuntimeError if the upgrade was already answered,
        SocketClosed (1006) if the client has disconnected.
        """
        if subprotocol is not None and subprotocol not in self.subprotocols:
            raise ValueError(f"the client did not offer the subprotocol {subprotocol!r}")
        self._answer_once()
        if authenticated:
            self.permit.authenticate()
        else:
            self.permit.waiting = True
        for name, value in (headers or {}).items():
            self._response.headers[name] = value
        if subprotocol is not None:
            self._response.headers["Sec-WebSocket-Protocol"] = subprotocol
        self._protocol.send_response(self._response)
        response, sent = b"".join(self._protocol.data_to_send()), 0
        try:
            if not isinstance(self._stream, TlsStream):  # nearly always taken at once, without a deadline
                with suppress(BlockingIOError):
                    sent = os.write(self._stream.socket.fileno(), response)
            if sent < len(response):
                with trio.fail_after(self._limits.head_s):
                    await self._stream.send_all(response[sent:])
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            raise SocketClosed(1006, "the client left during the handshake") from None
        self.socket = Socket(
            self._stream,
            self._limits.socket,
            subprotocol=subprotocol,
            extensions=self._protocol.extensions,
            rest=self._rest,
        )
        return self.socket

    def _answer_once(self) -> None:
        if self.answered:
            raise RuntimeError("this upgrade was already answered")
        self.answered = True


async def serve(
    listeners: Sequence[trio.SocketListener],
    *,
    asgi_app: AsgiApp,
    upgrade_handler: UpgradeHandler,
    stream_handler: StreamHandler | None = None,
    http: HttpConfig | None = None,
    limits: ServerLimits | None = None,
    tls: ssl.SSLContext | None = None,
    proxies: TrustedProxies | None = None,
    task_status: trio.TaskStatus[list[trio.SocketListener]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled. `started` passes the listeners, once the application is up and they accept.

    `tls`: a context of `transport.server.tls.server_context`; then every connection uses TLS. `proxies`: a connection
    of a trusted proxy counts for no address until the application or `upgrade_handler` claims one
    (`ConnectionPermit.claim`); any other connection counts for its own from accept on. The application finds the
    permit in its scope, as `scope["state"]["permit"]`. `stream_handler` answers the first request of a
    connection if it is for an event stream; None: the application does.

    `upgrade_handler`, and then the SocketHandler that it returns, run in the connection's own task. The socket is
    closed when the last of them returns (1000), or one raises (1011, and a log record with an `error_id`) or is
    cancelled (1001). When the server is cancelled, open sockets are closed with 1001 and running HTTP requests may
    finish, all within `grace_s`.
    """
    limits = limits or ServerLimits()
    server = HttpServer(asgi_app, http or HttpConfig(), limits.grace_s)
    async with server.running(), trio.open_nursery() as connections:
        serve_one = _Listener(server, upgrade_handler, stream_handler, limits, tls, proxies or TrustedProxies()).serve
        reserving = [ReserveListener(listener) for listener in listeners]
        try:
            task_status.started(list(listeners))
            async with trio.open_nursery() as accepting:
                for listener in reserving:
                    accepting.start_soon(_accept, listener, serve_one, connections)
        finally:
            await server.drain()


async def _accept(
    listener: "ReserveListener", serve_one: Callable[[trio.SocketStream], Awaitable[None]], connections: trio.Nursery
) -> None:
    """Start a task for each connection, which closes its stream: `trio.serve_listeners` would keep a coroutine in each
    and close it once more."""
    async with listener:
        while True:
            connections.start_soon(serve_one, await listener.accept())


class _Listener:
    """Routes each connection to the upgrade handler or the HTTP server, and contains its errors."""

    def __init__(
        self,
        http: HttpServer,
        upgrade_handler: UpgradeHandler,
        stream_handler: StreamHandler | None,
        limits: ServerLimits,
        tls: ssl.SSLContext | None,
        proxies: TrustedProxies,
    ) -> None:
        self._http = http
        self._upgrade_handler = upgrade_handler
        self._stream_handler = stream_handler
        self._limits = limits
        self._tls = tls
        self._proxies = proxies
        self._extensions = offered_extensions() if limits.socket.compression_from_bytes is not None else None
        self._permits = ConnectionLimiter(limits.connections, limits.connections_per_peer)
        self._refusing = 0
        self._refused = 0
        self._logged_at = -math.inf

    async def serve(self, tcp: trio.SocketStream) -> None:
        stream: Stream = tcp if self._tls is None else TlsStream(tcp, self._tls)
        permit = self._permits.enter(self._limit_key(stream), partial(_shut_down, tcp))
        try:
            if isinstance(permit, LimitReached):
                await self._refuse_full(stream, permit)
                return
            accepted = await self._route(stream, permit)
            if accepted is not None:
                socket, handler = accepted
                del accepted
                async with _ClosedAtEnd(socket.close, self._limits.grace_s):
                    await handler.serve_socket()
        except* Exception as group:
            error_id = new_error_id()
            log.error("listener.connection_failed", exc_info=group, extra={"error_id": error_id})
        finally:
            close_now(stream)
            if isinstance(permit, ConnectionPermit):
                permit.release()

    def _limit_key(self, stream: Stream) -> str | None:
        """Return the address that a connection counts for from accept on; None for a trusted proxy."""
        peer = _peer(stream)
        return None if self._proxies.trusts(peer) else self._proxies.client_address(peer, None)

    async def _refuse_full(self, stream: Stream, full: LimitReached) -> None:
        """Refuse a connection over a limit. At most one log line a second counts all refusals."""
        self._refused += 1
        now = trio.current_time()
        if now - self._logged_at >= _LOG_EVERY_S:
            extra = {"bound": full.value, "refused": self._refused, "connections": len(self._permits)}
            log.warning("listener.full", extra=extra)
            self._logged_at, self._refused = now, 0
        if self._refusing >= _REFUSING:
            return
        self._refusing += 1
        try:
            status, body = _FULL[full]
            if isinstance(stream, TlsStream) and not await self._shake_hands(stream):
                return
            await _send_response(stream, json_response(status, body, _AGAIN), self._limits)
        finally:
            self._refusing -= 1

    async def _route(
        self, stream: Stream, permit: ConnectionPermit
    ) -> tuple[Socket | StreamResponse, SocketHandler] | None:
        """Serve an HTTP connection to its end, or return the accepted socket or stream with its handler."""
        if isinstance(stream, TlsStream) and not await self._shake_hands(stream):
            return None
        head = await read_request_head(stream, self._limits.head_bytes, self._limits.head_s)
        permit.waiting = False
        status = head.status if isinstance(head, Unreadable) else head.refusal_status
        if isinstance(head, Unreadable) or status is not None:
            if status is not None:
                await _send_response(stream, json_response(status, _REFUSED[status]), self._limits)
            return None
        if not head.upgrade and (request := self._stream_request(stream, head, permit)) is not None:
            response = await self._answer(stream, request)
            return None if response is None else (response, response)
        upgrade = head if head.upgrade else await self._http.serve(stream, head.raw + head.rest, permit)
        return None if upgrade is None else await self._upgrade(stream, upgrade, permit)

    def _stream_request(self, stream: Stream, head: RequestHead, permit: ConnectionPermit) -> StreamRequest | None:
        if self._stream_handler is None or not self._stream_handler.takes(head.path):
            return None
        return parse_request(head, _peer(stream), permit, secure=isinstance(stream, TlsStream))

    async def _answer(self, stream: Stream, request: StreamRequest) -> StreamResponse | None:
        """Send the answer to a request for an event stream, or return the stream."""
        assert self._stream_handler is not None  # noqa: S101 - for the type checker
        answer = await self._stream_handler.handle_stream(request)
        if isinstance(answer.body, bytes):
            await _send_and_linger(stream, encode_head(answer) + answer.body, self._limits)
            return None
        limits, chunked = self._limits.socket, request.http_version != "1.0"
        stream.socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, limits.send_buffer_bytes)
        head = encode_head(answer, chunked=chunked)
        return StreamResponse(stream, answer.body, head, chunked=chunked, write_s=limits.write_s)

    async def _shake_hands(self, stream: TlsStream) -> bool:
        """Perform the TLS handshake. Return whether it succeeded; answer plain HTTP with a hint to use TLS."""
        with trio.move_on_after(self._limits.handshake_s):
            try:
                await stream.handshake()
            except PlainRequest:
                body = error_body("invalid_command", "This port speaks TLS: use https:// or wss://.")
                await _send_response(trio.SocketStream(stream.socket), json_response(400, body), self._limits)
            except trio.BrokenResourceError:
                pass
            else:
                return True
        return False

    async def _upgrade(
        self, stream: Stream, head: RequestHead, permit: ConnectionPermit
    ) -> tuple[Socket, SocketHandler] | None:
        protocol = ServerProtocol(extensions=self._extensions, logger=PROTOCOL_LOG)
        try:
            return await self._upgrade_by(protocol, stream, head, permit)
        finally:
            protocol.parser.close()  # the parser's frame refers to the protocol: the cycle would keep each handshake

    async def _upgrade_by(
        self, protocol: ServerProtocol, stream: Stream, head: RequestHead, permit: ConnectionPermit
    ) -> tuple[Socket, SocketHandler] | None:
        request = _handshake_of(head)
        # RFC 9112 section 3.2: refuse a request without a Host, or with several. ServerProtocol does not check.
        named = request is not None and len(request.headers.get_all("Host")) == 1
        response = protocol.accept(request) if request is not None and named else None
        if request is None or response is None or response.status_code != 101:
            await self._refuse_handshake(stream, response)
            return None
        upgrade = Upgrade(stream, protocol, request, response, head.rest, self._limits, permit)
        async with _ClosedAtEnd(partial(self._close_upgrade, upgrade), self._limits.grace_s) as closed_at_end:
            upgrade.socket_handler = await self._upgrade_handler.handle_upgrade(upgrade)
            if upgrade.socket_handler is not None:
                if upgrade.socket is None:
                    raise RuntimeError("the upgrade was not accepted")
                closed_at_end.keep_open()
        if upgrade.socket is None or upgrade.socket_handler is None:
            return None
        return upgrade.socket, upgrade.socket_handler

    async def _close_upgrade(self, upgrade: Upgrade, code: int, reason: str) -> None:
        if upgrade.socket is not None:
            await upgrade.socket.close(code, reason)
        elif not upgrade.answered:
            error = ("busy", 503) if code == 1001 else ("internal", 500)
            await upgrade.refuse(error[1], error_body(error[0]))

    async def _refuse_handshake(self, stream: Stream, response: Response | None) -> None:
        status = HTTPStatus.BAD_REQUEST if response is None else HTTPStatus(response.status_code)
        headers = {"Sec-WebSocket-Version": "13"}  # RFC 6455 section 4.4
        if response is not None:
            headers |= {name: response.headers[name] for name in ("Allow", "Upgrade") if name in response.headers}
        body = error_body("invalid_command", "That is not a valid WebSocket handshake.")
        await _send_response(stream, json_response(status, body, headers), self._limits)


def _handshake_of(head: RequestHead) -> Request | None:
    """Parse a request for an upgrade. Return None if it is malformed.

    A line may be as long as the whole head, as with many cookies. `websockets`' own reader bounds a line at 8 KiB.
    """
    lines = iter(head.raw.split(b"\n"))

    def read_line(*_: object) -> Generator[None, None, bytes]:
        yield from ()
        return next(lines, b"") + b"\n"

    try:
        next(Request.parse(read_line))
    except StopIteration as read:
        request: Request = read.value
        return request
    except (ValueError, EOFError, NotImplementedError, SecurityError):
        return None
    return None


class _ClosedAtEnd:
    """Closes at the end of the block, with the code that fits how it ended, and suppresses a `SocketClosed`.

    A class, since the coroutine of a generator would be five times larger, for as long as each connection lasts.
    """

    __slots__ = ("_close", "_grace_s", "_kept_open")

    def __init__(self, close: Callable[[int, str], Awaitable[None]], grace_s: float) -> None:
        self._close = close
        self._grace_s = grace_s
        self._kept_open = False

    def keep_open(self) -> None:
        """Close only if the block raises after this."""
        self._kept_open = True

    async def __aenter__(self) -> Self:
        """Do nothing."""
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if self._kept_open and error is None:
            return False
        closed = isinstance(error, SocketClosed)
        code, reason = (1000, "") if error is None or closed else (1011, "internal error")
        if trio.current_effective_deadline() == -math.inf:  # being cancelled, whatever error has come here
            code, reason = 1001, "server going away"
        with trio.CancelScope(shield=True, deadline=trio.current_time() + self._grace_s):
            await self._close(code, reason)
        return closed


_AGAIN: Final = {"Retry-After": "1"}
_CROWDED: Final = error_body("rate_limited", "There are too many connections from your address; close one first.")
_FULL: Final[Mapping[LimitReached, tuple[int, Mapping[str, Any]]]] = {
    LimitReached.PEER: (429, _CROWDED),
    LimitReached.TOTAL: (503, error_body("busy")),
}


def _shut_down(stream: trio.SocketStream) -> None:
    """Shut a connection down in both directions, so that the task reading from it sees its end."""
    with suppress(OSError):
        stream.socket.shutdown(trio.socket.SHUT_RDWR)


def _peer(stream: Stream) -> str:
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:  # disconnected already; the next operation on the stream fails
        return ""


def _port(stream: Stream) -> int:
    try:
        return int(stream.socket.getpeername()[1])
    except OSError:
        return 0


_REFUSED: Final[Mapping[int, Mapping[str, Any]]] = {
    400: error_body("invalid_command", "The head of the request can be read in two ways."),
    408: error_body("invalid_command", "The request was not complete in time."),
    431: error_body("message_too_large", "The head of the request is larger than this server accepts."),
    501: error_body("invalid_command", "This server does not know that method."),
    505: error_body("invalid_command", "This server speaks HTTP/1.1."),
}


async def _send_response(stream: Stream, response: bytes, limits: ServerLimits) -> None:
    """Send a final response of the listener's own; over TLS with HSTS."""
    if isinstance(stream, TlsStream):
        first, _, rest = response.partition(b"\r\n")
        response = b"\r\n".join([first, f"{HSTS[0]}: {HSTS[1]}".encode(), rest])
    await _send_and_linger(stream, response, limits)


async def _send_and_linger(stream: Stream, response: bytes, limits: ServerLimits) -> None:
    """Send a final response and wait up to `close_s` for the client to close, lest a reset overtakes the response."""
    with trio.move_on_after(limits.socket.close_s), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await stream.send_all(response)
        await stream.send_eof()
        while await stream.receive_some(4096):
            pass


def _query(query: str) -> Mapping[str, str]:
    try:
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_QUERY_FIELDS)
    except ValueError:  # more than _MAX_QUERY_FIELDS fields
        return {}
    return dict(reversed(fields))


def _headers(request: Request) -> Mapping[str, str]:
    joined: dict[str, str] = {}
    for name, value in request.headers.raw_items():
        key = name.lower()
        joined[key] = f"{joined[key]}, {value}" if key in joined else value
    return joined


class ReserveListener(trio.abc.Listener[trio.SocketStream]):
    """A listener that holds one descriptor in reserve, to accept and close a connection that it cannot serve.

    Without the reserve, a client would hang in the kernel's queue until descriptors are free.
    """

    def __init__(self, listener: trio.SocketListener) -> None:
        self._listener = listener
        self._reserve: int | None = _open_reserve()
        self._pauses = 0

    async def accept(self) -> trio.SocketStream:
        """Accept the next connection. While no descriptor is free but the reserved one, close connections instead."""
        while True:
            try:
                stream = await self._listener.accept()
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                if (served := await self._close_one_and_wait(error)) is not None:
                    return served
            else:
                self._pauses = 0
                if self._reserve is None:
                    self._reserve = _open_reserve()
                return stream

    async def aclose(self) -> None:
        """Close the listener and its reserved descriptor."""
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None
        await self._listener.aclose()

    async def _close_one_and_wait(self, error: OSError) -> trio.SocketStream | None:
        """Accept one connection by the reserved descriptor, and close it; return it if others are free by then."""
        if self._pauses % _PAUSES_PER_LOG == 0:
            log.error("listener.no_descriptors", extra={"reason": error.strerror, "pause_s": WAIT_S})
        self._pauses += 1
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None
            with trio.move_on_after(WAIT_S):
                with suppress(OSError):  # another part of the process took the descriptor first
                    stream = await self._listener.accept()
                    self._reserve = _open_reserve()
                    if self._reserve is not None:
                        return stream
                    stream.socket.close()
        self._reserve = _open_reserve()
        await trio.sleep(WAIT_S)
        return None


def _open_reserve() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
