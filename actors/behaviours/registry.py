"""A registry: names of single actors, and groups of actors.

1. It is a plain table of one system, read and written without messages: it cannot crash, has no backlog, and an entry
   is visible to the next lookup.
2. An entry ends with its actor, in the same step: before `Terminated` is delivered, `stop` returns or a failed ask
   raises, the actor is in no listing and its name is free. A restart is no end.
3. Subscribers get each change as a whole listing, so a subscriber that missed some is correct again after the next.
"""

from __future__ import annotations

import trio
from attrs import Factory, define, field, frozen

from actors.ask import ActorDied
from actors.errors import ActorError
from actors.events import ActorStopped, DeadLetter, Event
from actors.lanes import Lane
from actors.ref import ActorRef
from actors.system import ActorSystem

WAIT_FOR_TIMEOUT_S = 5.0
"""Default of `wait_for` in seconds, the timeout of an ask. It then raises `NotRegistered`."""


@define
class NameTaken(ActorError, ValueError):
    """The key has an owner already, `ref`, which keeps it. For a group, `ref` is its first member."""

    name: str
    ref: ActorRef

    def __str__(self) -> str:
        return f"{self.name!r} belongs to {self.ref.path}"


@define
class NotRegistered(ActorError, trio.TooSlowError):
    """No actor registered under this key within `timeout_s` seconds."""

    name: str
    timeout_s: float

    def __str__(self) -> str:
        return f"no actor registered as {self.name!r} within {self.timeout_s:g} s"


@frozen
class Listing:
    """Sent to subscribers of `key`: its present actors in the order in which they came; at most one for a name."""

    key: str
    refs: tuple[ActorRef, ...]


@frozen
class RegistryStatistics:
    """Keys in use, entries under them, subscriptions, tasks in `wait_for`, listings that found no room."""

    keys: int
    entries: int
    subscriptions: int
    waiting: int
    dropped: int


@define
class _Entry:
    """The state of one key."""

    unique: bool = False
    members: dict[ActorRef, None] = Factory(dict)
    subscribers: dict[ActorRef, Lane] = Factory(dict)
    waiting: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot)

    @property
    def empty(self) -> bool:
        """Whether the entry can be removed."""
        return not (self.members or self.subscribers or self.waiting)


@define
class _ActorKeys:
    """The keys that name one actor, as an entry or as a subscriber."""

    ref: ActorRef
    keys: dict[str, None] = Factory(dict)


class Registry:
    """The names and groups of one running system: make one, and share it.

    A key is a name while its entry is one of `register`, and a group while its entries are those of `join`. Only
    actors of `system` may be entered. All but `wait_for` return at once.
    """

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._keys: dict[str, _Entry] = {}
        self._keys_by_path: dict[str, _ActorKeys] = {}
        self._dropped = 0
        self._unsubscribe_events = system.listen(self._hear)

    def register(self, name: str, ref: ActorRef) -> None:
        """Register an actor under a unique name; harmless if it has the name already.

        Raises `NameTaken`, also if the key is a group, and `ActorDied` for a dead actor.
        """
        owner = self.lookup(name)
        if owner is None:
            self._enter(name, ref, unique=True)
        elif owner != ref or not self._keys[name].unique:
            raise NameTaken(name, owner)

    def join(self, key: str, ref: ActorRef) -> None:
        """Add an actor to a group; harmless if it is a member already.

        Raises `NameTaken` if the key is the name of an actor, and `ActorDied` for a dead actor.
        """
        first = self.lookup(key)
        if first is not None and self._keys[key].unique:
            raise NameTaken(key, first)
        if first is None or ref not in self._keys[key].members:
            self._enter(key, ref, unique=False)

    def deregister(self, key: str, ref: ActorRef) -> bool:
        """Remove the name of an actor, or the actor from a group. Return whether it was there."""
        entry = self._keys.get(key)
        if entry is None or ref not in entry.members:
            return False
        del entry.members[ref]
        self._changed(key, entry)
        self._forget(key, entry, ref)
        return True

    def lookup(self, key: str) -> ActorRef | None:
        """Return the actor with this name, or the first of the group; None if there is none."""
        entry = self._keys.get(key)
        return None if entry is None else next((ref for ref in entry.members if ref.alive), None)

    def members(self, key: str) -> tuple[ActorRef, ...]:
        """Return the actors of a group, or the one with this name, in the order in which they came."""
        entry = self._keys.get(key)
        return () if entry is None else tuple(ref for ref in entry.members if ref.alive)

    async def wait_for(self, key: str, timeout_s: float = WAIT_FOR_TIMEOUT_S) -> ActorRef:
        """Wait until the key has an actor, and return it. Raises `NotRegistered` after `timeout_s` seconds."""
        await trio.lowlevel.checkpoint()
        with trio.move_on_after(timeout_s):
            while (ref := self.lookup(key)) is None:
                entry = self._keys.setdefault(key, _Entry())
                try:
                    await entry.waiting.park()
                finally:
                    self._sweep(key, entry)
            return ref
        raise NotRegistered(key, timeout_s)

    def subscribe(self, key: str, ref: ActorRef, *, lane: Lane = Lane.NORMAL) -> None:
        """Tell an actor the `Listing` of a key now, and again after each change, in this lane.

        A second subscription sends the listing again and changes the lane. Ends with the actor. Raises `MailboxFull` if
        the first listing finds no room, and then nothing is subscribed; later ones without room are counted and become
        dead letters. Does nothing for a dead actor.
        """
        if ref.alive:
            ref.tell(Listing(key, self.members(key)), lane=lane)
            self._keys.setdefault(key, _Entry()).subscribers[ref] = lane
            self._hold(key, ref)

    def unsubscribe(self, key: str, ref: ActorRef) -> None:
        """End the subscription of an actor; harmless if there is none."""
        entry = self._keys.get(key)
        if entry is not None and entry.subscribers.pop(ref, None) is not None:
            self._forget(key, entry, ref)

    def statistics(self) -> RegistryStatistics:
        """Return the statistics of the registry."""
        entries = self._keys.values()
        return RegistryStatistics(
            sum(1 for entry in entries if entry.members),
            sum(len(entry.members) for entry in entries),
            sum(len(entry.subscribers) for entry in entries),
            sum(len(entry.waiting) for entry in entries),
            self._dropped,
        )

    def close(self) -> None:
        """Unsubscribe from the system. Not needed for a registry that lives as long as its system."""
        self._unsubscribe_events()

    def _enter(self, key: str, ref: ActorRef, *, unique: bool) -> None:
        if not ref.alive:
            raise ActorDied(ref.path)
        entry = self._keys.setdefault(key, _Entry())
        entry.unique = unique
        entry.members[ref] = None
        self._hold(key, ref)
        self._changed(key, entry)
        entry.waiting.unpark_all()

    def _changed(self, key: str, entry: _Entry) -> None:
        if not entry.subscribers:
            return  # to make the listing of a large group takes time
        listing = Listing(key, self.members(key))
        for ref, lane in tuple(entry.subscribers.items()):
            try:
                ref.tell(listing, lane=lane)
            except Exception:  # full, or the key of a conflating lane raised: the others get theirs all the same
                self._dropped += 1
                self._system.undelivered(DeadLetter(ref.path, lane.name.lower(), listing, "overflow"))

    def _hear(self, event: Event) -> None:
        """Remove an actor that ended from every table, then tell the remaining subscribers."""
        actor = self._keys_by_path.pop(event.path, None) if isinstance(event, ActorStopped) else None
        if actor is None:
            return
        entries = [(key, self._keys[key]) for key in actor.keys]
        for _, entry in entries:
            entry.subscribers.pop(actor.ref, None)
        for key, entry in entries:
            if actor.ref in entry.members:
                del entry.members[actor.ref]
                self._changed(key, entry)
            self._sweep(key, entry)

    def _hold(self, key: str, ref: ActorRef) -> None:
        self._keys_by_path.setdefault(ref.path, _ActorKeys(ref)).keys[key] = None

    def _forget(self, key: str, entry: _Entry, ref: ActorRef) -> None:
        """Remove the link from the actor to the key if it is neither a member nor a subscriber."""
        if ref not in entry.members and ref not in entry.subscribers:
            actor = self._keys_by_path[ref.path]
            del actor.keys[key]
            if not actor.keys:
                del self._keys_by_path[ref.path]
        self._sweep(key, entry)

    def _sweep(self, key: str, entry: _Entry) -> None:
        if entry.empty and self._keys.get(key) is entry:
            del self._keys[key]
