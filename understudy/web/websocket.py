"""The WebSocket endpoint: authenticates and admits upgrade requests, and starts their connection actors.

A refusal is an HTTP answer (401, 403, 404), so that a client learns of it before it waits for a frame.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Protocol, TypeVar

import trio
from attrs import define, field, frozen

from actors import ActorError, ActorRef, ChildSpec, Restart, StartChild
from transport.auth.forwarded import TrustedProxies
from transport.auth.identity import Identity, find_token
from transport.connection.callbacks import ConnectionLimits
from transport.connection.websocket import WebSocketConnection
from transport.server.connection_limiter import ConnectionPermit
from transport.server.http import error_body
from transport.server.listener import Upgrade
from transport.wire.dialects import Negotiated
from transport.wire.errors import CommandRejected, OriginRefused, Unauthenticated, UnknownEndpoint
from understudy.auth.local_user import local_roles
from understudy.auth.sessions import AuthSettings, IssuedSession, check_origin
from understudy.observe.logs import new_error_id
from understudy.web.settings import PageSettings, TlsSettings
from understudy.web.user_connections import UserConnections
from understudy.wire.codes import ERRORS
from understudy.wire.dialects import ENDPOINTS, Dialect

log = logging.getLogger(__name__)

TOO_MANY_REQUESTS = "Too many requests in a short time; wait a moment."
TOO_MANY_CONNECTIONS = "There are too many connections from your address; close one first."


T = TypeVar("T")


class WebSettings(AuthSettings, Protocol):
    """The settings that HTTP and WebSocket endpoints need; see `understudy.app.settings.Settings`."""

    def of(self, kind: type[T]) -> T: ...  # noqa: D102
    @property
    def host(self) -> str: ...  # noqa: D102
    @property
    def local_operator(self) -> bool: ...  # noqa: D102
    @property
    def public_path(self) -> str: ...  # noqa: D102
    @property
    def public_url(self) -> str: ...  # noqa: D102
    @property
    def page(self) -> PageSettings: ...  # noqa: D102
    @property
    def tls(self) -> TlsSettings: ...  # noqa: D102
    @property
    def on_postgresql(self) -> bool: ...  # noqa: D102
    @property
    def grace_s(self) -> float: ...  # noqa: D102
    @property
    def trusted_proxies(self) -> Sequence[str]: ...  # noqa: D102


@define
class WebSocketEndpoint:
    """Admits WebSocket upgrades (`UpgradeHandler`), none while `draining`. The connections call `callbacks`; they are
    temporary children of the supervisor that `connections` returns."""

    settings: WebSettings
    callbacks: UserConnections
    connections: Callable[[], ActorRef]
    limits: ConnectionLimits
    draining: bool = field(default=False, init=False)
    _proxies: TrustedProxies = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._proxies = TrustedProxies(self.settings.trusted_proxies)

    async def handle_upgrade(self, upgrade: Upgrade) -> "LoggedConnection | None":
        """Check one upgrade request; if it is admitted, start its connection actor. Return None if it is refused."""
        if self.draining:
            await self._refuse(upgrade, "busy", "This server is going away; come back in a moment.")
            return None
        try:
            choice = ENDPOINTS.negotiate(upgrade.path, upgrade.subprotocols, upgrade.query)
            check_origin(self.settings, upgrade.headers.get("origin"), upgrade.headers.get("host"))
            session, identity = await self._authenticate(upgrade)
            peer = self._count_handshake(upgrade, None if session is not None else identity)
        except UnknownEndpoint as unknown:
            await self._refuse_counted(upgrade, "not_found", unknown.message)
        except OriginRefused as refused:
            await self._refuse_counted(upgrade, "forbidden", refused.message)
        except Unauthenticated as refused:
            await self._refuse_counted(upgrade, refused.code, refused.message)
        except CommandRejected as refused:
            await self._refuse(upgrade, refused.code, refused.message, refused.retry_after)
        else:
            connection = await self._accept(upgrade, choice, session, identity)
            if connection is not None:
                origin = upgrade.headers.get("origin")
                return LoggedConnection(connection, peer, origin, self.callbacks.unauthenticated)
        return None

    def _count_handshake(self, upgrade: Upgrade, identity: Identity | None) -> str:
        """Count the handshake against the limits of its address and user. Return the address.

        Raises CommandRejected if either has too many handshakes or connections.
        """
        peer = self._peer(upgrade)
        retry_after = self.callbacks.handshakes.take(
            None if identity is None else identity.user, peer, time.monotonic()
        )
        if retry_after > 0:
            raise CommandRejected("rate_limited", TOO_MANY_REQUESTS, retry_after)
        if not upgrade.permit.claim(peer):
            raise CommandRejected("rate_limited", TOO_MANY_CONNECTIONS)
        return peer

    def _peer(self, upgrade: Upgrade) -> str:
        """Return the client address to which limits apply."""
        return self._proxies.client_address(upgrade.peer, upgrade.headers.get("x-forwarded-for"))

    async def _refuse_counted(self, upgrade: Upgrade, code: str, message: str) -> None:
        """Refuse a request that is not authenticated, counting it against the rate limit of its address."""
        retry_after = self.callbacks.handshakes.take(None, self._peer(upgrade), time.monotonic())
        if retry_after > 0:
            code, message = "rate_limited", TOO_MANY_REQUESTS
        await self._refuse(upgrade, code, message, retry_after)

    async def _refuse(self, upgrade: Upgrade, code: str, message: str, retry_after: float | None = None) -> None:
        """Answer with the code's HTTP status and an error id, which is logged with the request."""
        error_id = new_error_id()
        self.callbacks.metrics.on_error(code)
        extra = {"code": code, "endpoint": ENDPOINTS.name(upgrade.path), "peer": upgrade.peer, "error_id": error_id}
        log.info("handshake.refused", extra=extra)
        status = ERRORS[code].http_status
        may_retry = status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS)
        headers = {"Retry-After": str(math.ceil(retry_after or 1))} if may_retry else {}
        await upgrade.refuse(status, error_body(code, message, error_id), headers)

    async def _authenticate(self, upgrade: Upgrade) -> tuple[IssuedSession | None, Identity | None]:
        """Authenticate by the first place of the request that has a token, or issue an anonymous session. Return (None,
        None) if the first message must have a token."""
        token = find_token(upgrade.headers, upgrade.query, upgrade.subprotocols)
        if token is not None:
            return None, await self.callbacks.sessions.verify_awaiting_keys(token)
        if self.callbacks.sessions.anonymous:
            roles = await local_roles(self.settings, (upgrade.peer, upgrade.peer_port), upgrade.headers)
            session = self.callbacks.sessions.issue_anonymous(self._peer(upgrade), roles)
            return session, session.identity
        return None, None

    async def _accept(
        self, upgrade: Upgrade, choice: Negotiated[Dialect], session: IssuedSession | None, identity: Identity | None
    ) -> WebSocketConnection | None:
        """Complete the handshake and start the connection's actor. Return None if the actor could not be started."""
        socket = await upgrade.accept(choice.subprotocol, authenticated=identity is not None)
        connection = WebSocketConnection(
            socket,
            self.callbacks,
            choice.dialect,
            identity=identity,
            given_token=None if session is None else session.token,
            limits=self.limits,
        )
        if identity is None:
            self.callbacks.unauthenticated[connection.connection_id] = upgrade.permit
        spec = ChildSpec(connection.connection_id, lambda: connection, restart=Restart.TEMPORARY)
        try:
            await self.connections().ask(StartChild(spec))
        except ActorError as error:
            log.warning("connection.not_started", extra={"reason": str(error)})
            self.callbacks.unauthenticated.pop(connection.connection_id, None)
            await socket.close(1013, "try again later")
            return None
        return connection


@frozen
class LoggedConnection:
    """Serves the socket of a connection, and logs its opening and its end with duration, address and user."""

    connection: WebSocketConnection
    peer: str
    origin: str | None
    unauthenticated: dict[str, ConnectionPermit]

    async def serve_socket(self) -> None:
        """Serve the connection to its end."""
        connection = self.connection
        log.info("connection.opened", extra=self._names() | {"origin": self.origin})
        began = trio.current_time()
        try:
            await connection.serve_socket()
        finally:
            self.unauthenticated.pop(connection.connection_id, None)
            identity = connection.identity
            more = {"user": None if identity is None else identity.user, "code": connection.close_code}
            duration_s = round(trio.current_time() - began, 3)
            log.info("connection.closed", extra=self._names() | more | {"duration_s": duration_s})

    def _names(self) -> dict[str, object]:
        return {"connection_id": self.connection.connection_id, "peer": self.peer}
