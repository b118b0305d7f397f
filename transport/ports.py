"""What a connection is handed: all that it knows of users, agents and storage is behind these functions."""

import time
from collections.abc import Awaitable, Callable

from attrs import field, frozen

from actors import ActorRef
from transport.auth import Identity
from transport.backlog import LogPage
from transport.commands import Command
from transport.encoder import Encoder
from transport.events import Welcome
from transport.observer import Observer, Unobserved


@frozen
class Ports:
    """What a connection is handed by whoever wires it to the rest; the same for all connections.

    `join(identity, connection_id, outbox)`: a user has arrived; returns the Welcome, or raises CommandRejected to
    turn it away (`rate_limited` closes with 4429). Called a second time when a socket that was let in without a
    token brings one in its first message: then the first arrival no longer counts.
    `dispatch(identity, command, outbox)`: do what the client asks (Say, Resume, Cancel, UserTyping, …), or raise
    CommandRejected. `allow(identity, command)`: seconds until the user may do this, 0 for now.
    `verify(token)`: the identity, or raises Unauthenticated. `read_log(identity, thread_id, after, limit)` and
    `want_snapshot(identity, thread_id, outbox)`: see Outbox.
    """

    join: Callable[[Identity, str, ActorRef], Awaitable[Welcome]]
    dispatch: Callable[[Identity, Command, ActorRef], Awaitable[None]]
    allow: Callable[[Identity, Command], float]
    verify: Callable[[str], Identity]
    read_log: Callable[[Identity, str, int, int], Awaitable[LogPage]]
    want_snapshot: Callable[[Identity, str, ActorRef], None]
    encoder: Encoder = field(factory=Encoder)
    observer: Observer = field(factory=Unobserved)
    clock: Callable[[], float] = time.time
