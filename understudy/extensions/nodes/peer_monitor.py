"""The actor that detects dead nodes and recovers the requests they left behind.

1. The database says which nodes are alive. While it is down no node is declared dead; nor by a node whose own lease has
   expired, as just after the database came back.
2. Requests to a dead node fail, and their callers retry. Requests that it had from nodes that are dead too are executed
   by one of the survivors: the consumer group gives each entry to one of them.
3. The inbox of a dead node is deleted when it is empty.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import trio

from actors import Actor, Context
from understudy.chat.placement import Missed, News, Node
from understudy.extensions.nodes import storage
from understudy.extensions.nodes.broker import BusEntry, inbox_name
from understudy.extensions.nodes.bus import MessageBus
from understudy.extensions.nodes.bus_receiver import PacketReader, unexpired
from understudy.extensions.nodes.codec import UnreadablePacket, decode_items
from understudy.extensions.nodes.conversation_proxy import ProxyTable
from understudy.extensions.nodes.messages import RpcRequest
from understudy.extensions.nodes.redis_broker import RedisBroker
from understudy.storage.errors import BrokerRefused, BrokerUnavailable, StorageUnavailable
from understudy.storage.store import Store

log = logging.getLogger(__name__)

EVERY_S: Final = 0.5
UNSENT_S: Final = storage.LEASE_S + 5.0
"""Age of news that a node may not have sent when it is found dead: it died at most a lease and a check ago, and sends
what it has queued within seconds."""
SCAN_EVERY_S: Final = 10.0
"""Interval of scans for inboxes of dead nodes, besides the scan when a node is seen to die."""
RESCAN_S: Final = 1.0
"""Delay of the next scan if an inbox was not emptied: entries that another node read cannot be claimed at once."""
ROUNDS: Final = 200
"""Limit of claims in one scan of an inbox, of 100 entries each: more than one holds."""


class _CheckPeers:
    """Check which nodes are alive."""


class PeerMonitor(Actor):
    """Watches the other nodes for `node`. `handle_request` executes a request here that was sent to another node.

    `handle_news` is told when a node died: its last news may not have been sent.
    """

    def __init__(
        self,
        store: Store,
        broker: RedisBroker,
        node: Node,
        bus: MessageBus,
        proxies: ProxyTable,
        reader: PacketReader,
        handle_request: Callable[[str, RpcRequest], Awaitable[None]],
        handle_news: Callable[[News], Awaitable[None]],
    ) -> None:
        self.store = store
        self.broker = broker
        self.node = node
        self.bus = bus
        self.proxies = proxies
        self.reader = reader
        self.handle_request = handle_request
        self.handle_news = handle_news
        self.alive: frozenset[str] = frozenset()
        self.scanned_at = -SCAN_EVERY_S

    async def on_start(self, context: Context) -> None:
        """Check at once."""
        context.ref.tell(_CheckPeers())

    async def receive(self, message: object, context: Context) -> None:
        """Compare the living nodes with those known before, and recover from those that died."""
        context.set_timer("look", EVERY_S, message)
        try:
            alive = frozenset(await self.store.read(storage.living))
        except StorageUnavailable:
            return
        if self.node.id not in alive:
            return
        # Not only those seen before: this actor may have been killed while a node died.
        gone, self.alive = (self.alive | self.proxies.owner_nodes()) - alive, alive
        for each in gone:
            log.warning("node.gone", extra={"gone": each})
            self.bus.drop_peer(each)
            self.reader.forget_sender(each)
            self.proxies.owner_down(each)
        if gone:
            context.start_soon(self.handle_news, Missed(time.time() - UNSENT_S), name="missed")
        now = trio.current_time()
        if gone or now >= self.scanned_at + SCAN_EVERY_S:
            self.scanned_at = now
            context.start_soon(self._take_over, name="take_over")

    async def _take_over(self) -> None:
        """Execute the requests left in the inboxes of dead nodes, and delete the inboxes."""
        try:
            known, now = await self.broker.inboxes()
            self.bus.set_clock(now)
            alive = await self.store.read(storage.living)  # now: a node joins before it has an inbox
            for name in sorted(known):
                if name in alive or name == self.node.id or await self._take_over_from(name, now):
                    continue
                self.scanned_at = trio.current_time() - SCAN_EVERY_S + RESCAN_S
        except (BrokerUnavailable, StorageUnavailable) as error:
            log.debug("peers.not_taken_over", extra={"reason": error.reason})

    async def _take_over_from(self, node: str, now: float) -> bool:
        """Execute the requests left in the inbox of a dead node. Return True if the inbox was deleted."""
        try:
            while entries := await self.broker.read_new(node, self.node.id):
                await self._handle_entries(node, entries, now)
            start = "0-0"
            for _ in range(ROUNDS):
                start, entries = await self.broker.claim(node, self.node.id, start)
                await self._handle_entries(node, entries, now)
                if start == "0-0":
                    break
            return await self.broker.remove_if_empty(node)
        except BrokerRefused:
            # Another node deleted it, or the broker lost it, or what has its name is no inbox: others come after it.
            return await self._removed(node)

    async def _removed(self, node: str) -> bool:
        try:
            return await self.broker.remove_if_empty(node)
        except BrokerRefused as refused:
            log.warning("inbox.dropped", extra={"reason": "unreadable", "place": node, "detail": refused.reason})
            return True

    async def _handle_entries(self, node: str, entries: Sequence[BusEntry], now: float) -> None:
        for entry in entries:
            for sender, request in unexpired(self._orphaned(node, entry), entry, now):
                log.info("request.taken_over", extra={"command": type(request.command).__name__})
                await self.handle_request(sender, request)
        self.bus.ack(node, [entry.id for entry in entries])

    def _orphaned(self, node: str, entry: BusEntry) -> list[tuple[str, RpcRequest]]:
        """Return the requests in an entry if their sender is dead too; a living sender retries by itself."""
        packet = self.reader.read_orphaned(inbox_name(node), entry.data, entry.id)
        if packet is None:
            return []
        try:
            items, _ = decode_items(packet)
        except UnreadablePacket:
            return []
        if packet.sender in self.alive or packet.sender == self.node.id:
            return []
        return [(packet.sender, item) for item in items if isinstance(item, RpcRequest)]
