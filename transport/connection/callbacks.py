"""The interface through which a connection reaches users, agents and storage; and its bounds."""

from typing import Protocol

from attrs import field, frozen

from actors import ActorRef
from transport.auth.identity import Identity
from transport.connection.heartbeat import Heartbeat
from transport.outbox.metrics import ConnectionMetrics
from transport.outbox.outbox import LogPage, OutboxLimits
from transport.wire.commands import Command
from transport.wire.events import Welcome
from transport.wire.payloads import ChunkBudget
from transport.wire.vocabulary import Vocabulary


class ConnectionCallbacks(Protocol):
    """The functions that a connection calls; one object serves all connections."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The events and commands of the program."""

    @property
    def metrics(self) -> ConnectionMetrics:
        """The metrics of all connections."""

    @property
    def chunk_budget(self) -> ChunkBudget:
        """The memory that partial frames of all connections may use."""

    def clock(self) -> float:
        """Return the time in Unix seconds."""

    async def join(self, identity: Identity, connection_id: str, outbox: ActorRef) -> Welcome:
        """Register a user's connection. Raises CommandRejected to turn it away (`rate_limited` closes with 4429).

        Called again if a socket that was accepted without a token brings one in its first message: the second
        registration replaces the first.
        """

    def leave(self, connection_id: str) -> None:
        """Unregister a connection that has ended, whether it had joined or not."""

    async def dispatch(self, identity: Identity, command: Command, outbox: ActorRef | None, /) -> object:
        """Carry out a command: `Resume`, or one of the program. Raises CommandRejected."""

    def allow(self, identity: Identity, command: Command) -> float:
        """Count a command against the user's limits. Return 0, or the seconds until it is allowed."""

    async def verify(self, token: str) -> Identity:
        """Return the identity of a token. Raises Unauthenticated."""

    async def read_log(self, identity: Identity, thread_id: str, after: int, limit: int) -> LogPage:
        """Read at most `limit` events of a thread after `after`."""

    def request_snapshot(self, identity: Identity, thread_id: str, outbox: ActorRef, /) -> None:
        """Ask for the text of a thread's running answer to be delivered to `outbox` from offset 0."""


@frozen
class ConnectionLimits:
    """Bounds of one connection; times in seconds.

    `first_message_s`: deadline for a token in the first message. `renewal_s`: time to renew an expired token.
    `drain_s`: time to send what is queued before a close. `faults_per_min`: a client that sends more invalid frames is
    closed with 1008. `chunks_bytes` and `chunk_s`: see `transport.wire.payloads.ChunkAssembler`.
    """

    first_message_s: float = 10.0
    renewal_s: float = 60.0
    drain_s: float = 2.0
    faults_per_min: int = 100
    chunks_bytes: int = 8 * 1024 * 1024
    chunk_s: float = 30.0
    heartbeat: Heartbeat = field(factory=Heartbeat)
    outbox: OutboxLimits = field(factory=OutboxLimits)
