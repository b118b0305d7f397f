"""The peers actor: knows which other nodes are alive, and sees to what those leave behind that are not.

1. Who is alive is what the database says; while it is away nobody is taken for dead, nor by a node that is not alive
   itself, as when the database has just come back.
2. Whoever waits for an answer of a node that is gone asks again. Requests that it was sent by nodes that are gone too
   are carried out here, by one of the survivors: Redis gives each of them to one.
3. Its stream is removed when nothing is left in it.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import trio

from actors import Actor, Context
from understudy.chat.placement import Node
from understudy.cluster import redis_stream
from understudy.cluster.bus import MessageBus
from understudy.cluster.bus_receiver import unexpired
from understudy.cluster.codec import UnreadablePacket, decode_items
from understudy.cluster.messages import RpcRequest
from understudy.cluster.packet_reader import PacketReader
from understudy.cluster.proxies import ProxyTable
from understudy.storage.errors import RedisRefused, RedisUnavailable, StorageUnavailable
from understudy.storage.redis import RedisLink
from understudy.storage.store import Store

log = logging.getLogger(__name__)

EVERY_S: Final = 0.5
SCAN_EVERY_S: Final = 10.0
"""How often streams are looked for whose node is gone, beside those of nodes that were seen to go."""
RESCAN_S: Final = 1.0
"""How soon they are looked for again where something was left: what another read and did not do must lie a while."""
ROUNDS: Final = 200
"""Rounds of taking over, of a hundred entries each: no stream holds as much."""


class _CheckPeers:
    """See who is alive."""


class PeerMonitor(Actor):
    """Watches the other nodes for `node`. `serve` carries out a request here, whoever it was sent to."""

    def __init__(
        self,
        store: Store,
        link: RedisLink,
        node: Node,
        post: MessageBus,
        relays: ProxyTable,
        receiver: PacketReader,
        serve: Callable[[str, RpcRequest], Awaitable[None]],
    ) -> None:
        self.store = store
        self.link = link
        self.node = node
        self.bus = post
        self.proxies = relays
        self.reader = receiver
        self.handle_request = serve
        self.alive: frozenset[str] = frozenset()
        self.scanned_at = -SCAN_EVERY_S

    async def on_start(self, context: Context) -> None:
        """Look at once."""
        context.ref.tell(_CheckPeers())

    async def receive(self, message: object, context: Context) -> None:
        """See who is gone."""
        context.set_timer("look", EVERY_S, message)
        try:
            alive = frozenset(await self.store.live_nodes())
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
        now = trio.current_time()
        if gone or now >= self.scanned_at + SCAN_EVERY_S:
            self.scanned_at = now
            context.start_soon(self._take_over, name="take_over")

    async def _take_over(self) -> None:
        """Do what is left of nodes that are gone, and remove their streams."""
        try:
            known = await self.link.call(lambda redis: redis.smembers(redis_stream.NODES_WITH_STREAM))
            alive = await self.store.live_nodes()  # now: a node joins before it has a stream
            for each in sorted(known):
                name = _text(each)
                if name in alive or name == self.node.id or await self._take_over_from(name):
                    continue
                self.scanned_at = trio.current_time() - SCAN_EVERY_S + RESCAN_S
        except (RedisUnavailable, StorageUnavailable) as error:
            log.debug("peers.not_taken_over", extra={"reason": error.reason})

    async def _take_over_from(self, node: str) -> bool:
        """Do what is left of one; whether that was all, and its stream is removed."""
        time = await self.link.call(lambda redis: redis.time())
        try:
            while entries := await redis_stream.read_new(self.link, node, self.node.id):
                await self._handle_entries(node, entries, time.timestamp())
            start = "0-0"
            for _ in range(ROUNDS):
                start, entries = await redis_stream.claim(self.link, node, self.node.id, start)
                await self._handle_entries(node, entries, time.timestamp())
                if start == "0-0":
                    break
        except RedisRefused:
            pass  # another node, or whoever flushed Redis, has removed it
        return await redis_stream.remove_if_empty(self.link, node)

    async def _handle_entries(self, node: str, entries: Sequence[redis_stream.Entry], now: float) -> None:
        for entry in entries:
            for sender, request in unexpired(self._orphaned(node, entry), entry, now):
                log.info("request.taken_over", extra={"command": type(request.command).__name__})
                await self.handle_request(sender, request)
        self.bus.ack(node, [entry.id for entry in entries])

    def _orphaned(self, node: str, entry: redis_stream.Entry) -> list[tuple[str, RpcRequest]]:
        """The requests in an entry whose sender is gone too; another one knows of the death, and asks again."""
        packet = self.reader.read_orphaned(redis_stream.stream_name(node), entry.data, entry.id)
        if packet is None:
            return []
        try:
            items = decode_items(packet)
        except UnreadablePacket:
            return []
        if packet.sender in self.alive or packet.sender == self.node.id:
            return []
        return [(packet.sender, item) for item in items if isinstance(item, RpcRequest)]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
