"""Which connections each user has right now: a table, not a process."""

from attrs import define, field

from actors import ActorRef


@define
class Presence:
    """The live connections of all users, at most `cap` for each."""

    cap: int
    _outboxes: dict[str, dict[str, ActorRef]] = field(factory=dict, init=False)
    _users: dict[str, str] = field(factory=dict, init=False)

    def arrive(self, user: str, connection_id: str, outbox: ActorRef) -> bool:
        """Count a connection in; False when its user has as many as are allowed, and nothing is changed then.

        A connection that arrives again, for another user, has left the first one.
        """
        if len(self._outboxes.get(user, {}).keys() - {connection_id}) >= self.cap:
            return False
        self.leave(connection_id)
        self._outboxes.setdefault(user, {})[connection_id] = outbox
        self._users[connection_id] = user
        return True

    def leave(self, connection_id: str) -> None:
        """Count a connection out; harmless for one that never arrived."""
        user = self._users.pop(connection_id, None)
        if user is None:
            return
        del self._outboxes[user][connection_id]
        if not self._outboxes[user]:
            del self._outboxes[user]

    def outboxes(self, user: str) -> tuple[ActorRef, ...]:
        """Give the outboxes of a user's connections."""
        return tuple(self._outboxes.get(user, {}).values())

    def __len__(self) -> int:
        return len(self._users)
