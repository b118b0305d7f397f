"""Presence: a table of the live connections of each user."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from attrs import define, evolve, field, frozen

from actors import ActorRef, Lane
from transport.auth.identity import Identity
from transport.wire.messages import Close
from understudy.auth.rights import Whose, everybody

if TYPE_CHECKING:
    from understudy.chat.placement import OtherNodes


@frozen
class _Entry:
    """A live connection: its identity, its outbox, when it was opened (Unix seconds), and the one thread it receives
    (None: all threads)."""

    identity: Identity
    outbox: ActorRef
    opened_at: float
    thread_id: str | None = None


@define
class Presence:
    """The live connections of all users, at most `cap` for each. `on_connect` is called when one is added.
    `others` is the interface to other nodes, where users have connections too; None on a single node."""

    cap: int
    on_connect: Callable[[], None] | None = None
    others: "OtherNodes | None" = None
    clock: Callable[[], float] = time.time
    _entries: dict[str, dict[str, _Entry]] = field(factory=dict, init=False)
    _users: dict[str, str] = field(factory=dict, init=False)

    def register(self, identity: Identity, connection_id: str, outbox: ActorRef) -> bool:
        """Add a connection. Return False, and change nothing, if its user has `cap` connections already.

        A connection that is registered again for another user is removed from the first one.
        """
        if len(self._entries.get(identity.user, {}).keys() - {connection_id}) >= self.cap:
            return False
        self.unregister(connection_id)
        self._entries.setdefault(identity.user, {})[connection_id] = _Entry(identity, outbox, self.clock())
        self._users[connection_id] = identity.user
        if self.on_connect is not None:
            self.on_connect()
        return True

    def restrict_to_thread(self, connection_id: str, thread_id: str) -> None:
        """Restrict a connection to one thread, as an event stream is. Does nothing if it is not registered."""
        user = self._users.get(connection_id)
        if user is not None:
            entry = self._entries[user][connection_id]
            self._entries[user][connection_id] = evolve(entry, thread_id=thread_id)

    def unregister(self, connection_id: str) -> None:
        """Remove a connection. Does nothing if it is not registered."""
        user = self._users.pop(connection_id, None)
        if user is None:
            return
        del self._entries[user][connection_id]
        if not self._entries[user]:
            del self._entries[user]

    def connections(self, whose: Whose = everybody) -> Iterator[tuple[str, str, ActorRef, str | None]]:
        """Yield the id, user, outbox and only thread (None: all threads) of each connection of the selected users."""
        for owner, entries in self._entries.items():
            if whose(owner):
                for connection_id, entry in entries.items():
                    yield connection_id, owner, entry.outbox, entry.thread_id

    def outboxes(self, user: str, thread_id: str | None) -> tuple[ActorRef, ...]:
        """Return the outboxes of a user's connections, without those restricted to another thread; None: to any."""
        return tuple(self.opened(user, thread_id))

    def opened(self, user: str, thread_id: str | None) -> dict[ActorRef, float]:
        """Return when the connections of `outboxes` were opened (Unix seconds), by their outboxes."""
        entries = self._entries.get(user, {}).values()
        return {entry.outbox: entry.opened_at for entry in entries if entry.thread_id in (None, thread_id)}

    def outboxes_of(self, whose: Whose = everybody) -> tuple[ActorRef, ...]:
        """Return the outboxes of the connections of all selected users."""
        return tuple(
            entry.outbox for owner, entries in self._entries.items() if whose(owner) for entry in entries.values()
        )

    def users(self) -> tuple[str, ...]:
        """Return the users with connections."""
        return tuple(self._entries)

    def count(self, whose: Whose) -> int:
        """Return the number of connections of the selected users."""
        return sum(len(entries) for owner, entries in self._entries.items() if whose(owner))

    def close_session(self, identity: Identity, find: Callable[[str], ActorRef | None]) -> int:
        """Close every connection of a session with 4401, whatever their tokens. Return their number. `find` returns the
        actor at a path."""
        closed = 0
        for entry in self._entries.get(identity.user, {}).values():
            if entry.identity.session != identity.session:
                continue
            connection = find(entry.outbox.path.rpartition("/")[0])  # its parent
            if connection is not None:
                connection.tell(Close(4401, "signed out"), lane=Lane.ALERT)
                closed += 1
        return closed

    def close_revoked(self, ended: Callable[[Identity], bool], find: Callable[[str], ActorRef | None]) -> None:
        """Close every connection whose session is `ended` with 4401."""
        for identity in [entry.identity for entries in self._entries.values() for entry in entries.values()]:
            if ended(identity):
                self.close_session(identity, find)

    def __len__(self) -> int:
        return len(self._users)
