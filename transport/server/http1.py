"""hypercorn's TCP server with HTTP/1.1 alone: no TLS, no HTTP/2 by preface or upgrade, no ambiguous bodies.

hypercorn decides by what a client sends whether it speaks HTTP/2. Nothing here needs that, and what nobody uses and
nobody tests is not offered: a request to upgrade to `h2c` is answered in HTTP/1.1 (RFC 9110 section 7.8 allows it).
"""

from typing import Any

import h11
from hypercorn.config import Config
from hypercorn.events import Closed, Event, Updated
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState
from hypercorn.utils import parse_socket_addr

from transport.server.connection_limiter import Permit
from transport.server.request_head import METHODS
from transport.server.response_headers import security_headers

__all__ = ["Http1Server"]


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
        """Answer a request that cannot be served as hypercorn does, with our security headers."""
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


class Http1Server(TCPServer):
    """Serves one connection by HTTP/1.1, and marks its permit as waiting between requests."""

    def __init__(
        self, app: AppWrapper, config: Config, context: WorkerContext, state: Any, stream: Any, permit: Permit
    ) -> None:
        super().__init__(app, config, context, state, stream)
        self._permit = permit

    async def run(self) -> None:
        """Serve until the connection ends."""
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
            await self._close()

    async def protocol_send(self, event: Event) -> None:
        """Handle a protocol event, and keep the permit's `waiting` in step with the connection's idle state."""
        if isinstance(event, Updated):
            self._permit.waiting = event.idle
        await super().protocol_send(event)
