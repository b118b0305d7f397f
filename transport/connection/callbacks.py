"""What a connection is handed: all that it knows of users, agents and storage is behind these functions; its bounds."""

import time
from collections.abc import Awaitable, Callable

from attrs import field, frozen

from actors import ActorRef
from transport.auth.identity import Identity
from transport.connection.heartbeat import Heartbeat
from transport.outbox.catch_up import LogPage
from transport.outbox.metrics import ConnectionMetrics, NoConnectionMetrics
from transport.outbox.outbox import OutboxLimits
from transport.wire.chunks import ChunkBudget
from transport.wire.commands import Command
from transport.wire.encoder import Encoder
from transport.wire.events import Welcome


@frozen
class ConnectionCallbacks:
    """What a connection is handed by whoever wires it to the rest; the same for all connections.

    `join(identity, connection_id, outbox)`: a user has arrived; returns the Welcome, or raises CommandRejected to
    turn it away (`rate_limited` closes with 4429). Called a second time when a socket that was let in without a
    token brings one in its first message: then the first arrival no longer counts.
    `leave(connection_id)`: it has ended, whether it had arrived or not.
    `dispatch(identity, command, outbox)`: do what the client asks (Say, Resume, Cancel, UserTyping, …), or raise
    CommandRejected. `allow(identity, command)`: seconds until the user may do this, 0 for now.
    `verify(token)`: the identity, or raises Unauthenticated. `read_log(identity, thread_id, after, limit, html)` and
    `want_snapshot(identity, thread_id, outbox)`: see Outbox.
    """

    join: Callable[[Identity, str, ActorRef], Awaitable[Welcome]]
    leave: Callable[[str], None]
    dispatch: Callable[[Identity, Command, ActorRef], Awaitable[object]]
    allow: Callable[[Identity, Command], float]
    verify: Callable[[str], Awaitable[Identity]]
    read_log: Callable[[Identity, str, int, int, bool], Awaitable[LogPage]]
    request_snapshot: Callable[[Identity, str, ActorRef], None]
    encoder: Encoder = field(factory=Encoder)
    metrics: ConnectionMetrics = field(factory=NoConnectionMetrics)
    chunk_budget: ChunkBudget = field(factory=ChunkBudget)
    clock: Callable[[], float] = time.time


@frozen
class ConnectionLimits:
    """Times in seconds. `first_message_s`: for a token in the first message. `renewal_s`: to renew one that ran out.

    `faults_per_min`: a client that sends more frames that are no command is closed with 1008. `chunks_bytes` and
    `chunk_s`: see `transport.wire.chunks.Assembler`.
    """

    first_message_s: float = 10.0
    renewal_s: float = 60.0
    drain_s: float = 2.0
    faults_per_min: int = 100
    chunks_bytes: int = 8 * 1024 * 1024
    chunk_s: float = 30.0
    heartbeat: Heartbeat = field(factory=Heartbeat)
    outbox: OutboxLimits = field(factory=OutboxLimits)
