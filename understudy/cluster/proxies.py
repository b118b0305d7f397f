"""Which threads this node relays, and from which node: a table, not a process."""

from attrs import define, field, frozen

from actors import ActorRef


@frozen
class CheckLog:
    """To a relay: something may have been lost on the way; look what the thread's node, or its log, has."""


@frozen
class OwnerDown:
    """To a relay: the node that it relays from is gone."""


@frozen
class _ProxyEntry:
    ref: ActorRef
    owner_node: str


@define
class ProxyTable:
    """The relays that live here, by the names of their threads."""

    _proxies: dict[str, _ProxyEntry] = field(factory=dict, init=False)

    def __len__(self) -> int:
        return len(self._proxies)

    def add(self, thread: str, ref: ActorRef, holder: str) -> None:
        """A relay begins."""
        self._proxies[thread] = _ProxyEntry(ref, holder)

    def remove(self, thread: str, ref: ActorRef) -> None:
        """A relay ends; harmless when another one has its place by now."""
        relayed = self._proxies.get(thread)
        if relayed is not None and relayed.ref == ref:
            del self._proxies[thread]

    def find(self, thread: str, holder: str) -> ActorRef | None:
        """The relay of a thread from that node, if there is one. Who had it before has nothing to say any more."""
        relayed = self._proxies.get(thread)
        return None if relayed is None or relayed.owner_node != holder else relayed.ref

    def owner_nodes(self) -> frozenset[str]:
        """The nodes from which something is relayed."""
        return frozenset(relayed.owner_node for relayed in self._proxies.values())

    def check_logs(self, holder: str | None = None) -> None:
        """Have the relays from a node, or all of them, look for what they lack."""
        for relayed in self._proxies.values():
            if holder in (None, relayed.owner_node):
                relayed.ref.try_tell(CheckLog())

    def owner_down(self, holder: str) -> None:
        """A node is gone: its relays are of no use."""
        for relayed in list(self._proxies.values()):
            if relayed.owner_node == holder:
                relayed.ref.try_tell(OwnerDown())
