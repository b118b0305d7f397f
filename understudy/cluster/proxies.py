"""The table of conversation proxies on this node, by thread, with the node that owns each thread."""

from attrs import define, field, frozen

from actors import ActorRef


@frozen
class CheckLog:
    """To a proxy: events may have been lost; ask the owning node, or read the log."""


@frozen
class OwnerDown:
    """To a proxy: the node that owns its thread is down."""


@frozen
class _ProxyEntry:
    ref: ActorRef
    owner_node: str


@define
class ProxyTable:
    """The running proxies, by the names of their threads."""

    _proxies: dict[str, _ProxyEntry] = field(factory=dict, init=False)

    def __len__(self) -> int:
        return len(self._proxies)

    def add(self, thread: str, ref: ActorRef, holder: str) -> None:
        """Add a proxy that starts."""
        self._proxies[thread] = _ProxyEntry(ref, holder)

    def remove(self, thread: str, ref: ActorRef) -> None:
        """Remove a proxy that stops; no effect if another proxy has replaced it."""
        relayed = self._proxies.get(thread)
        if relayed is not None and relayed.ref == ref:
            del self._proxies[thread]

    def find(self, thread: str, holder: str) -> ActorRef | None:
        """Return the proxy of a thread if that node owns it. Events of an earlier owner find none, and are dropped."""
        relayed = self._proxies.get(thread)
        return None if relayed is None or relayed.owner_node != holder else relayed.ref

    def owner_nodes(self) -> frozenset[str]:
        """Return the nodes that own a thread with a proxy here."""
        return frozenset(relayed.owner_node for relayed in self._proxies.values())

    def check_logs(self, holder: str | None = None) -> None:
        """Have the proxies to a node, or all of them, check for events they missed."""
        for relayed in self._proxies.values():
            if holder in (None, relayed.owner_node):
                relayed.ref.try_tell(CheckLog())

    def owner_down(self, holder: str) -> None:
        """Stop the proxies to a node that is down."""
        for relayed in list(self._proxies.values()):
            if relayed.owner_node == holder:
                relayed.ref.try_tell(OwnerDown())
