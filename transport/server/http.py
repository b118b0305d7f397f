"""HTTP by hypercorn, over a stream whose first request head was already read; and the listener's own responses.

hypercorn never serves a WebSocket here: a request that asks for one ends HTTP on its connection, and goes to the
listener. Proxies send one on a connection that has carried other requests (nginx does so by default from 1.29.7 on).

hypercorn's detection of HTTP/2 is replaced (`_Http1`): a request to upgrade to `h2c` is answered in HTTP/1.1, which
RFC 9110 section 7.8 allows, and a request whose body has two lengths is refused.
"""

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import h11
import trio
from attrs import frozen
from hypercorn.config import Config
from hypercorn.events import Closed, Event, Updated
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState
from hypercorn.utils import parse_socket_addr

from transport.server.connection_limiter import ConnectionPermit
from transport.server.replay_stream import ReplayStream
from transport.server.request_head import METHODS, RequestHead
from transport.server.tls import Stream
from transport.wire.codes import ERRORS

AsgiApp: TypeAlias = Callable[..., Awaitable[None]]
_Send: TypeAlias = Callable[[Any], Awaitable[None]]
_Receive: TypeAlias = Callable[[], Awaitable[Any]]

log: Final = logging.getLogger("transport.server.http")

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Headers of the listener's own responses: no scripts, no framing, no type sniffing, no referrer, no caching."""
HSTS: Final = ("Strict-Transport-Security", "max-age=31536000")
"""Use TLS with this host for a year (RFC 6797). Sent over TLS only; browsers ignore it elsewhere."""


@frozen
class HttpConfig:
    """Bounds of the HTTP server, in seconds and bytes.

    `keep_alive_s`: idle time after which a connection is closed. `write_s`: time without progress of a write after
    which the connection is dropped. `head_bytes`: largest request head.
    """

    keep_alive_s: float = 5.0
    write_s: float = 20.0
    head_bytes: int = 16 * 1024


def security_headers(*, secure: bool) -> list[tuple[bytes, bytes]]:
    """Return SECURITY_HEADERS in ASGI form; with HSTS if the response goes over TLS (`secure`)."""
    named = [*SECURITY_HEADERS.items(), HSTS] if secure else SECURITY_HEADERS.items()
    return [(name.lower().encode(), value.encode()) for name, value in named]


def error_body(code: str, message: str | None = None, error_id: str | None = None) -> dict[str, Any]:
    """Build the JSON body of a refusal: `{"error": {"code", "message", "retryable", "error_id"?}}`.

    `message` defaults to the text of the code. The log line with the same `error_id` has the details.
    """
    fault = ERRORS[code]
    error = {"code": code, "message": message or fault.text, "retryable": fault.retryable}
    return {"error": error if error_id is None else error | {"error_id": error_id}}


def json_response(status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> bytes:
    """Encode a complete HTTP/1.1 response with a JSON body and `Connection: close`.

    Raises ValueError if a header holds a line break.
    """
    payload = json.dumps(body, ensure_ascii=False).encode()
    fields = {
        "Content-Type": "application/json",
        "Content-Length": str(len(payload)),
        "Connection": "close",
        **SECURITY_HEADERS,
    }
    if status == HTTPStatus.UNAUTHORIZED:  # RFC 9110 section 15.5.2: must name a way to authenticate
        fields["WWW-Authenticate"] = "Bearer"
    fields.update(headers or {})
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in fields.items())]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header holds a line break")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + payload


class _UpgradeAsked(Exception):
    """A request asks for a WebSocket: `head` is its head, with the bytes received after it."""

    def __init__(self, head: RequestHead) -> None:
        super().__init__(head)
        self.head = head


class _RequestRefused(Exception):
    """A request is answered with `status`, after which the connection is closed."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Http1(H11Protocol):
    """HTTP/1.x that stays HTTP/1.x."""

    async def handle(self, event: Event) -> None:
        try:
            await super().handle(event)
        except _RequestRefused as refused:
            await self._send_error_response(refused.status)
            await self.send(Closed())

    async def _send_error_response(self, status_code: int) -> None:
        """Answer a request that cannot be served, as hypercorn does, but with our security headers."""
        fields = [(b"content-length", b"0"), (b"connection", b"close"), *security_headers(secure=self.ssl)]
        headers = [*fields, *self.config.response_headers("h11")]
        await self._send_h11_event(h11.Response(status_code=status_code, headers=headers))
        await self._send_h11_event(h11.EndOfMessage())

    async def _check_protocol(self, event: h11.Request) -> None:
        """Validate a request's head, in place of hypercorn's detection of HTTP/2.

        A head with both a length and a transfer coding is refused: an intermediary may have assumed another end of the
        body (RFC 9112 section 6.3).
        """
        names = {bytes(name).lower() for name, _ in event.headers}
        if not event.http_version.startswith(b"1."):
            raise _RequestRefused(505)
        if event.method not in METHODS:
            raise _RequestRefused(501)
        if {b"content-length", b"transfer-encoding"} <= names:
            raise _RequestRefused(400)
        if b"upgrade" in names and (head := self._head_of(event)).upgrade:
            raise _UpgradeAsked(head)

    def _head_of(self, event: h11.Request) -> RequestHead:
        fields = [b"%b: %b" % (bytes(name), bytes(value)) for name, value in event.headers]
        lines = [b"%b %b HTTP/%b" % (event.method, event.target, event.http_version), *fields, b"", b""]
        return RequestHead(b"\r\n".join(lines), bytes(self.connection.trailing_data[0]))


class Http1Server(TCPServer):
    """Serves one connection by HTTP/1.1, and marks its permit as waiting between requests."""

    def __init__(
        self, app: AppWrapper, config: Config, context: WorkerContext, state: Any, stream: Any, permit: ConnectionPermit
    ) -> None:
        super().__init__(app, config, context, state, stream)
        self._permit = permit
        self.upgrade: RequestHead | None = None
        """The head of the request for a WebSocket that ended HTTP on the connection."""

    async def run(self) -> None:
        """Serve until the connection ends, or a request asks for a WebSocket."""
        try:
            socket = self.stream.socket
            peer, here = (parse_socket_addr(socket.family, name()) for name in (socket.getpeername, socket.getsockname))
            async with TaskGroup() as group:
                self._task_group = group
                http = _Http1(
                    self.app, self.config, self.context, group, ConnectionState(self.state), self.stream.secure,
                    peer, here, self.protocol_send,
                )  # fmt: skip
                self.protocol = http  # type: ignore[assignment]  # hypercorn has a wrapper there that may change it
                await self.idle_task.restart(group, self._idle_timeout)
                await self._read_data()
        except OSError:
            pass  # the client has disconnected
        finally:
            if self.upgrade is None:
                await self._close()
            vars(self).pop("protocol", None)  # it calls this server back: the cycle would keep each connection

    async def _read_data(self) -> None:
        try:
            await super()._read_data()
        except _UpgradeAsked as asked:
            self.upgrade = asked.head

    async def protocol_send(self, event: Event) -> None:
        """Handle a protocol event, and keep the permit's `waiting` in step with the connection's idle state."""
        if isinstance(event, Updated):
            self._permit.waiting = event.idle
        await super().protocol_send(event)


class HttpServer:
    """Serves an ASGI application on connections whose first request head was already read."""

    def __init__(self, app: AsgiApp, config: HttpConfig, grace_s: float) -> None:
        self._app = _yielding(app)
        self._config = config
        self._grace_s = grace_s
        self._state: dict[str, Any] = {}
        self._context = WorkerContext(None)
        self._hypercorn = _hypercorn_config(config)
        self._scopes: dict[ReplayStream, trio.CancelScope] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the application's lifespan. Raises hypercorn's error if the application fails to start."""
        lifespan = Lifespan(self._app, self._hypercorn, self._state)
        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope(shield=True)
            await nursery.start(_run_in_scope, scope, lifespan.handle_lifespan)
            try:
                await _ignore_closed(lifespan.wait_for_startup)
                yield
            finally:
                with trio.move_on_after(self._grace_s, shield=True):
                    await _ignore_closed(lifespan.wait_for_shutdown)
                scope.cancel()

    async def serve(self, stream: Stream, head: bytes, permit: ConnectionPermit) -> RequestHead | None:
        """Serve one connection by HTTP/1.1, to its end or to a request for a WebSocket, whose head is returned.

        Cancelling this does not interrupt a running request; `drain` bounds it.
        """
        replay = ReplayStream(stream, head, self._config.write_s)
        # A ReplayStream has all that hypercorn uses of a stream.
        state = {**self._state, "permit": permit}
        server = Http1Server(self._app, self._hypercorn, self._context, state, replay, permit)
        with trio.CancelScope(shield=True) as scope:
            self._scopes[replay] = scope
            try:
                await server.run()
            finally:
                del self._scopes[replay]
        return server.upgrade

    async def drain(self) -> None:
        """Close idle connections at once and give running requests the grace period."""
        deadline = trio.current_time() + self._grace_s
        await self._context.terminated.set()
        for stream, scope in self._scopes.items():
            scope.deadline = deadline
            stream.finish_by(deadline)


async def _run_in_scope(
    scope: trio.CancelScope, run: Callable[[], Awaitable[None]], task_status: trio.TaskStatus[None]
) -> None:
    with scope:
        task_status.started()
        await run()


async def _ignore_closed(wait: Callable[[], Awaitable[None]]) -> None:
    # An application that returns at once from its lifespan has closed hypercorn's channel to it.
    with suppress(trio.ClosedResourceError, trio.BrokenResourceError):
        await wait()


def _hypercorn_config(ours: HttpConfig) -> Config:
    config = Config()
    config.errorlog = log
    config.accesslog = None
    config.include_server_header = False
    config.keep_alive_timeout = ours.keep_alive_s
    config.h11_max_incomplete_size = ours.head_bytes
    return config


def _yielding(app: AsgiApp) -> AppWrapper:
    """Wrap the application for hypercorn: make every send a checkpoint.

    While sending the last part of a response, hypercorn delivers `http.disconnect` to the application and then decides
    whether the connection is closed or idles. An application that cancels itself on `http.disconnect` must not cancel
    that decision, or the connection would stay open for ever.
    """

    # hypercorn's two last arguments are for synchronous applications.
    async def guarded(scope: Any, receive: Any, send: _Send, sync_spawn: Any, call_soon: Any) -> None:  # noqa: ARG001
        async def send_and_yield(message: Any) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body"):
                await _send_last(message, receive, send)
            else:
                await send(message)
            await trio.lowlevel.checkpoint()  # hypercorn's send to a client that has left returns at once

        await app(scope, receive, send_and_yield)

    return guarded


async def _send_last(message: Any, receive: _Receive, send: _Send) -> None:
    # hypercorn's channel to the application blocks if a request body is left unread, so it is read and discarded. The
    # stream bounds how long the send may take.
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_discard_messages, receive)
            await send(message)
            nursery.cancel_scope.cancel()


async def _discard_messages(receive: _Receive) -> None:
    while True:
        await receive()
