"""Who may open a WebSocket, and what its connection actor is handed: the judgement before the upgrade.

A refusal here is a real HTTP answer (401, 403, 404), so that a client knows before it waits for a frame.
"""

import logging
import time
import uuid
from collections.abc import Callable

from attrs import define, field

from actors import ActorError, ActorRef, ChildSpec, Restart, StartChild
from transport.auth import Identity, find_token
from transport.codes import ERRORS
from transport.commands import Command, Say
from transport.connection import Connection, ConnectionLimits, Ports
from transport.dialects import Choice, choose
from transport.encoder import Encoder
from transport.errors import CommandRejected, OriginRefused, Unauthenticated, UnknownEndpoint
from transport.events import Welcome
from transport.http import error_body
from transport.limits import RateLimit
from transport.outbox import LogPage
from transport.websocket import Upgrade
from understudy.chat.desk import Desk
from understudy.chat.rendered import html_of
from understudy.chat.thread_log import read_page
from understudy.config import Settings
from understudy.observe.logs import new_error_id
from understudy.observe.metrics import Metrics
from understudy.presence import Presence
from understudy.sessions import Session, Sessions, check_place
from understudy.storage.errors import StorageError
from understudy.storage.store import Store

log = logging.getLogger(__name__)

VERSION = "understudy.v1"
CAPABILITIES = ("batch", "html")


@define
class Gate:
    """Lets sockets in. `connections` gives the supervisor whose temporary children the connections are."""

    settings: Settings
    sessions: Sessions
    store: Store
    desk: Desk
    presence: Presence
    metrics: Metrics
    connections: Callable[[], ActorRef]
    limits: ConnectionLimits
    _encoder: Encoder = field(init=False)
    _rate: RateLimit = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._encoder = Encoder(html_of)
        per_minute = self.settings.limits.messages_per_minute
        self._rate = RateLimit(per_minute, per_minute)

    async def __call__(self, upgrade: Upgrade) -> None:
        """Judge one request for a WebSocket; if it is let in, return when its connection has ended."""
        try:
            choice = choose(upgrade.path, upgrade.subprotocols, upgrade.query)
            check_place(self.settings, upgrade.headers.get("origin"), upgrade.headers.get("host"))
            session, identity = self._who(upgrade)
        except UnknownEndpoint as unknown:
            await self._refuse(upgrade, "not_found", unknown.message)
        except OriginRefused as refused:
            await self._refuse(upgrade, "forbidden", refused.message)
        except Unauthenticated as refused:
            await self._refuse(upgrade, refused.code, refused.message)
        else:
            await self._let_in(upgrade, choice, session, identity)

    async def _refuse(self, upgrade: Upgrade, code: str, message: str) -> None:
        """Answer with the code's HTTP status and an error id; the log line with the same id says who asked for what."""
        error_id = new_error_id()
        self.metrics.error(code)
        extra = {"code": code, "path": upgrade.path, "peer": upgrade.peer, "error_id": error_id}
        log.info("handshake.refused", extra=extra)
        await upgrade.refuse(ERRORS[code].http_status, error_body(code, message, error_id))

    def _who(self, upgrade: Upgrade) -> tuple[Session | None, Identity | None]:
        """The first carrier that is present decides. None, None: a token must come with the first message."""
        token = find_token(upgrade.headers, upgrade.query, upgrade.subprotocols)
        if token is not None:
            return None, self.sessions.tokens.verify(token)
        if self.sessions.anonymous:
            session = self.sessions.new()
            return session, session.identity
        return None, None

    async def _let_in(
        self, upgrade: Upgrade, choice: Choice, session: Session | None, identity: Identity | None
    ) -> None:
        headers = {}
        if choice.default_agent is not None:
            headers["Deprecation"] = "true"
            log.warning("endpoint.deprecated", extra={"path": upgrade.path, "peer": upgrade.peer})
            self.metrics.deprecated(choice.default_agent[0])
        socket = await upgrade.accept(choice.subprotocol, headers)
        connection_id = uuid.uuid4().hex
        ports = Ports(
            join=lambda who, name, outbox: self._join(who, name, outbox, session),
            dispatch=self.desk,
            allow=self._allow,
            verify=self.sessions.tokens.verify,
            read_log=self._read_log,
            want_snapshot=self.desk.want_snapshot,
            encoder=self._encoder,
            observer=self.metrics,
        )
        spec = ChildSpec(
            connection_id,
            lambda: Connection(
                socket,
                ports,
                choice.dialect,
                identity=identity,
                provisional=session is not None,
                default_agent=choice.default_agent,
                connection_id=connection_id,
                limits=self.limits,
            ),
            restart=Restart.TEMPORARY,
        )
        try:
            connection = await self.connections().ask(StartChild(spec))
            await connection.wait_stopped()
        except ActorError as error:
            log.warning("connection.not_started", extra={"reason": str(error)})
            await socket.close(1013, "try again later")
        finally:
            self.presence.leave(connection_id)

    async def _join(self, who: Identity, connection_id: str, outbox: ActorRef, session: Session | None) -> Welcome:
        try:
            threads = await self.store.live_threads(who.user)
        except StorageError as error:
            log.warning("welcome.without_threads", extra={"reason": str(error)})
            threads = {}
        # Only now, so that no event comes before the welcome.
        if not self.presence.arrive(who.user, connection_id, outbox):
            cap = self.settings.limits.connections_per_user
            raise CommandRejected("rate_limited", f"You have {cap} connections already; close one first.")
        limits = self.settings.limits
        return Welcome(
            connection_id=connection_id,
            user=who.user,
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
            session_token=session.token if session is not None and session.identity == who else None,
        )

    def _allow(self, who: Identity, command: Command) -> float:
        return self._rate.take(who.user, time.monotonic()) if isinstance(command, Say) else 0.0

    async def _read_log(self, who: Identity, thread_id: str, after: int, limit: int) -> LogPage:
        return await read_page(self.store, who.user, thread_id, after, limit)
