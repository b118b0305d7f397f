"""The WebSocket endpoint: authenticate and admit an upgrade request, and start its connection actor.

A refusal here is an HTTP answer (401, 403, 404), so that a client knows before it waits for a frame.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Protocol, TypeVar

import trio
from attrs import define, field, frozen

from actors import ActorError, ActorRef, ChildSpec, Restart, StartChild
from transport.auth.forwarded import TrustedProxies
from transport.auth.identity import Identity, find_token
from transport.connection.callbacks import ConnectionLimits
from transport.connection.limits import CommandLimits, Ledger, RequestLimits
from transport.connection.websocket import WebSocketConnection
from transport.outbox.outbox import LogPage
from transport.server.connection_limiter import ConnectionPermit
from transport.server.http import error_body
from transport.server.listener import Upgrade
from transport.wire.codec import Encoder
from transport.wire.codes import ERRORS
from transport.wire.commands import Command
from transport.wire.dialects import Negotiated, endpoint_name, negotiate
from transport.wire.errors import CommandRejected, OriginRefused, Unauthenticated, UnknownEndpoint
from transport.wire.events import Welcome
from transport.wire.payloads import ChunkBudget
from understudy.auth.local_user import local_roles
from understudy.auth.sessions import AuthSettings, IssuedSession, Sessions, check_origin
from understudy.chat.commands import Accepted, CommandDispatcher
from understudy.chat.conversation.event_log import read_page
from understudy.chat.presence import Presence
from understudy.observe.connection_metrics import PrometheusConnectionMetrics
from understudy.observe.logs import new_error_id
from understudy.storage import queries
from understudy.storage.errors import StorageError
from understudy.storage.owners import name_of
from understudy.storage.store import Store
from understudy.web.settings import PageSettings, TlsSettings

log = logging.getLogger(__name__)

VERSION = "understudy.v1"
TOO_MANY_REQUESTS = "Too many requests in a short time; wait a moment."
TOO_MANY_CONNECTIONS = "There are too many connections from your address; close one first."
CAPABILITIES = ("batch", "chunk", "gzip")


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
    def trusted_proxies(self) -> Sequence[str]: ...  # noqa: D102


class SharedConnections(Protocol):
    """The connections of users on all nodes."""

    async def enter(self, user: str, connection_id: str) -> bool:
        """Count a connection. Return False, with nothing counted, if its user has reached the limit."""

    def leave(self, connection_id: str) -> None:
        """Stop counting a connection; no effect if it is not counted."""


@define
class WebSocketEndpoint:
    """Admits WebSocket upgrades (`UpgradeHandler`) and serves their connections' calls (`ConnectionCallbacks`).

    `connections` returns the supervisor of the connections, its temporary children. While `draining`, no upgrade is
    admitted. `shared_connections` counts users' connections on all nodes, if there are several.
    """

    settings: WebSettings
    sessions: Sessions
    store: Store
    dispatcher: CommandDispatcher
    presence: Presence
    metrics: PrometheusConnectionMetrics
    connections: Callable[[], ActorRef]
    limits: ConnectionLimits
    shared_connections: SharedConnections | None = field(default=None, init=False)
    draining: bool = field(default=False, init=False)
    encoder: Encoder = field(factory=Encoder, init=False)
    clock: Callable[[], float] = field(default=time.time, init=False)
    chunk_budget: ChunkBudget = field(factory=ChunkBudget, init=False)
    _command_limits: CommandLimits = field(init=False)
    _handshakes: RequestLimits = field(init=False)
    _unauthenticated: dict[str, ConnectionPermit] = field(factory=dict, init=False)
    _proxies: TrustedProxies = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._set_limits()
        self._proxies = TrustedProxies(self.settings.trusted_proxies)

    def _set_limits(self, ledger: Ledger | None = None) -> None:
        limits = self.settings.limits
        self._command_limits = CommandLimits(limits, ledger)
        self._handshakes = RequestLimits(limits.requests_per_minute, ledger, "handshakes")

    def share(self, ledger: Ledger, connections: SharedConnections) -> None:
        """Have users' limits count on all nodes, before any upgrade is handled: `ledger` records what they take."""
        self._set_limits(ledger)
        self.shared_connections = connections

    async def handle_upgrade(self, upgrade: Upgrade) -> "LoggedConnection | None":
        """Check one upgrade request; if it is admitted, start its connection actor. Return None if it is refused."""
        if self.draining:
            await self._refuse(upgrade, "busy", "This server is going away; come back in a moment.")
            return None
        try:
            choice = negotiate(upgrade.path, upgrade.subprotocols, upgrade.query)
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
                return LoggedConnection(connection, peer, origin, self._unauthenticated)
        return None

    def _count_handshake(self, upgrade: Upgrade, identity: Identity | None) -> str:
        """Count the handshake against the limits of its address and user. Return the address.

        Raises CommandRejected if either has too many handshakes or connections.
        """
        peer = self._peer(upgrade)
        retry_after = self._handshakes.take(None if identity is None else identity.user, peer, time.monotonic())
        if retry_after > 0:
            raise CommandRejected("rate_limited", TOO_MANY_REQUESTS, retry_after)
        if not upgrade.permit.claim(peer):
            raise CommandRejected("rate_limited", TOO_MANY_CONNECTIONS)
        return peer

    def _peer(self, upgrade: Upgrade) -> str:
        """Return the client address that limits count."""
        return self._proxies.client_address(upgrade.peer, upgrade.headers.get("x-forwarded-for"))

    async def _refuse_counted(self, upgrade: Upgrade, code: str, message: str) -> None:
        """Refuse a request that is not authenticated, counting it against the rate limit of its address."""
        retry_after = self._handshakes.take(None, self._peer(upgrade), time.monotonic())
        if retry_after > 0:
            code, message = "rate_limited", TOO_MANY_REQUESTS
        await self._refuse(upgrade, code, message, retry_after)

    async def _refuse(self, upgrade: Upgrade, code: str, message: str, retry_after: float | None = None) -> None:
        """Answer with the code's HTTP status and an error id, which is logged with the request."""
        error_id = new_error_id()
        self.metrics.on_error(code)
        extra = {"code": code, "endpoint": endpoint_name(upgrade.path), "peer": upgrade.peer, "error_id": error_id}
        log.info("handshake.refused", extra=extra)
        status = ERRORS[code].http_status
        again = status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS)
        headers = {"Retry-After": str(math.ceil(retry_after or 1))} if again else {}
        await upgrade.refuse(status, error_body(code, message, error_id), headers)

    async def _authenticate(self, upgrade: Upgrade) -> tuple[IssuedSession | None, Identity | None]:
        """Authenticate by the first token carrier that is present. Return (None, None) if the first message must bring
        a token."""
        token = find_token(upgrade.headers, upgrade.query, upgrade.subprotocols)
        if token is not None:
            return None, await self.sessions.verify_awaiting_keys(token)
        if self.sessions.anonymous:
            roles = await local_roles(self.settings, (upgrade.peer, upgrade.peer_port), upgrade.headers)
            session = self.sessions.issue_anonymous(self._peer(upgrade), roles)
            return session, session.identity
        return None, None

    async def _accept(
        self, upgrade: Upgrade, choice: Negotiated, session: IssuedSession | None, identity: Identity | None
    ) -> WebSocketConnection | None:
        """Complete the handshake and start the connection's actor. Return None if the actor could not be started."""
        socket = await upgrade.accept(choice.subprotocol, authenticated=identity is not None)
        connection = WebSocketConnection(
            socket,
            self,
            choice.dialect,
            identity=identity,
            given_token=None if session is None else session.token,
            limits=self.limits,
        )
        if identity is None:
            self._unauthenticated[connection.connection_id] = upgrade.permit
        spec = ChildSpec(connection.connection_id, lambda: connection, restart=Restart.TEMPORARY)
        try:
            await self.connections().ask(StartChild(spec))
        except ActorError as error:
            log.warning("connection.not_started", extra={"reason": str(error)})
            self._unauthenticated.pop(connection.connection_id, None)
            await socket.close(1013, "try again later")
            return None
        return connection

    # For connections: see `ConnectionCallbacks`

    async def join(self, identity: Identity, connection_id: str, outbox: ActorRef) -> Welcome:
        """Register a connection and build its Welcome. Raises CommandRejected over `connections_per_user`."""
        try:
            threads = await self.store.read(queries.live_threads, identity.user)
        except StorageError as error:
            log.warning("welcome.without_threads", extra={"reason": str(error)})
            threads = {}
        cap = self.settings.limits.connections_per_user
        too_many = CommandRejected(
            "rate_limited", f"You have {cap} connections already (connections_per_user); close one first."
        )
        if self.shared_connections is not None and not await self.shared_connections.enter(
            identity.user, connection_id
        ):
            raise too_many
        if identity in self.sessions.revoked:  # since its token was verified
            self.leave(connection_id)
            raise CommandRejected("unauthenticated")
        # After all checks, so that no event precedes the welcome.
        if not self.presence.register(identity, connection_id, outbox):
            self.leave(connection_id)
            raise too_many
        if connection_id in self._unauthenticated:
            self._unauthenticated.pop(connection_id).authenticate()
        limits = self.settings.limits
        return Welcome(
            connection_id=connection_id,
            user=name_of(identity.user),
            session=identity.session,
            version=VERSION,
            limits={
                "frame_bytes": limits.frame_bytes,
                "messages_per_minute": limits.messages_per_minute,
                "file_bytes": self.dispatcher.file_bytes,
            },
            heartbeat_s=limits.heartbeat_s,
            threads=threads,
            capabilities=CAPABILITIES,
        )

    def leave(self, connection_id: str) -> None:
        """Unregister a connection."""
        self.presence.unregister(connection_id)
        if self.shared_connections is not None:
            self.shared_connections.leave(connection_id)

    def allow(self, identity: Identity, command: Command) -> float:
        """Count a command against the user's limits. Return 0, or the seconds until it is allowed.

        Raises CommandRejected if the session was revoked after its token was verified.
        """
        if identity in self.sessions.revoked:
            raise CommandRejected("unauthenticated")
        return self._command_limits.take(identity.user, command, time.monotonic())

    async def dispatch(self, identity: Identity, command: Command, outbox: ActorRef | None) -> Accepted | None:
        """Carry out a command. Raises CommandRejected."""
        return await self.dispatcher.dispatch(identity, command, outbox)

    async def verify(self, token: str) -> Identity:
        """Verify a token, waiting for the provider's keys if needed. Raises Unauthenticated."""
        return await self.sessions.verify_awaiting_keys(token)

    def request_snapshot(self, identity: Identity, thread_id: str, outbox: ActorRef) -> None:
        """Ask the thread's conversation to deliver its running text again."""
        self.dispatcher.request_snapshot(identity, thread_id, outbox)

    async def read_log(self, identity: Identity, thread_id: str, after: int, limit: int) -> LogPage:
        """Read a page of a thread's log, with the user's own redactions restored."""
        shown = partial(self.dispatcher.vault.restore_envelope, identity.user)
        return await read_page(self.store, identity.user, thread_id, after, limit, shown)


@frozen
class LoggedConnection:
    """Serves the socket of a connection, and logs when it opened and closed, how long it lasted, from which address and
    for whom."""

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
