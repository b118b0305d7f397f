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
from transport.auth.forwarded import Proxies
from transport.auth.identity import Identity, find_token
from transport.connection.limits import CommandLimits, Ledger, RequestLimits
from transport.connection.websocket import Connection, ConnectionLimits, Ports
from transport.outbox.outbox import LogPage
from transport.server.connection_limiter import Permit
from transport.server.http import error_body
from transport.server.listener import Upgrade
from transport.wire.codes import ERRORS
from transport.wire.commands import Command
from transport.wire.dialects import Choice, choose, deprecation_of, endpoint_of
from transport.wire.encoder import Encoder
from transport.wire.errors import CommandRejected, OriginRefused, Unauthenticated, UnknownEndpoint
from transport.wire.events import Welcome
from understudy.auth.sessions import Session, Sessions, check_place
from understudy.chat.answer.html import html_of
from understudy.chat.commands import Desk
from understudy.chat.conversation.event_log import read_page
from understudy.observe.logs import new_error_id
from understudy.observe.metrics import Metrics
from understudy.storage.errors import StorageError
from understudy.storage.store import Store
from understudy.storage.tenancy import name_of
from understudy.web.presence import Presence
from understudy.web.settings import WebSettings

if TYPE_CHECKING:
    from understudy.cluster.connection_counts import SharedConnections

log = logging.getLogger(__name__)

VERSION = "understudy.v1"
TOO_MANY = "Too many requests in a short time; wait a moment."
TOO_MANY_CONNECTIONS = "There are too many connections from your address; close one first."
CAPABILITIES = ("batch", "chunk", "gzip", "html")


@define
class Gate:
    """Lets sockets in. `connections` gives the supervisor whose temporary children the connections are.

    `closing`: nobody is let in any more. `ports` is what every connection is handed. Where nodes share their limits,
    `ledger` is told what users take from theirs, and `elsewhere` knows of their connections to all nodes.
    """

    settings: WebSettings
    sessions: Sessions
    store: Store
    desk: Desk
    presence: Presence
    metrics: Metrics
    connections: Callable[[], ActorRef]
    limits: ConnectionLimits
    ledger: Ledger | None = None
    elsewhere: "SharedConnections | None" = None
    closing: bool = field(default=False, init=False)
    ports: Ports = field(init=False)
    _rates: CommandLimits = field(init=False)
    _handshakes: RequestLimits = field(init=False)
    _unproven: dict[str, Permit] = field(factory=dict, init=False)
    _proxies: Proxies = field(init=False)

    def __attrs_post_init__(self) -> None:
        limits = self.settings.limits
        self._rates = CommandLimits(limits, self.ledger)
        self._handshakes = RequestLimits(limits.requests_per_minute, self.ledger, "handshakes")
        self._proxies = Proxies(self.settings.trusted_proxies)
        self.ports = Ports(
            join=self._join,
            leave=self._leave,
            dispatch=self.desk,
            allow=self._allow,
            verify=self.sessions.admit,
            read_log=self._read_log,
            want_snapshot=self.desk.want_snapshot,
            encoder=Encoder(html_of),
            observer=self.metrics,
        )

    async def __call__(self, upgrade: Upgrade) -> None:
        """Judge one request for a WebSocket; if it is let in, it has an actor of its own from here on."""
        if self.closing:
            await self._refuse(upgrade, "busy", "This server is going away; come back in a moment.")
            return
        try:
            choice = choose(upgrade.path, upgrade.subprotocols, upgrade.query)
            check_place(self.settings, upgrade.headers.get("origin"), upgrade.headers.get("host"))
            session, identity = await self._who(upgrade)
            peer = self._enter(upgrade, None if session is not None else identity)
        except UnknownEndpoint as unknown:
            await self._turn_away(upgrade, "not_found", unknown.message)
        except OriginRefused as refused:
            await self._turn_away(upgrade, "forbidden", refused.message)
        except Unauthenticated as refused:
            await self._turn_away(upgrade, refused.code, refused.message)
        except CommandRejected as refused:
            await self._refuse(upgrade, refused.code, refused.message, refused.retry_after)
        else:
            connection = await self._let_in(upgrade, choice, session, identity)
            if connection is not None:
                upgrade.then(partial(self._attend, connection, peer, upgrade.headers.get("origin")))

    def _enter(self, upgrade: Upgrade, who: Identity | None) -> str:
        """Count the connection for the address it comes from, and give that.

        Raises CommandRejected when that address, or the user, asks too often or has too many.
        """
        peer = self._peer(upgrade)
        retry_after = self._handshakes.take(None if who is None else who.user, peer, time.monotonic())
        if retry_after > 0:
            raise CommandRejected("rate_limited", TOO_MANY, retry_after)
        if not upgrade.permit.claim(peer):
            raise CommandRejected("rate_limited", TOO_MANY_CONNECTIONS)
        return peer

    def _peer(self, upgrade: Upgrade) -> str:
        """The address that limits are counted for."""
        return self._proxies.client_of(upgrade.peer, upgrade.headers.get("x-forwarded-for"))

    async def _attend(self, connection: Connection, peer: str, origin: str | None) -> None:
        """Let the connection read, as long as it lives. Who came, from where, and when they left is in the log."""
        names = {"connection_id": connection.connection_id, "peer": peer}
        log.info("connection.opened", extra=names | {"origin": origin})
        try:
            await connection.read()
        finally:
            self._unproven.pop(connection.connection_id, None)
            who = connection.identity
            log.info("connection.closed", extra=names | {"user": None if who is None else who.user})

    async def _turn_away(self, upgrade: Upgrade, code: str, message: str) -> None:
        """Refuse a request that nobody has a token for. It is counted for its address, which is told of too many."""
        retry_after = self._handshakes.take(None, self._peer(upgrade), time.monotonic())
        if retry_after > 0:
            code, message = "rate_limited", TOO_MANY
        await self._refuse(upgrade, code, message, retry_after)

    async def _refuse(self, upgrade: Upgrade, code: str, message: str, retry_after: float | None = None) -> None:
        """Answer with the code's HTTP status and an error id; the log line with the same id says who asked for what."""
        error_id = new_error_id()
        self.metrics.error(code)
        extra = {"code": code, "endpoint": endpoint_of(upgrade.path), "peer": upgrade.peer, "error_id": error_id}
        log.info("handshake.refused", extra=extra)
        status = ERRORS[code].http_status
        again = status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS)
        headers = dict(deprecation_of(upgrade.path))
        if again:
            headers["Retry-After"] = str(math.ceil(retry_after or 1))
        await upgrade.refuse(status, error_body(code, message, error_id), headers)

    async def _who(self, upgrade: Upgrade) -> tuple[Session | None, Identity | None]:
        """The first carrier that is present decides. None, None: a token must come with the first message."""
        token = find_token(upgrade.headers, upgrade.query, upgrade.subprotocols)
        if token is not None:
            return None, await self.sessions.admit(token)
        if self.sessions.anonymous:
            session = self.sessions.new(self._peer(upgrade))
            return session, session.identity
        return None, None

    async def _let_in(
        self, upgrade: Upgrade, choice: Choice, session: Session | None, identity: Identity | None
    ) -> Connection | None:
        """Complete the handshake and start the connection's actor; None when that could not be done."""
        if choice.default_agent is not None:
            log.warning("endpoint.deprecated", extra={"endpoint": endpoint_of(upgrade.path), "peer": upgrade.peer})
            self.metrics.deprecated(choice.default_agent[0])
        socket = await upgrade.accept(
            choice.subprotocol, deprecation_of(upgrade.path), authenticated=identity is not None
        )
        connection = Connection(
            socket,
            self.ports,
            choice.dialect,
            identity=identity,
            given_token=None if session is None else session.token,
            default_agent=choice.default_agent,
            limits=self.limits,
        )
        if identity is None:
            self._unproven[connection.connection_id] = upgrade.permit
        spec = ChildSpec(connection.connection_id, lambda: connection, restart=Restart.TEMPORARY)
        try:
            await self.connections().ask(StartChild(spec))
        except ActorError as error:
            log.warning("connection.not_started", extra={"reason": str(error)})
            self._unproven.pop(connection.connection_id, None)
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
        if self.elsewhere is not None and not await self.elsewhere.enter(who.user, connection_id):
            raise too_many
        try:
            self._check(who)
        except CommandRejected:
            self._leave(connection_id)
            raise
        # Only now, so that no event comes before the welcome.
        if not self.presence.arrive(who, connection_id, outbox):
            self._leave(connection_id)
            raise too_many
        if connection_id in self._unproven:
            self._unproven.pop(connection_id).authenticate()
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
        self.presence.leave(connection_id)
        if self.elsewhere is not None:
            self.elsewhere.leave(connection_id)

    def _check(self, who: Identity) -> None:
        """Turn somebody away who signed out after the token was looked at."""
        if who in self.sessions.ended:
            raise CommandRejected("unauthenticated")

    def _allow(self, who: Identity, command: Command) -> float:
        self._check(who)
        return self._rates.take(who.user, command, time.monotonic())

    async def _read_log(self, who: Identity, thread_id: str, after: int, limit: int, html: bool) -> LogPage:
        shown = partial(self.desk.vault.envelope, who.user)
        return await read_page(self.store, who.user, thread_id, after, limit, shown, html=html)
