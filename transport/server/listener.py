"""The door: one port for WebSockets and HTTP. The first request of a connection decides which it is.

A request for a WebSocket is judged before the upgrade, by a function that is handed in; anything else goes to an
ASGI application over hypercorn. What goes wrong on one connection never touches another. Every connection holds a
permit from accept on (see `transport.server.connection_limiter`); both functions say when its client has authenticated.
"""

import logging
import math
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

import trio
from attrs import field, frozen
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from transport.auth.forwarded import Proxies
from transport.server.accept import PatientListener
from transport.server.connection_limiter import ConnectionLimiter, Full, Permit
from transport.server.http import AsgiApp, HttpConfig, HttpDoor, answer, error_body
from transport.server.request_head import Head, Unreadable, read_head
from transport.server.response_headers import HSTS
from transport.server.socket import Socket, SocketLimits
from transport.server.tls import PlainRequest, Stream, TlsStream, close_now
from transport.server.websocket.deflate import offered
from transport.server.websocket.protocol import PROTOCOL_LOG
from transport.wire.errors import SocketClosed, new_error_id

__all__ = ["DoorLimits", "OnUpgrade", "Socket", "SocketLimits", "Upgrade", "serve_door"]

_MAX_QUERY_FIELDS: Final = 64
_REFUSING: Final = 64
"""Refused connections that are told why at a time. Further ones are closed without an answer, which costs nothing."""
_LOG_EVERY_S: Final = 1.0

log: Final = logging.getLogger("transport.door")


@frozen
class DoorLimits:
    """Bounds of the port; sizes in bytes, times in seconds.

    A request's head: `head_bytes` (431) and `head_s` (408). `handshake_s`: for that of TLS, and then the connection is
    closed. `connections`: open at once, of both kinds (503), `connections_per_peer` of one address (429); at most
    half of all have not authenticated.
    `grace_s`: how long, when the door is cancelled, closing handshakes and running requests may still take.
    """

    head_bytes: int = 16 * 1024
    head_s: float = 10.0
    handshake_s: float = 10.0
    connections: int = 10_000
    connections_per_peer: int = 10_000
    grace_s: float = 5.0
    socket: SocketLimits = field(factory=SocketLimits)


Conversation: TypeAlias = Callable[[], Awaitable[None]]


class Upgrade:
    """A valid request for a WebSocket, still to be refused or accepted.

    `path` is as it was sent, without the query. `query` has the first value of each field; `headers` have names in
    lower case, several of one name joined with ", ". `subprotocols` are in the client's order. `peer` is the
    client's host. `permit` is that of the connection.
    """

    def __init__(
        self,
        stream: Stream,
        protocol: ServerProtocol,
        request: Request,
        response: Response,
        rest: bytes,
        limits: DoorLimits,
        permit: Permit,
    ) -> None:
        path, _, query = request.path.partition("?")
        self.path: str = path
        self.query: Mapping[str, str] = _query(query)
        self.headers: Mapping[str, str] = _headers(request)
        offered = self.headers.get("sec-websocket-protocol", "")
        self.subprotocols: tuple[str, ...] = tuple(name.strip() for name in offered.split(",") if name.strip())
        self.peer: str = _peer(stream)
        self.permit = permit
        self.answered = False
        self.socket: Socket | None = None
        self.conversation: Conversation | None = None
        self._stream = stream
        self._protocol = protocol
        self._response = response
        self._rest = rest
        self._limits = limits

    async def refuse(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        """Answer with an HTTP status and a JSON body instead of a WebSocket. Raises RuntimeError when answered."""
        self._answer_once()
        await _answer(self._stream, answer(status, body, headers), self._limits)

    async def accept(
        self,
        subprotocol: str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        authenticated: bool = True,
    ) -> Socket:
        """Complete the handshake, selecting one of the offered subprotocols or none.

        `authenticated` False: the client has yet to say who it is; its permit may be taken until then.

        Raises ValueError for a subprotocol that was not offered, RuntimeError when already answered, SocketClosed
        (1006) when the client is gone.
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
        try:
            with trio.fail_after(self._limits.head_s):
                await self._stream.send_all(b"".join(self._protocol.data_to_send()))
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            raise SocketClosed(1006, "the client left during the handshake") from None
        self.socket = Socket(
            self._stream,
            self._limits.socket,
            subprotocol=subprotocol,
            extensions=self._protocol.extensions,
            rest=self._rest,
        )
        return self.socket

    def then(self, conversation: Conversation) -> None:
        """Go on with this in the same task once `on_upgrade` has returned, and nothing of the handshake is kept.

        It ends as `on_upgrade` would: see `serve_door`. Raises RuntimeError when there is no socket.
        """
        if self.socket is None:
            raise RuntimeError("there is no socket yet")
        self.conversation = conversation

    def _answer_once(self) -> None:
        if self.answered:
            raise RuntimeError("this upgrade was already answered")
        self.answered = True


OnUpgrade: TypeAlias = Callable[[Upgrade], Awaitable[None]]


async def serve_door(
    listeners: Sequence[trio.SocketListener],
    *,
    asgi_app: AsgiApp,
    on_upgrade: OnUpgrade,
    http: HttpConfig | None = None,
    limits: DoorLimits | None = None,
    tls: ssl.SSLContext | None = None,
    proxies: Proxies | None = None,
    task_status: trio.TaskStatus[list[trio.SocketListener]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled. `started` gives the listeners back, once the application is up and they accept.

    `tls`: what `transport.server.tls.server_context` made; then every connection speaks TLS. `proxies`: their
    connections are counted for no address before the application or `on_upgrade` claims one (`Permit.claim`); every
    other connection is counted for its own from accept on. The application finds the permit in its scope, as
    `scope["state"]["permit"]`.

    `on_upgrade` runs in the connection's own task: it refuses or accepts, and the socket is closed when it returns
    (1000), raises (1011, and a log record with an `error_id`) or is cancelled (1001). The same goes for
    what it handed to `Upgrade.then`, which runs after it. When the door is cancelled, open sockets are closed with 1001
    and running HTTP requests may finish, all within `grace_s`.
    """
    limits = limits or DoorLimits()
    door = HttpDoor(asgi_app, http or HttpConfig(), limits.grace_s)
    async with door.running(), trio.open_nursery() as connections:
        serve = _Door(door, on_upgrade, limits, tls, proxies or Proxies()).serve
        patient = [PatientListener(listener) for listener in listeners]
        try:
            task_status.started(list(listeners))
            await trio.serve_listeners(serve, patient, handler_nursery=connections)
        finally:
            await door.drain()


class _Door:
    """Takes one connection after the other to where it belongs, and keeps their faults apart."""

    def __init__(
        self,
        http: HttpDoor,
        on_upgrade: OnUpgrade,
        limits: DoorLimits,
        tls: ssl.SSLContext | None,
        proxies: Proxies,
    ) -> None:
        self._http = http
        self._on_upgrade = on_upgrade
        self._limits = limits
        self._tls = tls
        self._proxies = proxies
        self._extensions = offered() if limits.socket.compression_from_bytes is not None else None
        self._permits = ConnectionLimiter(limits.connections, limits.connections_per_peer)
        self._refusing = 0
        self._refused = 0
        self._logged_at = -math.inf

    async def serve(self, tcp: trio.SocketStream) -> None:
        stream: Stream = tcp if self._tls is None else TlsStream(tcp, self._tls)
        permit = self._permits.enter(self._counted(stream), partial(_cut_off, tcp))
        try:
            if isinstance(permit, Full):
                await self._refuse(stream, permit)
                return
            upgraded = await self._let_in(stream, permit)
            if upgraded is not None:
                socket, conversation = upgraded
                del upgraded
                await self._attend(conversation, socket.close)
        except* Exception as group:
            error_id = new_error_id()
            log.error("door.connection_failed", exc_info=group, extra={"error_id": error_id})
        finally:
            close_now(stream)
            if isinstance(permit, Permit):
                permit.release()

    def _counted(self, stream: Stream) -> str | None:
        """The address a connection is counted for from accept on; None for a proxy, whose clients are counted."""
        peer = _peer(stream)
        return None if self._proxies.trusts(peer) else self._proxies.client_of(peer, None)

    async def _refuse(self, stream: Stream, full: Full) -> None:
        """Tell a client that there is no room; the log has one line a second of all that are refused."""
        self._refused += 1
        now = trio.current_time()
        if now - self._logged_at >= _LOG_EVERY_S:
            extra = {"bound": full.value, "refused": self._refused, "connections": len(self._permits)}
            log.warning("door.full", extra=extra)
            self._logged_at, self._refused = now, 0
        if self._refusing >= _REFUSING:
            return
        self._refusing += 1
        try:
            if not isinstance(stream, TlsStream) or await self._shake_hands(stream):
                await _answer(stream, _FULL[full], self._limits)
        finally:
            self._refusing -= 1

    async def _attend(self, run: Conversation, part: Callable[[int, str], Awaitable[None]]) -> None:
        """Run what serves a socket, and part from the client with the code that fits its end."""
        code, reason = 1011, "internal error"
        try:
            await run()
            code, reason = 1000, ""
        except SocketClosed:
            code, reason = 1000, ""
        finally:
            if trio.current_effective_deadline() == -math.inf:  # being cancelled, in whatever shape it came here
                code, reason = 1001, "server going away"
            with trio.CancelScope(shield=True, deadline=trio.current_time() + self._limits.grace_s):
                await part(code, reason)

    async def _let_in(self, stream: Stream, permit: Permit) -> tuple[Socket, Conversation] | None:
        """Serve a connection to its end; or return the socket it has become, and what is to be done with that."""
        if isinstance(stream, TlsStream) and not await self._shake_hands(stream):
            return None
        head = await read_head(stream, self._limits.head_bytes, self._limits.head_s)
        permit.waiting = False
        status = _refusal(head)
        if isinstance(head, Unreadable) or status is not None:
            if status is not None:
                await _answer(stream, answer(status, _REFUSED[status]), self._limits)
        elif head.upgrade:
            return await self._upgrade(stream, head, permit)
        else:
            await self._http.serve(stream, head.raw + head.rest, permit)
        return None

    async def _shake_hands(self, stream: TlsStream) -> bool:
        """Whether TLS is spoken from here on; a client that sends HTTP in the clear is told what this port speaks."""
        with trio.move_on_after(self._limits.handshake_s):
            try:
                await stream.handshake()
            except PlainRequest:
                body = error_body("invalid_command", "This port speaks TLS: use https:// or wss://.")
                await _answer(trio.SocketStream(stream.socket), answer(400, body), self._limits)
            except trio.BrokenResourceError:
                pass
            else:
                return True
        return False

    async def _upgrade(self, stream: Stream, head: Head, permit: Permit) -> tuple[Socket, Conversation] | None:
        protocol = ServerProtocol(extensions=self._extensions, logger=PROTOCOL_LOG)
        protocol.receive_data(head.raw)
        request = next(iter(protocol.events_received()), None)
        # RFC 9112 section 3.2: a request without a Host, or with several, is not served. The protocol does not look.
        named = isinstance(request, Request) and len(request.headers.get_all("Host")) == 1
        response = protocol.accept(request) if isinstance(request, Request) and named else None
        if not isinstance(request, Request) or response is None or response.status_code != 101:
            await self._no_handshake(stream, response)
            return None
        upgrade = Upgrade(stream, protocol, request, response, head.rest, self._limits, permit)
        await self._attend(partial(self._on_upgrade, upgrade), partial(self._part, upgrade))
        if upgrade.socket is None or upgrade.conversation is None:
            return None
        return upgrade.socket, upgrade.conversation

    async def _part(self, upgrade: Upgrade, code: int, reason: str) -> None:
        if upgrade.conversation is not None and code == 1000:
            return
        if upgrade.socket is not None:
            await upgrade.socket.close(code, reason)
        elif not upgrade.answered:
            error = ("busy", 503) if code == 1001 else ("internal", 500)
            await upgrade.refuse(error[1], error_body(error[0]))

    async def _no_handshake(self, stream: Stream, response: Response | None) -> None:
        status = HTTPStatus.BAD_REQUEST if response is None else HTTPStatus(response.status_code)
        kept = {"Sec-WebSocket-Version": "13"}  # RFC 6455 section 4.4
        if response is not None:
            kept |= {name: response.headers[name] for name in ("Allow", "Upgrade") if name in response.headers}
        body = error_body("invalid_command", "That is not a valid WebSocket handshake.")
        await _answer(stream, answer(status, body, kept), self._limits)


_AGAIN: Final = {"Retry-After": "1"}
_CROWDED: Final = error_body("rate_limited", "There are too many connections from your address; close one first.")
_FULL: Final[Mapping[Full, bytes]] = {
    Full.PEER: answer(429, _CROWDED, _AGAIN),
    Full.TOTAL: answer(503, error_body("busy"), _AGAIN),
}


def _cut_off(stream: trio.SocketStream) -> None:
    """End a connection in both directions: the task that waits for its client finds that it has left."""
    with suppress(OSError):
        stream.socket.shutdown(trio.socket.SHUT_RDWR)


def _peer(stream: Stream) -> str:
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:  # gone already: whatever is done next finds that out
        return ""


def _refusal(head: Head | Unreadable) -> int | None:
    """The status with which a connection is refused for its first head; None: it is not, or nobody waits for it."""
    if isinstance(head, Unreadable):
        return head.status
    return 505 if head.http2 else 400 if head.ambiguous or head.blurred else 501 if head.unheard_of else None


_REFUSED: Final[Mapping[int, Mapping[str, Any]]] = {
    400: error_body("invalid_command", "The head of the request can be read in two ways."),
    408: error_body("invalid_command", "The request was not complete in time."),
    431: error_body("message_too_large", "The head of the request is larger than this server accepts."),
    501: error_body("invalid_command", "This server does not know that method."),
    505: error_body("invalid_command", "This server speaks HTTP/1.1."),
}


async def _answer(stream: Stream, response: bytes, limits: DoorLimits) -> None:
    """Send a last response and wait a little for the client to hang up, lest a reset overtakes the response."""
    if isinstance(stream, TlsStream):
        first, _, rest = response.partition(b"\r\n")
        response = b"\r\n".join([first, f"{HSTS[0]}: {HSTS[1]}".encode(), rest])
    with trio.move_on_after(limits.socket.close_s), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await stream.send_all(response)
        await stream.send_eof()
        while await stream.receive_some(4096):
            pass


def _query(query: str) -> Mapping[str, str]:
    try:
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_QUERY_FIELDS)
    except ValueError:  # more fields than anyone has a use for
        return {}
    return dict(reversed(fields))


def _headers(request: Request) -> Mapping[str, str]:
    joined: dict[str, str] = {}
    for name, value in request.headers.raw_items():
        key = name.lower()
        joined[key] = f"{joined[key]}, {value}" if key in joined else value
    return joined
