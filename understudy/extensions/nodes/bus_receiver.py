"""The incoming side of messaging between nodes: reads packets from the broker, checks them, and dispatches their items.

1. Durable items come through an inbox. An entry is acknowledged after it has been handled, so a node that takes over
   from a dead one finds the entries that were not. Ephemeral events and news come through channels.
2. Reading never waits for handling: requests run in tasks of their own, other items are sent to actors.
3. A gap in the packet numbers, a new inbox or a new subscription may mean loss; after each of them the proxies check
   the log for events that they missed.
4. A packet that is not authentic (`understudy.extensions.nodes.redis_cipher`) is dropped before any of it is decoded.
5. Packets of a sender in a source (an inbox or a channel) have rising numbers. A number that is not higher than the
   last one is a replay, unless it is the same entry of the same inbox, read again because it was not acknowledged.
6. The first packet of a sender has no predecessor, so it must be fresh by the clock. The same holds for packets to a
   node that has died: an attacker who can write to the broker can replay these for at most `FRESH_S`, to another
   survivor.
7. A dropped packet is counted and logged; its sender gets no reply.
"""

import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Final, NoReturn, Protocol, TypeVar

import trio
from attrs import define, field

from actors import Actor, Context
from understudy.chat.placement import Missed, News, Node, TypingIn
from understudy.extensions.nodes.broker import BLOCK_S, BusEntry, inbox_name
from understudy.extensions.nodes.bus import MessageBus
from understudy.extensions.nodes.codec import Packet, UnreadablePacket, decode_items, decode_news, decode_packet
from understudy.extensions.nodes.conversation_proxy import ProxyTable
from understudy.extensions.nodes.messages import Ephemeral, Events, ForwardingEnded, Item, RpcReply, RpcRequest
from understudy.extensions.nodes.redis_broker import RedisBroker
from understudy.extensions.nodes.redis_cipher import Cipher, NotAuthentic
from understudy.storage.errors import BrokerRefused, BrokerUnavailable

log = logging.getLogger(__name__)
KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")

HandleRequest = Callable[[str, RpcRequest], Awaitable[None]]
HandleNews = Callable[[News], Awaitable[None]]

BATCH_DELAY_S: Final = 0.001
"""Pause before the next read: under load one read returns the entries of several."""
RETRY_S: Final = 0.05
"""Pause before the inbox is opened again after the broker failed or had lost it."""
NEWS_AT_ONCE: Final = 256
"""Limit of news handled concurrently; more are dropped, and handled as missed."""
LATE_S: Final = 0.5
"""Seconds after which the first subscription is late: the server may serve by then, and its clients missed news."""
FRESH_S: Final = 300.0
"""Allowed clock skew between nodes and age of the first packet of a sender, as in Kerberos (RFC 4120, section 8.2)."""
REMEMBERED: Final = 20_000
"""Limit of remembered entries, of those in handling and of those taken over each: twice the length of an inbox; the
oldest are forgotten first."""


class BusMetrics(Protocol):
    """Counts dropped packets."""

    def node_message_dropped(self, reason: str) -> None:
        """Count a dropped packet; `reason` is `not_authentic`, `replayed` or `unreadable`."""


@define(eq=False)
class PacketReader:
    """Decrypts and checks packets. `clock` gives Unix seconds."""

    cipher: Cipher = field(repr=False)
    metrics: BusMetrics | None = None
    clock: Callable[[], float] = time.time
    _numbers: dict[tuple[str, str], int] = field(factory=dict, init=False)  # the last one, by source and sender
    _open: dict[tuple[str, bytes], tuple[str, int]] = field(factory=dict, init=False)  # by source and entry
    _orphaned: dict[tuple[str, str, int], bytes] = field(
        factory=dict, init=False
    )  # entries, by source, sender and number
    _gone: deque[tuple[float, str]] = field(factory=deque, init=False)

    def read(self, source: str, data: bytes, entry: bytes | None = None) -> tuple[Packet, bool] | None:
        """Return a packet, and whether packets before it are missing; None if it must be dropped.

        `entry` is its id in the inbox `source`, None on a channel. Call `mark_done` for every entry that was read.
        """
        packet = self._decrypt(source, data)
        if packet is None:
            return None
        key = source, packet.sender
        last = self._numbers.get(key)
        if entry is not None and self._open.get((source, entry)) == (packet.sender, packet.number):
            return packet, False
        if not (self._is_fresh(packet) if last is None else packet.number > last):
            self._drop("replayed", source)
            return None
        self._numbers[key] = packet.number
        if entry is not None:
            _remember(self._open, (source, entry), (packet.sender, packet.number))
        return packet, packet.number != (last or 0) + 1

    def read_orphaned(self, source: str, data: bytes, entry: bytes) -> Packet | None:
        """Return a packet from the inbox `source` of a dead node; None if it must be dropped.

        These packets are read in any order, so instead of rising, each number may occur in only one entry.
        """
        packet = self._decrypt(source, data)
        if packet is None:
            return None
        key = source, packet.sender, packet.number
        if not self._is_fresh(packet) or self._orphaned.get(key, entry) != entry:
            self._drop("replayed", source)
            return None
        _remember(self._orphaned, key, entry)
        return packet

    def mark_done(self, source: str, entries: Iterable[bytes]) -> None:
        """Forget handled entries of an inbox: if one is read again, it is a replay."""
        for entry in entries:
            self._open.pop((source, entry), None)

    def forget_sender(self, node: str) -> None:
        """Forget the numbers of a dead node, as soon as none of its packets can be fresh any more."""
        now = self.clock()
        self._gone.append((now, node))
        while self._gone and self._gone[0][0] < now - 2 * FRESH_S:
            _, past = self._gone.popleft()
            self._numbers = {key: number for key, number in self._numbers.items() if key[1] != past}

    def _decrypt(self, source: str, data: bytes) -> Packet | None:
        try:
            return decode_packet(self.cipher.decrypt(data, source))
        except NotAuthentic:
            self._drop("not_authentic", source)
        except UnreadablePacket:
            self._drop("unreadable", source)
        return None

    def _is_fresh(self, packet: Packet) -> bool:
        return abs(self.clock() - packet.made_at) <= FRESH_S

    def _drop(self, reason: str, source: str) -> None:
        log.warning("inbox.dropped", extra={"reason": reason, "place": source})
        self.count_dropped(reason)

    def count_dropped(self, reason: str) -> None:
        """Count a packet that is dropped."""
        if self.metrics is not None:
            self.metrics.node_message_dropped(reason)


def _remember(known: dict[KeyT, ValueT], key: KeyT, value: ValueT) -> None:
    """Store a value; beyond REMEMBERED entries the oldest is dropped."""
    known[key] = value
    if len(known) > REMEMBERED:
        del known[next(iter(known))]


def unexpired(requests: Sequence[tuple[str, RpcRequest]], entry: BusEntry, now: float) -> list[tuple[str, RpcRequest]]:
    """Return the requests of an entry whose caller still waits; `now` is by the broker's clock.

    The entry says when it was added, by whomever; the request, which is sealed, when it was asked.
    """
    return [
        each
        for each in requests
        if now < min(entry.made_at, each[1].asked_at or entry.made_at) + min(each[1].within_s, FRESH_S)
    ]


class BusReceiver(Actor):
    """Reads for `node`. `listening` is set as soon as its subscription to the channels stands."""

    def __init__(
        self,
        broker: RedisBroker,
        node: Node,
        bus: MessageBus,
        proxies: ProxyTable,
        reader: PacketReader,
        handle_request: HandleRequest,
        handle_news: HandleNews,
        listening: trio.Event,
    ) -> None:
        self.broker = broker
        self.node = node
        self.bus = bus
        self.proxies = proxies
        self.reader = reader
        self.handle_request = handle_request
        self.handle_news = handle_news
        self.listening = listening
        self.news_at_work = 0
        self.heard_at = 0.0  # Unix time at which the subscription to news certainly stood
        self.began_at = 0.0
        self.dropped_at: float | None = None  # Unix time of the first news that was dropped here
        self.at_work: set[bytes] = set()  # entries whose requests are being handled

    async def on_start(self, context: Context) -> None:
        """Start reading the inbox and the channels."""
        self.began_at = time.time()
        context.start_soon(self._read_inbox, context, name="read")
        context.start_soon(self._listen, context, name="listen")

    # the inbox

    async def _read_inbox(self, context: Context) -> NoReturn:
        while True:
            await self.broker.wait_up()
            name = self.node.id  # changes when the lease has expired
            try:
                await self._open_inbox(name, context)
                while name == self.node.id:
                    entries = await self.broker.read_new(name, name, wait=True)
                    await self._accept_entries(name, entries, context)
                    await trio.sleep(BATCH_DELAY_S)
            except BrokerRefused as refused:  # the inbox was deleted
                log.warning("inbox.lost", extra={"reason": refused.reason})
            except BrokerUnavailable:
                pass
            else:
                self.bus.fail_all("this server was taken for dead")
                continue
            self.bus.set_inbox("")
            await trio.sleep(RETRY_S)

    async def _open_inbox(self, name: str, context: Context) -> None:
        """Create the inbox if there is none, and handle the entries that were read before but not acknowledged."""
        now, made = await self.broker.open_inbox(name)
        self.bus.set_clock(now)
        if made:  # a reply that came before it found no inbox
            self.bus.fail_all("replies to this server were lost")
        self.bus.set_inbox(name)
        start, entries = await self.broker.claim(name, name, "0-0", 0)
        await self._accept_entries(name, entries, context)
        while start != "0-0":
            start, entries = await self.broker.claim(name, name, start, 0)
            await self._accept_entries(name, entries, context)
        self.proxies.check_logs()  # entries of an earlier inbox may be lost

    async def _accept_entries(self, name: str, entries: Sequence[BusEntry], context: Context) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()  # a read may succeed while the actor stops
        done, now = [], self.bus.broker_time()
        for entry in entries:
            if entry.id in self.at_work:
                continue
            requests = unexpired(self._dispatch_packet(name, entry), entry, now)
            if requests:
                self.at_work.add(entry.id)
                context.start_soon(self._handle_requests, name, entry.id, requests, name="requests")
            else:
                done.append(entry.id)
        self._ack(name, done)

    def _ack(self, name: str, entries: Sequence[bytes]) -> None:
        """Mark entries as handled, here and at the broker."""
        self.reader.mark_done(inbox_name(name), entries)
        self.bus.ack(name, entries)

    def _dispatch_packet(self, name: str, entry: BusEntry) -> list[tuple[str, RpcRequest]]:
        """Dispatch the items of a packet. Return its requests, each with its sender."""
        read = self.reader.read(inbox_name(name), entry.data, entry.id)
        if read is None:
            return []
        packet, lacking = read
        if lacking:
            self.proxies.check_logs(packet.sender)
        self.bus.fail_unanswered(packet.refused)
        try:
            items, unknown = decode_items(packet)
        except UnreadablePacket as error:
            log.warning("inbox.not_understood", extra={"sender": packet.sender, "reason": str(error)})
            self.reader.count_dropped("unreadable")
            self.bus.report_unreadable(packet.sender, packet.asks)
            return []
        self.bus.report_unreadable(packet.sender, unknown)
        requests = []
        for item in items:
            if isinstance(item, RpcRequest):
                requests.append((packet.sender, item))
            else:
                self._dispatch(packet.sender, item)
        return requests

    def _dispatch(self, sender: str, item: Item) -> None:
        match item:
            case RpcReply():
                self.bus.accept_reply(item)
            case Events(thread=thread) | Ephemeral(thread=thread) | ForwardingEnded(thread=thread):
                if (proxy := self.proxies.find(thread, sender)) is not None:
                    proxy.try_tell(item)

    async def _handle_requests(self, name: str, entry: bytes, requests: list[tuple[str, RpcRequest]]) -> None:
        try:
            async with trio.open_nursery() as nursery:
                for sender, request in requests:
                    nursery.start_soon(self.handle_request, sender, request)
            self._ack(name, [entry])
        finally:
            self.at_work.discard(entry)

    # channels

    async def _listen(self, context: Context) -> NoReturn:
        while True:
            name = self.node.id
            with trio.CancelScope() as scope:
                context.start_soon(self._watch_name, name, scope)
                channels = [self.bus.ephemeral_channel(name), self.bus.news_channel]

                def take(channel: str, data: bytes) -> None:
                    self._on_channel_message(channel, data, context)

                await self.broker.listen(channels, take, partial(self._on_subscribed, context))

    def _on_subscribed(self, context: Context) -> None:
        if self.listening.is_set():  # a new subscription: news sent before it are lost
            self._handle(Missed(self.heard_at), context)
        elif time.time() - self.began_at > LATE_S:
            self._handle(Missed(self.began_at), context)
        self.heard_at = time.time()
        self.listening.set()
        self.proxies.check_logs()

    async def _watch_name(self, name: str, scope: trio.CancelScope) -> None:
        """Cancel `scope`, and with it the subscription, when the node has another id."""
        while name == self.node.id:  # noqa: ASYNC110 - an id has no event
            await trio.sleep(BLOCK_S)
        scope.cancel()

    def _on_channel_message(self, channel: str, data: bytes, context: Context) -> None:
        read = self.reader.read(channel, data)
        if read is None:
            return
        packet, _ = read  # gaps are not checked here: a loss on a channel shows in the numbers of the inbox
        try:
            if channel != self.bus.news_channel:
                for item in decode_items(packet)[0]:
                    self._dispatch(packet.sender, item)
                return
            news = decode_news(packet)
        except UnreadablePacket as error:
            log.debug("inbox.not_understood", extra={"reason": str(error)})
            return
        self.heard_at = time.time()
        if packet.sender == self.node.id:
            return
        if self.news_at_work < NEWS_AT_ONCE:
            self._handle(news, context)
        elif not isinstance(news, TypingIn):
            self.dropped_at = self.dropped_at or self.heard_at

    def _handle(self, news: News, context: Context) -> None:
        self.news_at_work += 1
        context.start_soon(self._on_news, news, context, name="heard")

    async def _on_news(self, news: News, context: Context) -> None:
        try:
            await self.handle_news(news)
        finally:
            self.news_at_work -= 1
        if self.dropped_at is not None:
            missed, self.dropped_at = Missed(self.dropped_at), None
            self._handle(missed, context)
