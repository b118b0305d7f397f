"""The outgoing side of messaging between nodes: batches packets for the broker and matches replies to requests.

1. Queued items are sent in batches: one inbox entry per target node, or one publish if only ephemeral events are
   queued. Acknowledgements of entries read here go out in the same round trip.
2. Packets to a node are numbered. A packet that could not be sent leaves a gap; the node sees it at the next packet,
   which is sent soon even if it is empty, and names the requests whose replies were lost. So no loss goes unnoticed.
3. Packets are encrypted and bound to their inbox or channel (`redis_cipher`). Numbers to a node only rise while this
   process lives, so the node can detect replays.
4. Packets are never sent twice. A request that may or may not have arrived fails, and its caller may retry it.
5. A request is sent only while this node has an inbox under its present id: its reply would be lost otherwise.
6. Every queue is bounded: an item that does not fit is not sent, as if the broker were down.
"""

import math
import time
import uuid
from collections.abc import Sequence
from typing import Final, NoReturn, TypeAlias

import trio
from attrs import define, field, frozen

from actors import Actor, ChildSpec, Context
from understudy.chat.placement import Missed, Moved, News, Node, TypingIn
from understudy.extensions.nodes.broker import inbox_name
from understudy.extensions.nodes.codec import encode_news, encode_packet, reply_value
from understudy.extensions.nodes.messages import Command, Ephemeral, Events, Item, RpcReply, RpcRequest
from understudy.extensions.nodes.redis_broker import RedisBroker
from understudy.extensions.nodes.redis_cipher import Cipher
from understudy.storage.errors import BrokerUnavailable

Value: TypeAlias = bool | int | str | None

QUEUE_BYTES: Final = 4 * 1024 * 1024
"""Queue limit per node, for durable and for ephemeral items each; items beyond are dropped."""
PACKET_BYTES: Final = 256 * 1024
"""Approximate size at which a batch is split into packets."""
PENDING_REQUESTS: Final = 10_000
"""Limit of requests waiting for a reply, and of queued news: more requests fail, more news are dropped."""
ACK_DELAY_S: Final = 0.05
"""Longest delay of an acknowledgement if nothing else is sent."""
BATCH_DELAY_S: Final = 0.003
"""Pause after a batch: the first item after idle time is sent at once, a burst in fewer round trips."""
EPHEMERAL_DELAY_S: Final = 0.03
"""Batching delay for ephemeral events (streamed text). 30 ms is below what readers perceive, and cuts round trips
about tenfold."""
SEND_TIMEOUT_S: Final = 2.0
RETRY_S: Final = 0.1
"""Pause before the next batch after the broker refused one."""
ITEM_BYTES: Final = 200


@define(eq=False)
class _PeerQueue:
    """The items queued for one node. `number`: of the last packet. `dirty`: send a packet even if it is empty.

    `unanswered` are its requests that get no reply: they could not be decoded, or their reply was lost.
    """

    items: list[Item] = field(factory=list)
    unanswered: list[str] = field(factory=list)
    ephemeral: list[Ephemeral] = field(factory=list)
    items_bytes: int = 0
    ephemeral_bytes: int = 0
    number: int = 0
    dirty: bool = False

    def mark_lost(self, unanswered: Sequence[str]) -> None:
        """Leave a gap in the numbers, so that the node notices a lost item; these of its requests got no reply."""
        self.number += 1
        self.dirty = True
        self.unanswered += unanswered[: PENDING_REQUESTS - len(self.unanswered)]


@define(eq=False)
class _PendingRequest:
    """A request sent to a node; `settled` is set with its reply or error."""

    node: str
    settled: trio.Event = field(factory=trio.Event)
    answer: RpcReply | None = None
    error: Exception | None = None

    def settle(self, answer: RpcReply | None = None, error: Exception | None = None) -> None:
        if not self.settled.is_set():
            self.answer, self.error = answer, error
            self.settled.set()


@frozen
class _SealedPacket:
    """An encrypted packet for a node's inbox; `request_ids` are the requests in it, `answered` those it settles."""

    node: str
    data: bytes
    request_ids: list[str]
    answered: list[str]


class MessageBus:
    """Queues items for other nodes and matches their replies. The actor of `sender_spec` sends the queues."""

    def __init__(self, broker: RedisBroker, node: Node, cipher: Cipher) -> None:
        self._broker = broker
        self._node = node
        self._cipher = cipher
        self._queues: dict[str, _PeerQueue] = {}
        self._highest_number = 0  # of the packet numbers of dropped queues
        self._published = 0
        self._news: list[News] = []
        self._missed_since: float | None = None  # Unix time of the first news that was dropped
        self._unacked: dict[str, list[bytes]] = {}  # entries to acknowledge, by node
        self._pending: dict[str, _PendingRequest] = {}
        self._inbox = ""  # the id under which this node has an inbox
        self._inbox_changed = trio.Event()
        self._clock_offset_s: float | None = None  # the broker's clock minus trio's
        self._flush_at = math.inf  # time of the next batch, on trio's clock
        self._rescheduled = trio.Event()
        self._sent_at = -math.inf

    def sender_spec(self) -> ChildSpec:
        """Return the child that sends the queues to the broker."""
        return ChildSpec("bus", lambda: BusSender(self))

    # names at the broker

    def ephemeral_channel(self, node: str) -> str:
        """Return the pub/sub channel for ephemeral events to a node."""
        return f"understudy:deltas:{node}:{self._broker.database}"

    @property
    def news_channel(self) -> str:
        """The pub/sub channel for news to all nodes."""
        return f"understudy:news:{self._broker.database}"

    # sending

    def send(self, node: str, item: Item) -> bool:
        """Queue an item for a node. Return False if the broker is down or the queue is full."""
        queue = self._queue_for(node)
        size = _size(item)
        if not self._broker.up or queue.items_bytes + size > QUEUE_BYTES:
            queue.mark_lost([item.id] if isinstance(item, RpcReply) else [])
            self._schedule_flush()
            return False
        queue.items.append(item)
        queue.items_bytes += size
        self._schedule_flush()
        return True

    def send_ephemeral(self, node: str, events: Ephemeral) -> None:
        """Queue ephemeral events for a node; dropped if the broker is down or the queue is full."""
        queue = self._queue_for(node)
        size = _size(events)
        if self._broker.up and queue.ephemeral_bytes + size <= QUEUE_BYTES:
            queue.ephemeral.append(events)
            queue.ephemeral_bytes += size
            self._schedule_flush(self._sent_at + EPHEMERAL_DELAY_S)

    def broadcast(self, news: News) -> None:
        """Queue news for all nodes. If the broker is down or too many are queued, they are told later that they have
        missed some."""
        if self._broker.up and len(self._news) < PENDING_REQUESTS:
            self._news.append(news)
        elif isinstance(news, TypingIn):
            return
        else:
            self._mark_news_missed()
        self._schedule_flush()

    def report_unreadable(self, node: str, ids: Sequence[str]) -> None:
        """Tell a node that these of its requests could not be decoded."""
        if ids and self._broker.up:
            self._queue_for(node).unanswered += ids[:PENDING_REQUESTS]
            self._schedule_flush()

    def ack(self, node: str, entries: Sequence[bytes]) -> None:
        """Queue the acknowledgement of entries of a node's inbox that have been handled."""
        if entries:
            self._unacked.setdefault(node, []).extend(entries)
            self._schedule_flush(trio.current_time() + ACK_DELAY_S)

    # requests

    async def ask(
        self, node: str, owner: str, thread_id: str, command: Command, *, timeout_s: float, traceparent: str = ""
    ) -> Value:
        """Send a command to the node that owns a thread and return its reply. `traceparent` names the span of this.

        Raises CommandRejected and MessageInOtherThread as the node does; Moved if the node does not own the thread or
        is down; StorageUnavailable if its storage is down; BrokerUnavailable if the request was not sent, or not
        answered in time: the command may or may not have been executed. Waits first, also within `timeout_s`, until
        this node has an inbox.
        """
        deadline = trio.current_time() + timeout_s
        if self._broker.up and self._inbox != self._node.id:
            await self._wait_for_inbox(deadline)
        if not self._broker.up:
            raise BrokerUnavailable(self._broker.last_error)
        if self._inbox != self._node.id:
            raise BrokerUnavailable("this server has no inbox")
        if len(self._pending) >= PENDING_REQUESTS:
            raise BrokerUnavailable("too many requests wait for other servers")
        now, asked_at = trio.current_time(), self.broker_time()
        request = RpcRequest(uuid.uuid4().hex, owner, thread_id, deadline - now, command, traceparent, asked_at)
        wait = self._pending[request.id] = _PendingRequest(node)
        try:
            if not self.send(node, request):
                raise BrokerUnavailable("too much waits for another server")
            with trio.move_on_at(deadline):
                await wait.settled.wait()
            if wait.error is not None:
                raise wait.error
            if wait.answer is None:
                raise BrokerUnavailable(f"another server did not answer within {timeout_s:g} s")
            return reply_value(wait.answer)
        finally:
            del self._pending[request.id]

    def set_clock(self, now: float) -> None:
        """Take note of the time by the broker's clock, in Unix seconds."""
        self._clock_offset_s = now - trio.current_time()

    def broker_time(self) -> float:
        """Return the time by the broker's clock, in Unix seconds; 0 before it was noted."""
        return 0.0 if self._clock_offset_s is None else trio.current_time() + self._clock_offset_s

    def set_inbox(self, name: str) -> None:
        """Send requests from now on while this node's id is `name`: there is an inbox for their replies; "": none."""
        changed, self._inbox, self._inbox_changed = self._inbox_changed, name, trio.Event()
        changed.set()

    async def _wait_for_inbox(self, deadline: float) -> None:
        """Wait until this node has an inbox under its present id, or the broker is down."""
        with trio.move_on_at(deadline):
            while self._broker.up and self._inbox != self._node.id:
                await self._inbox_changed.wait()

    def accept_reply(self, answer: RpcReply) -> None:
        """Settle the request that a reply belongs to; ignore a reply that came too late."""
        if (wait := self._pending.get(answer.id)) is not None:
            wait.settle(answer)

    def fail_unanswered(self, ids: Sequence[str]) -> None:
        """Fail requests that their node could not decode, as it runs another release, or whose replies it lost."""
        self._fail(ids, BrokerUnavailable("another server is of another release, or its reply was lost"))

    def fail_all(self, reason: str) -> None:
        """Fail all pending requests: this node has a new id or inbox, and replies to the old one are lost."""
        self._fail(list(self._pending), BrokerUnavailable(reason))

    def drop_peer(self, node: str) -> None:
        """Drop the queue of a node that is down, and fail its pending requests with Moved."""
        self._drop_queue(node)
        for wait in self._pending.values():
            if wait.node == node:
                wait.settle(error=Moved(f"node {node} is gone"))

    # the sending loop

    async def run(self) -> NoReturn:
        """Send the queues to the broker, batch by batch, while they are filled."""
        self._schedule_flush()  # the items that a killed sender left
        while True:
            while trio.current_time() < self._flush_at:
                self._rescheduled = trio.Event()
                with trio.move_on_at(self._flush_at):
                    await self._rescheduled.wait()
            self._flush_at = math.inf
            await self._broker.wait_up()
            all_sent = await self._flush()
            self._sent_at = trio.current_time()
            await trio.sleep(BATCH_DELAY_S if all_sent else RETRY_S)

    def _queue_for(self, node: str) -> _PeerQueue:
        """Return the queue of a node. The numbers of a new one start above all numbers that any node was sent."""
        queue = self._queues.get(node)
        if queue is None:
            queue = self._queues[node] = _PeerQueue(number=self._highest_number)
        return queue

    def _drop_queue(self, node: str) -> None:
        """Drop the queue of a node."""
        if (queue := self._queues.pop(node, None)) is not None:
            self._highest_number = max(self._highest_number, queue.number)

    def _schedule_flush(self, at: float = -math.inf) -> None:
        """Have the next batch sent at this time on trio's clock, or earlier."""
        if at < self._flush_at:
            self._flush_at = at
            self._rescheduled.set()

    def _fail(self, ids: Sequence[str], error: Exception) -> None:
        for each in ids:
            if (wait := self._pending.get(each)) is not None:
                wait.settle(error=error)

    def _mark_news_missed(self, since: float | None = None) -> None:
        """Have the nodes told that they may have missed news since then, by default since now."""
        self._missed_since = since or self._missed_since or time.time()
        self._schedule_flush()

    async def _flush(self) -> bool:
        """Send all queued items. Return False if some could not be sent."""
        with_news = bool(self._news) or self._missed_since is not None
        packets, published, read = self._drain_packets(), self._drain_published(), self._unacked
        self._unacked = {}

        if not (packets or published or read):
            return True
        missed, self._missed_since = self._missed_since, None
        arrived = False
        results: Sequence[object] = (BrokerUnavailable("the sender of requests was killed"),) * len(packets)
        try:
            sealed = [(each.node, each.data) for each in packets]
            results = await self._broker.send(sealed, published, read, timeout_s=SEND_TIMEOUT_S)
            read, arrived = {}, True
        except BrokerUnavailable as error:
            results = (error,) * len(packets)
        finally:  # also if this is killed: packets that may not have arrived must leave a gap
            for node, entries in read.items():
                self.ack(node, entries)
            if with_news and not arrived:
                self._mark_news_missed(missed)
            all_sent = self._record_results(packets, results)
        return all_sent

    def _record_results(self, packets: Sequence[_SealedPacket], results: Sequence[object]) -> bool:
        """Fail the requests of packets that were not sent. Return True if all packets were sent."""
        all_sent = True
        for packet, result in zip(packets, results, strict=False):
            if result is None:
                queue = self._queues.get(packet.node)
                if queue is not None and not queue.items:  # what was queued since may find an inbox
                    self._drop_queue(packet.node)
                self._fail(packet.request_ids, BrokerUnavailable("that server is gone, or has lost its post"))
            elif isinstance(result, BrokerUnavailable):
                all_sent = False
                self._queue_for(packet.node).mark_lost(packet.answered)
                self._fail(packet.request_ids, result)
        if not all_sent:
            self._schedule_flush()
        return all_sent

    def _drain_packets(self) -> list[_SealedPacket]:
        """Empty the queues into packets for the nodes' inboxes, in order.

        If a node gets durable items, its ephemeral events go first in the same packet: streamed text must arrive before
        the answer that ends it.
        """
        packets = []
        for node, queue in self._queues.items():
            items, refused, dirty = queue.items, queue.unanswered, queue.dirty
            if items:
                items = [*queue.ephemeral, *items]
                queue.ephemeral, queue.ephemeral_bytes = [], 0
            queue.items, queue.unanswered, queue.items_bytes, queue.dirty = [], [], 0, False
            for portion in _portions(items) or ([[]] if refused or dirty else []):
                queue.number += 1
                data = encode_packet(self._node.id, queue.number, portion, refused, made_at=time.time())
                sealed = self._cipher.encrypt(data, inbox_name(node))
                asks = [each.id for each in portion if isinstance(each, RpcRequest)]
                answered = refused + [each.id for each in portion if isinstance(each, RpcReply)]
                packets.append(_SealedPacket(node, sealed, asks, answered))
                refused = []
        return packets

    def _drain_published(self) -> list[tuple[str, bytes]]:
        """Empty the queues of ephemeral events and news into (channel, encrypted packet) pairs, in order."""
        found: list[tuple[str, bytes]] = []
        for node, queue in self._queues.items():
            events, queue.ephemeral, queue.ephemeral_bytes = queue.ephemeral, [], 0
            for portion in _portions(events):
                self._published += 1
                data = encode_packet(self._node.id, self._published, portion, made_at=time.time())
                found.append((self.ephemeral_channel(node), data))
        if self._missed_since is not None:
            self._news.append(Missed(self._missed_since))
        for news in self._news:
            self._published += 1
            data = encode_news(self._node.id, self._published, news, made_at=time.time())
            found.append((self.news_channel, data))
        self._news = []
        return [(channel, self._cipher.encrypt(data, channel)) for channel, data in found]


class BusSender(Actor):
    """Runs the sending loop of a bus in a task of its own."""

    def __init__(self, bus: MessageBus) -> None:
        self.bus = bus

    async def on_start(self, context: Context) -> None:
        """Start the sending loop."""
        context.start_soon(self.bus.run, name="run")


def _size(item: Item) -> int:
    """Estimate the encoded size of an item in bytes."""
    if isinstance(item, Events):
        return ITEM_BYTES + sum(map(len, item.bodies))
    if isinstance(item, Ephemeral):
        return ITEM_BYTES + sum(len(each if isinstance(each, bytes) else each.text) for each in item.bodies)
    if isinstance(item, RpcRequest) and (filtered := getattr(item.command, "filtered", None)) is not None:
        return ITEM_BYTES + 2 * len(filtered.text)  # an Accept, with the text of a message
    return ITEM_BYTES


def _portions(items: Sequence[Item]) -> list[list[Item]]:
    """Split items into portions of about PACKET_BYTES."""
    portions: list[list[Item]] = []
    room = 0
    for item in items:
        size = _size(item)
        if not portions or size > room:
            portions.append([])
            room = PACKET_BYTES
        portions[-1].append(item)
        room -= size
    return portions
