"""Which threads this node relays, and from which node: a table, not a process."""

from attrs import define, field, frozen

from actors import ActorRef


@frozen
class Check:
    """To a relay: something may have been lost on the way; look what the thread's node, or its log, has."""


@frozen
class HolderGone:
    """To a relay: the node that it relays from is gone."""


@frozen
class _Relayed:
    ref: ActorRef
    holder: str


@define
class Relays:
    """The relays that live here, by the names of their threads."""

    _relays: dict[str, _Relayed] = field(factory=dict, init=False)

    def __len__(self) -> int:
        return len(self._relays)

    def enter(self, thread: str, ref: ActorRef, holder: str) -> None:
        """A relay begins."""
        self._relays[thread] = _Relayed(ref, holder)

    def leave(self, thread: str, ref: ActorRef) -> None:
        """A relay ends; harmless when another one has its place by now."""
        relayed = self._relays.get(thread)
        if relayed is not None and relayed.ref == ref:
            del self._relays[thread]

    def find(self, thread: str, holder: str) -> ActorRef | None:
        """The relay of a thread from that node, if there is one. Who had it before has nothing to say any more."""
        relayed = self._relays.get(thread)
        return None if relayed is None or relayed.holder != holder else relayed.ref

    def holders(self) -> frozenset[str]:
        """The nodes from which something is relayed."""
        return frozenset(relayed.holder for relayed in self._relays.values())

    def check(self, holder: str | None = None) -> None:
        """Have the relays from a node, or all of them, look for what they lack."""
        for relayed in self._relays.values():
            if holder in (None, relayed.holder):
                relayed.ref.try_tell(Check())

    def lose(self, holder: str) -> None:
        """A node is gone: its relays are of no use."""
        for relayed in list(self._relays.values()):
            if relayed.holder == holder:
                relayed.ref.try_tell(HolderGone())
