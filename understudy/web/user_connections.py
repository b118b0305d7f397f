"""Serves the connections of users, sockets and event streams, as their `ConnectionCallbacks`."""

import logging
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

from attrs import define, field

from actors import ActorRef
from transport.auth.identity import Identity
from transport.connection.limits import ClientLimits, CommandLimits, Ledger, RequestLimits
from transport.outbox.outbox import LogPage
from transport.server.connection_limiter import ConnectionPermit
from transport.wire.commands import Command
from transport.wire.errors import CommandRejected
from transport.wire.events import Welcome
from transport.wire.payloads import ChunkBudget
from transport.wire.vocabulary import Vocabulary
from understudy.auth.sessions import Sessions
from understudy.chat.commands.dispatcher import CommandDispatcher
from understudy.chat.commands.request import Accepted
from understudy.chat.conversation.event_log import read_page
from understudy.chat.presence import Presence
from understudy.observe.connection_metrics import PrometheusConnectionMetrics
from understudy.storage import queries
from understudy.storage.errors import StorageError
from understudy.storage.owners import name_of
from understudy.storage.store import Store
from understudy.wire.vocabulary import VOCABULARY

log = logging.getLogger(__name__)

VERSION = "understudy.v1"
CAPABILITIES = ("batch", "chunk", "gzip")


class SharedConnections(Protocol):
    """The connections of users on all nodes."""

    async def enter(self, user: str, connection_id: str) -> bool:
        """Count a connection. Return False, with nothing counted, if its user has reached the limit."""

    def leave(self, connection_id: str) -> None:
        """Stop counting a connection; no effect if it is not counted."""


@define
class UserConnections:
    """Registers the connections of users within their `limits`, and dispatches their commands.

    `shared` counts users' connections on all nodes; None on a single node. `unauthenticated` has the permits of sockets
    that have not sent a token yet, by connection id.
    """

    limits: ClientLimits
    sessions: Sessions
    store: Store
    dispatcher: CommandDispatcher
    presence: Presence
    metrics: PrometheusConnectionMetrics
    shared: SharedConnections | None = field(default=None, init=False)
    vocabulary: Vocabulary = field(default=VOCABULARY, init=False)
    clock: Callable[[], float] = field(default=time.time, init=False)
    chunk_budget: ChunkBudget = field(factory=ChunkBudget, init=False)
    handshakes: RequestLimits = field(init=False)
    unauthenticated: dict[str, ConnectionPermit] = field(factory=dict, init=False)
    _command_limits: CommandLimits = field(init=False)
    dispatch: Callable[[Identity, Command, ActorRef | None], Coroutine[Any, Any, Accepted | None]] = field(init=False)
    """Dispatch a command. Raises CommandRejected."""
    request_snapshot: Callable[[Identity, str, ActorRef], None] = field(init=False)
    """Ask a thread's conversation to deliver its running text again."""

    def __attrs_post_init__(self) -> None:
        self.dispatch, self.request_snapshot = self.dispatcher.dispatch, self.dispatcher.request_snapshot
        self.share()

    def share(self, ledger: Ledger | None = None, connections: SharedConnections | None = None) -> None:
        """Make users' limits hold on all nodes; `ledger` records their use. Call this before any upgrade is handled."""
        self._command_limits = CommandLimits(self.limits, ledger)
        self.handshakes = RequestLimits(self.limits.requests_per_minute, ledger, "handshakes")
        self.shared = connections

    async def join(self, identity: Identity, connection_id: str, outbox: ActorRef) -> Welcome:
        """Register a connection and build its Welcome. Raises CommandRejected over `connections_per_user`."""
        try:
            threads = await self.store.read(queries.live_threads, identity.user)
        except StorageError as error:
            log.warning("welcome.without_threads", extra={"reason": str(error)})
            threads = {}
        limits = self.limits
        cap = limits.connections_per_user
        too_many = CommandRejected(
            "rate_limited", f"You have {cap} connections already (connections_per_user); close one first."
        )
        if self.shared is not None and not await self.shared.enter(identity.user, connection_id):
            raise too_many
        if identity in self.sessions.revoked:  # the session was revoked after its token was verified
            self.leave(connection_id)
            raise CommandRejected("unauthenticated")
        # Registered last, so that no event is sent before the welcome.
        if not self.presence.register(identity, connection_id, outbox):
            self.leave(connection_id)
            raise too_many
        if connection_id in self.unauthenticated:
            self.unauthenticated.pop(connection_id).authenticate()
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
        if self.shared is not None:
            self.shared.leave(connection_id)

    def allow(self, identity: Identity, command: Command) -> float:
        """Count a command against the user's limits. Return 0, or the seconds until it is allowed.

        Raises CommandRejected if the session was revoked after its token was verified.
        """
        if identity in self.sessions.revoked:
            raise CommandRejected("unauthenticated")
        return self._command_limits.take(identity.user, command, time.monotonic())

    async def verify(self, token: str) -> Identity:
        """Verify a token, waiting for the provider's keys if needed. Raises Unauthenticated."""
        return await self.sessions.verify_awaiting_keys(token)

    async def read_log(self, identity: Identity, thread_id: str, after: int, limit: int) -> LogPage:
        """Read a page of a thread's log, with the user's redacted texts restored."""
        restore = partial(self.dispatcher.vault.restore_envelope, identity.user)
        return await read_page(self.store, identity.user, thread_id, after, limit, restore)
