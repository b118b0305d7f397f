"""The table of the running proxies, and the loop that tells each where the log of its thread ends.

1. Every `CHECK_S` the owners of these threads are told that they are followed here, and the ends of all logs are read
   together. So a lost wakeup delays events by no longer than that.
2. While this node hears no wakeups, only the logs are read, ten times a second.
"""

from collections.abc import Sequence
from typing import Final, NoReturn, TypeAlias

import trio
from attrs import define, field, frozen

from actors import ActorRef, Ask
from understudy.extensions.nodes import storage
from understudy.extensions.nodes.bus import MessageBus
from understudy.extensions.nodes.storage import LogEnd
from understudy.storage.errors import StorageError
from understudy.storage.store import Store

CHECK_S: Final = 5.0
"""Interval of the checks. A follower that misses several of them is forgotten (`announcer.FOLLOWED_S`)."""
DEAF_S: Final = 0.1
"""Interval of the checks while this node hears no wakeups, and the shortest pause between two checks."""
AWAY_S: Final = 1.0
"""Interval of the checks while the database does not answer."""
AT_A_TIME: Final = 500
"""Limit of threads in one read."""


@frozen
class LogChecked:
    """To a proxy: the end of its log in the database, None if there is no such thread.

    `late`: the read was `conversation_proxy.LATE_S` ago, so wakeups up to that end should have arrived.
    """

    end: LogEnd | None
    late: bool = False


@frozen
class OwnerDown:
    """To a proxy: the node that owns its thread is down, or does not own it any more.

    `unanswered` is a request that the node did not answer. The message holds it until the proxy stops: then it fails
    with `ActorDied` and its caller retries. Released earlier, it would fail at once as unhandled.
    """

    unanswered: "Ask[object] | None" = None


@frozen
class _Proxy:
    ref: ActorRef
    owner_node: str


Key: TypeAlias = tuple[str, str]


@define
class ProxyTable:
    """The running proxies, by the user and the id of their thread."""

    _proxies: dict[Key, _Proxy] = field(factory=dict, init=False)
    _asked: trio.Event = field(factory=trio.Event, init=False)
    _snapshots: bool = field(default=False, init=False)

    def add(self, key: Key, ref: ActorRef, owner_node: str) -> None:
        """Add a starting proxy."""
        self._proxies[key] = _Proxy(ref, owner_node)

    def remove(self, key: Key, ref: ActorRef) -> None:
        """Remove a stopping proxy; no effect if another proxy has replaced it."""
        if key in self._proxies and self._proxies[key].ref == ref:
            del self._proxies[key]

    def find(self, key: Key, owner_node: str) -> ActorRef | None:
        """Return the proxy of a thread if it expects that owner: events of an earlier owner are dropped."""
        proxy = self._proxies.get(key)
        return None if proxy is None or proxy.owner_node != owner_node else proxy.ref

    def owner_nodes(self) -> frozenset[str]:
        """Return the nodes that own a thread with a proxy here."""
        return frozenset(proxy.owner_node for proxy in self._proxies.values())

    def owner_down(self, owner_node: str) -> None:
        """Stop the proxies to a node that is down."""
        for proxy in list(self._proxies.values()):
            if proxy.owner_node == owner_node:
                proxy.ref.try_tell(OwnerDown())

    def check(self, *, snapshots: bool = True) -> None:
        """Have all logs checked now. `snapshots`: request the streamed text too, as it may have been missed."""
        self._snapshots = self._snapshots or snapshots
        self._asked.set()

    async def keep_up(self, store: Store, bus: MessageBus) -> NoReturn:
        """Tell the proxies the ends of their logs at an interval, and renew the followings, until cancelled."""
        while True:
            snapshots, self._snapshots, self._asked = self._snapshots, False, trio.Event()
            proxies = list(self._proxies.items())
            if bus.hears:
                for key, proxy in proxies:
                    bus.follow(proxy.owner_node, *key, snapshot=snapshots)
            pause_s = CHECK_S if bus.hears else DEAF_S
            for first in range(0, len(proxies), AT_A_TIME):
                if not await self._check(store, proxies[first : first + AT_A_TIME]):
                    pause_s = AWAY_S
                    break
            await trio.sleep(DEAF_S)
            with trio.move_on_after(pause_s - DEAF_S):
                await self._asked.wait()

    async def _check(self, store: Store, proxies: Sequence[tuple[Key, _Proxy]]) -> bool:
        """Tell proxies the ends of their logs. Return False if the database cannot be read."""
        try:
            ends = await store.read(storage.log_ends, [key for key, _ in proxies])
        except StorageError:
            return False
        for key, proxy in proxies:
            proxy.ref.try_tell(LogChecked(ends.get(key)))
        return True
