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
from transport.server.response_headers import guards

__all__ = ["Http1Server"]


class _Refused(Exception):
    """A request that is answered with `status`, after which the connection is closed."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Http1(H11Protocol):
    """HTTP/1.x that stays HTTP/1.x."""

    async def handle(self, event: Event) -> None:
        try:
            await super().handle(event)
        except _Refused as refused:
            await self._send_error_response(refused.status)
            await self.send(Closed())

    async def _send_error_response(self, status_code: int) -> None:
        """Answer what cannot be served as hypercorn does, with the headers of all of the door's answers."""
        fields = [(b"content-length", b"0"), (b"connection", b"close"), *guards(secure=self.ssl)]
        headers = [*fields, *self.config.response_headers("h11")]
        await self._send_h11_event(h11.Response(status_code=status_code, headers=headers))
        await self._send_h11_event(h11.EndOfMessage())

    async def _check_protocol(self, event: h11.Request) -> None:
        """Judge a request's head, in place of hypercorn's look for HTTP/2.

        Both a length and a transfer coding: whoever stands between may have taken another end of the body for true
        (RFC 9112 section 6.3).
        """
        names = {bytes(name).lower() for name, _ in event.headers}
        if not event.http_version.startswith(b"1."):
            raise _Refused(505)
        if event.method not in METHODS:
            raise _Refused(501)
        if {b"content-length", b"transfer-encoding"} <= names:
            raise _Refused(400)


class Http1Server(TCPServer):
    """Serves one connection, whose stream is a plain one, and tells its permit when it waits for the next request."""

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
            pass  # the client is gone
        finally:
            await self._close()

    async def protocol_send(self, event: Event) -> None:
        """Do as hypercorn does."""
        if isinstance(event, Updated):
            self._permit.waiting = event.idle
        await super().protocol_send(event)
