"""Detects the deaths of other nodes, and takes over their requests.

1. The database says which nodes are alive. No node is declared dead while the database is down, nor by a node whose own
   lease has expired, as just after the database came back.
2. A node that stops listening is dead if it has not renewed its lease either. A node that does not hear itself does not
   draw that conclusion, and forgets which nodes it saw listening: the database may have ended all sessions.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

import trio
from attrs import define, field

from actors import Context
from understudy.chat.placement import Missed, Moved, News, Node
from understudy.extensions.nodes import storage
from understudy.extensions.nodes.bus import MessageBus
from understudy.extensions.nodes.inbox import TAKEN_OVER, take_over
from understudy.extensions.nodes.proxy_table import ProxyTable
from understudy.storage.errors import StorageError
from understudy.storage.store import Store

log = logging.getLogger(__name__)

UNSENT_S: Final = storage.LEASE_S + 5.0
"""Age in seconds of the oldest news that a dead node may not have sent: it died at most a lease and a check before that
is noticed, and sent what it had queued within seconds."""
SCAN_EVERY_S: Final = 10.0
"""Interval of scans for letters to dead nodes; there is another scan whenever a node dies."""


@define(eq=False)
class Peers:
    """The other nodes, as `node` sees them.

    When a node dies, `forget` is called with its id, and `handle_news` with `Missed`, as it may not have sent its last
    news. `tidy` is called at each scan.
    """

    store: Store
    node: Node
    bus: MessageBus
    proxies: ProxyTable
    handle_news: Callable[[News], Awaitable[None]]
    forget: Callable[[str], None]
    tidy: Callable[[], Awaitable[None]]
    _alive: frozenset[str] = field(default=frozenset(), init=False)
    _listening: frozenset[str] = field(default=frozenset(), init=False)
    _scan_at: float = field(default=0.0, init=False)

    async def look(self, context: Context) -> None:
        """Read which nodes are alive, and recover from those that died since the last call, in tasks of `context`.

        Raises StorageUnavailable.
        """
        listening = self._listening if self.bus.hears else frozenset()
        self._listening = frozenset()  # stays empty if the database does not answer
        silent_s = await self.store.read(storage.living_by_silence)
        lost = {name for name in listening if silent_s.get(name, 0.0) > storage.SILENT_S}
        if lost and await self.store.commit_urgent(storage.end_leases(lost)):
            silent_s = await self.store.read(storage.living_by_silence)
        alive = frozenset(silent_s)
        if self.node.id not in alive:
            return
        self._listening = alive.intersection(listening.union(name for name in alive if not silent_s[name]))
        # The owners of proxies too: the actor that calls this may have been restarted while a node died.
        gone, came = (self._alive | self.proxies.owner_nodes()) - alive, alive - self._alive - {self.node.id}
        self._alive, self.bus.peers = alive, len(alive) > 1
        if came:  # news were not sent before, as no other node was known
            self.bus.broadcast(Missed(time.time() - UNSENT_S))
        for name in gone:
            log.warning("node.gone", extra={"gone": name})
            self.forget(name)
            self.bus.fail_pending(Moved(f"node {name} is gone"), name)
            self.proxies.owner_down(name)
        if gone:
            context.start_soon(self.handle_news, Missed(time.time() - UNSENT_S), name="missed")
        if gone or trio.current_time() >= self._scan_at:
            self._scan_at = trio.current_time() + SCAN_EVERY_S
            context.start_soon(self._scan, name="scan")

    async def _scan(self) -> None:
        """Take over the letters between dead nodes, and call `tidy`."""
        try:
            while taken := await self.store.commit(take_over(self.node.id)):
                log.info("requests.taken_over", extra={"items": taken})
                self.bus.woken.set()
                if taken < TAKEN_OVER:
                    break
            await self.tidy()
        except StorageError as error:
            log.debug("peers.not_taken_over", extra={"reason": str(error)})
