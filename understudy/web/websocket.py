"""Who may open a WebSocket, and what its connection actor is handed: the judgement before the upgrade.

A refusal here is a real HTTP answer (401, 403, 404), so that a client knows before it waits for a frame.
"""

import logging
import math
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from attrs import define, field

from actors import ActorError, ActorRef, ChildSpec, Restart, StartChild
from transport.auth.forwarded import TrustedProxies
from transport.auth.identity import Identity, find_token
from transport.connection.limits import CommandLimits, Ledger, RequestLimits
from transport.connection.websocket import ConnectionCallbacks, ConnectionLimits, WebSocketConnection
from transport.outbox.outbox import LogPage
from transport.server.connection_limiter import Permit
from transport.server.http import error_body
from transport.server.listener import Upgrade
from transport.wire.codes import ERRORS
from transport.wire.commands import Command
from transport.wire.dialects import Negotiated, deprecation_headers, endpoint_name, negotiate
from transport.wire.encoder import Encoder
from transport.wire.errors import CommandRejected, OriginRefused, Unauthenticated, UnknownEndpoint
from transport.wire.events import Welcome
from understudy.auth.sessions import IssuedSession, Sessions, check_origin
from understudy.chat.answer.html import AnswerHtml
from understudy.chat.commands import CommandDispatcher
from understudy.chat.conversation.event_log import read_page
from understudy.observe.logs import new_error_id
from understudy.observe.metrics import Metrics
from understudy.storage.errors import StorageError
from understudy.storage.store import Store
from understudy.storage.tenancy import name_of
from understudy.web.presence import Presence
from understudy.web.settings import WebSettings

if TYPE_CHECKING:
    from understudy.cluster.connection_counts import ConnectionCounts

log = logging.getLogger(__name__)

VERSION = "understudy.v1"
TOO_MANY_REQUESTS = "Too many requests in a short time; wait a moment."
TOO_MANY_CONNECTIONS = "There are too many connections from your address; close one first."
CAPABILITIES = ("batch", "chunk", "gzip", "html")


@define
class WebSocketEndpoint:
    """Lets sockets in. `connections` gives the supervisor whose temporary children the connections are.

    `closing`: nobody is let in any more. `ports` is what every connection is handed. Where nodes share their limits,
    `ledger` is told what users take from theirs, and `elsewhere` knows of their connections to all nodes.
    """

    settings: WebSettings
    sessions: Sessions
    store: Store
    dispatcher: CommandDispatcher
    presence: Presence
    metrics: Metrics
    connections: Callable[[], ActorRef]
    limits: ConnectionLimits
    html: AnswerHtml
    ledger: Ledger | None = None
    shared_connections: "ConnectionCounts | None" = None
    draining: bool = field(default=False, init=False)
    callbacks: ConnectionCallbacks = field(init=False)
    _command_limits: CommandLimits = field(init=False)
    _handshakes: RequestLimits = field(init=False)
    _unauthenticated: dict[str, Permit] = field(factory=dict, init=False)
    _proxies: TrustedProxies = field(init=False)

    def __attrs_post_init__(self) -> None:
        limits = self.settings.limits
        self._command_limits = CommandLimits(limits, self.ledger)
        self._handshakes = RequestLimits(limits.requests_per_minute, self.ledger, "handshakes")
        self._proxies = TrustedProxies(self.settings.trusted_proxies)
        self.callbacks = ConnectionCallbacks(
            join=self._join,
            leave=self._leave,
            dispatch=self.dispatcher,
            allow=self._allow,
            verify=self.sessions.verify_awaiting_keys,
            read_log=self._read_log,
            request_snapshot=self.dispatcher.request_snapshot,
            encoder=Encoder(self.html.cached_or_plain),
            metrics=self.metrics,
        )

    async def __call__(self, upgrade: Upgrade) -> None:
        """Judge one request for a WebSocket; if it is let in, it has an actor of its own from here on."""
        if self.draining:
            await self._refuse(upgrade, "busy", "This server is going away; come back in a moment.")
            return
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
                upgrade.then(partial(self._serve_connection, connection, peer, upgrade.headers.get("origin")))

    def _count_handshake(self, upgrade: Upgrade, who: Identity | None) -> str:
        """Count the connection for the address it comes from, and give that.

        Raises CommandRejected when that address, or the user, asks too often or has too many.
        """
        peer = self._peer(upgrade)
        retry_after = self._handshakes.take(None if who is None else who.user, peer, time.monotonic())
        if retry_after > 0:
            raise CommandRejected("rate_limited", TOO_MANY_REQUESTS, retry_after)
        if not upgrade.permit.claim(peer):
            raise CommandRejected("rate_limited", TOO_MANY_CONNECTIONS)
        return peer

    def _peer(self, upgrade: Upgrade) -> str:
        """The address that limits are counted for."""
        return self._proxies.client_address(upgrade.peer, upgrade.headers.get("x-forwarded-for"))

    async def _serve_connection(self, connection: WebSocketConnection, peer: str, origin: str | None) -> None:
        """Let the connection read, as long as it lives. Who came, from where, and when they left is in the log."""
        names = {"connection_id": connection.connection_id, "peer": peer}
        log.info("connection.opened", extra=names | {"origin": origin})
        try:
            await connection.read_frames()
        finally:
            self._unauthenticated.pop(connection.connection_id, None)
            who = connection.identity
            log.info("connection.closed", extra=names | {"user": None if who is None else who.user})

    async def _refuse_counted(self, upgrade: Upgrade, code: str, message: str) -> None:
        """Refuse a request that nobody has a token for. It is counted for its address, which is told of too many."""
        retry_after = self._handshakes.take(None, self._peer(upgrade), time.monotonic())
        if retry_after > 0:
            code, message = "rate_limited", TOO_MANY_REQUESTS
        await self._refuse(upgrade, code, message, retry_after)

    async def _refuse(self, upgrade: Upgrade, code: str, message: str, retry_after: float | None = None) -> None:
        """Answer with the code's HTTP status and an error id; the log line with the same id says who asked for what."""
        error_id = new_error_id()
        self.metrics.count_error(code)
        extra = {"code": code, "endpoint": endpoint_name(upgrade.path), "peer": upgrade.peer, "error_id": error_id}
        log.info("handshake.refused", extra=extra)
        status = ERRORS[code].http_status
        again = status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS)
        headers = dict(deprecation_headers(upgrade.path))
        if again:
            headers["Retry-After"] = str(math.ceil(retry_after or 1))
        await upgrade.refuse(status, error_body(code, message, error_id), headers)

    async def _authenticate(self, upgrade: Upgrade) -> tuple[IssuedSession | None, Identity | None]:
        """The first carrier that is present decides. None, None: a token must come with the first message."""
        token = find_token(upgrade.headers, upgrade.query, upgrade.subprotocols)
        if token is not None:
            return None, await self.sessions.verify_awaiting_keys(token)
        if self.sessions.anonymous:
            session = self.sessions.issue_anonymous(self._peer(upgrade))
            return session, session.identity
        return None, None

    async def _accept(
        self, upgrade: Upgrade, choice: Negotiated, session: IssuedSession | None, identity: Identity | None
    ) -> WebSocketConnection | None:
        """Complete the handshake and start the connection's actor; None when that could not be done."""
        if choice.default_agent is not None:
            log.warning("endpoint.deprecated", extra={"endpoint": endpoint_name(upgrade.path), "peer": upgrade.peer})
            self.metrics.count_deprecated_use(choice.default_agent[0])
        socket = await upgrade.accept(
            choice.subprotocol, deprecation_headers(upgrade.path), authenticated=identity is not None
        )
        connection = WebSocketConnection(
            socket,
            self.callbacks,
            choice.dialect,
            identity=identity,
            given_token=None if session is None else session.token,
            default_agent=choice.default_agent,
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

    async def _join(self, who: Identity, connection_id: str, outbox: ActorRef) -> Welcome:
        try:
            threads = await self.store.live_threads(who.user)
        except StorageError as error:
            log.warning("welcome.without_threads", extra={"reason": str(error)})
            threads = {}
        cap = self.settings.limits.connections_per_user
        too_many = CommandRejected(
            "rate_limited", f"You have {cap} connections already (connections_per_user); close one first."
        )
        if self.shared_connections is not None and not await self.shared_connections.enter(who.user, connection_id):
            raise too_many
        try:
            self._check_not_revoked(who)
        except CommandRejected:
            self._leave(connection_id)
            raise
        # Only now, so that no event comes before the welcome.
        if not self.presence.register(who, connection_id, outbox):
            self._leave(connection_id)
            raise too_many
        if connection_id in self._unauthenticated:
            self._unauthenticated.pop(connection_id).authenticate()
        limits = self.settings.limits
        return Welcome(
            connection_id=connection_id,
            user=name_of(who.user),
            session=who.session,
            version=VERSION,
            limits={
                "frame_bytes": limits.frame_bytes,
                "messages_per_minute": limits.messages_per_minute,
                "file_bytes": self.settings.max_file_bytes,
            },
            heartbeat_s=limits.heartbeat_s,
            threads=threads,
            capabilities=CAPABILITIES,
        )

    def _leave(self, connection_id: str) -> None:
        self.presence.unregister(connection_id)
        if self.shared_connections is not None:
            self.shared_connections.leave(connection_id)

    def _check_not_revoked(self, who: Identity) -> None:
        """Turn somebody away who signed out after the token was looked at."""
        if who in self.sessions.revoked:
            raise CommandRejected("unauthenticated")

    def _allow(self, who: Identity, command: Command) -> float:
        self._check_not_revoked(who)
        return self._command_limits.take(who.user, command, time.monotonic())

    async def _read_log(self, who: Identity, thread_id: str, after: int, limit: int, html: bool) -> LogPage:
        shown = partial(self.dispatcher.vault.restore_envelope, who.user)
        return await read_page(self.store, who.user, thread_id, after, limit, shown, html=self.html if html else None)
