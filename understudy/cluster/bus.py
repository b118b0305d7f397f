"""What this node says to the others, and what it asked them.

1. Whatever waits goes out together: one entry in the stream of each node it is for, or one message where all of it is
   passing events, and what was read here is signed for in the same go.
2. Packets to a node are numbered. One that could not be sent leaves a hole, which the node sees at the next one, and
   there soon is a next one: so nothing is lost without anybody noticing.
3. Everything is encrypted, and bound to the stream or channel it is for (`understudy.storage.redis_cipher`). Numbers to
   a node only rise as long as this process lives, so that the node can tell what is said again by somebody else.
4. Nothing is sent twice. A request that may or may not have arrived fails, and whoever made it makes it again.
5. All that waits is bounded: what finds no room is not sent, as if Redis were away.
"""

import math
import time
import uuid
from collections.abc import Sequence
from typing import Final, NoReturn, TypeAlias

import trio
from attrs import define, field, frozen
from coredis.patterns.pipeline import Pipeline
from coredis.tokens import PureToken

from actors import Actor, ChildSpec, Context
from understudy.chat.placement import Moved, News, Node
from understudy.cluster import redis_stream
from understudy.cluster.codec import encode_news, encode_packet, reply_value
from understudy.cluster.messages import Accept, Command, Ephemeral, Events, Item, RpcReply, RpcRequest
from understudy.storage.errors import RedisUnavailable
from understudy.storage.redis import RedisLink
from understudy.storage.redis_cipher import Cipher

Value: TypeAlias = bool | int | str | None

QUEUE_BYTES: Final = 4 * 1024 * 1024
"""What may wait for one node, of each kind."""
PACKET_BYTES: Final = 256 * 1024
"""About how much goes into one packet."""
STREAM_MAXLEN: Final = 10_000
"""Packets in one stream, about: more wait there only of a node that is dead or held, and that is soon taken for it."""
PENDING_REQUESTS: Final = 10_000
"""Requests that wait for their answers."""
ACK_DELAY_S: Final = 0.05
"""How long what was read waits to be signed for, when nothing else is said."""
BATCH_DELAY_S: Final = 0.003
"""How long what comes next is gathered: what is said after a pause goes at once, a stream of it in fewer trips."""
EPHEMERAL_DELAY_S: Final = 0.03
"""The same of passing events, of which there are ten times as many: nobody sees text come smoother than this."""
SEND_TIMEOUT_S: Final = 2.0
RETRY_S: Final = 0.1
"""Before another try, where Redis is there and takes nothing."""
ITEM_BYTES: Final = 200


@define(eq=False)
class _PeerQueue:
    """What waits for one node. `number` is that of the last packet; `owing`: one is to be sent, though it be empty."""

    items: list[Item] = field(factory=list)
    unreadable: list[str] = field(factory=list)
    ephemeral: list[Ephemeral] = field(factory=list)
    items_bytes: int = 0
    ephemeral_bytes: int = 0
    number: int = 0
    dirty: bool = False

    def mark_lost(self) -> None:
        """Something for this node is lost: let it see that."""
        self.number += 1
        self.dirty = True


@define(eq=False)
class _PendingRequest:
    """A request that was sent to a node, and its outcome as soon as there is one."""

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
    """A packet for a node's stream; `asks` are the requests in it."""

    node: str
    data: bytes
    request_ids: list[str]


class MessageBus:
    """Sends, asks, and signs for what was read. It works as long as the actor of `carrier` lives."""

    def __init__(self, link: RedisLink, node: Node, cipher: Cipher) -> None:
        self._link = link
        self._node = node
        self._cipher = cipher
        self._queues: dict[str, _PeerQueue] = {}
        self._highest_number = 0  # of the numbers of packets that are in no box any more
        self._published = 0
        self._news: list[News] = []
        self._unacked: dict[str, list[bytes]] = {}  # entries to be signed for, by node
        self._pending: dict[str, _PendingRequest] = {}
        self._flush_at = math.inf  # when what waits is to go out, on trio's clock
        self._rescheduled = trio.Event()
        self._sent_at = -math.inf

    def sender_spec(self) -> ChildSpec:
        """The actor that takes the post to Redis."""
        return ChildSpec("bus", lambda: BusSender(self))

    # names in Redis

    def ephemeral_channel(self, node: str) -> str:
        """The channel on which a node is shown what may be."""
        return f"understudy:deltas:{node}:{self._link.database}"

    @property
    def news_channel(self) -> str:
        """The channel of what concerns all."""
        return f"understudy:news:{self._link.database}"

    # what is said

    def send(self, node: str, item: Item) -> bool:
        """Send something to a node; False when it cannot be: Redis is away, or too much waits."""
        box = self._queue_for(node)
        size = _size(item)
        if not self._link.up or box.items_bytes + size > QUEUE_BYTES:
            box.mark_lost()
            self._schedule_flush()
            return False
        box.items.append(item)
        box.items_bytes += size
        self._schedule_flush()
        return True

    def send_ephemeral(self, node: str, passing: Ephemeral) -> None:
        """Show passing events to a node, if that can be."""
        box = self._queue_for(node)
        size = _size(passing)
        if self._link.up and box.ephemeral_bytes + size <= QUEUE_BYTES:
            box.ephemeral.append(passing)
            box.ephemeral_bytes += size
            self._schedule_flush(self._sent_at + EPHEMERAL_DELAY_S)

    def broadcast(self, news: News) -> None:
        """Tell every node something, if that can be."""
        if self._link.up and len(self._news) < PENDING_REQUESTS:
            self._news.append(news)
            self._schedule_flush()

    def report_unreadable(self, node: str, ids: Sequence[str]) -> None:
        """Tell a node that these requests of its were not understood."""
        if ids and self._link.up:
            self._queue_for(node).unreadable += ids[:PENDING_REQUESTS]
            self._schedule_flush()

    def ack(self, node: str, entries: Sequence[bytes]) -> None:
        """These entries of a node's stream have been dealt with."""
        if entries:
            self._unacked.setdefault(node, []).extend(entries)
            self._schedule_flush(trio.current_time() + ACK_DELAY_S)

    # what is asked

    async def ask(self, node: str, owner: str, thread_id: str, command: Command, *, timeout_s: float) -> Value:
        """Have a node do something with a thread that it has; returns what it answers.

        Raises CommandRejected and MessageInOtherThread as the node does; Moved when it does not have the thread, or is
        gone; StorageUnavailable when it cannot now; RedisUnavailable when it could not be asked, or does not answer:
        then it may or may not have been done.
        """
        if not self._link.up:
            raise RedisUnavailable(self._link.last_error)
        if len(self._pending) >= PENDING_REQUESTS:
            raise RedisUnavailable("too many requests wait for other servers")
        request = RpcRequest(uuid.uuid4().hex, owner, thread_id, timeout_s, command)
        wait = self._pending[request.id] = _PendingRequest(node)
        try:
            if not self.send(node, request):
                raise RedisUnavailable("too much waits for another server")
            with trio.move_on_after(timeout_s):
                await wait.settled.wait()
            if wait.error is not None:
                raise wait.error
            if wait.answer is None:
                raise RedisUnavailable(f"another server did not answer within {timeout_s:g} s")
            return reply_value(wait.answer)
        finally:
            del self._pending[request.id]

    def accept_reply(self, answer: RpcReply) -> None:
        """An answer has come; one that nobody waits for is for nobody."""
        if (wait := self._pending.get(answer.id)) is not None:
            wait.settle(answer)

    def fail_unreadable(self, ids: Sequence[str]) -> None:
        """A node says that it could not read these requests: it is of another release."""
        self._fail(ids, RedisUnavailable("another server is of another release"))

    def fail_all(self) -> None:
        """This node has another name: nobody answers it under the old one."""
        self._fail(list(self._pending), RedisUnavailable("this server was taken for dead"))

    def drop_peer(self, node: str) -> None:
        """A node is gone: nobody there answers any more."""
        self._drop_queue(node)
        for wait in self._pending.values():
            if wait.node == node:
                wait.settle(error=Moved(f"node {node} is gone"))

    # how it goes out

    async def run(self) -> NoReturn:
        """Take to Redis what waits, again and again."""
        self._schedule_flush()  # what one that was killed left
        while True:
            while trio.current_time() < self._flush_at:
                self._rescheduled = trio.Event()
                with trio.move_on_at(self._flush_at):
                    await self._rescheduled.wait()
            self._flush_at = math.inf
            await self._link.wait_up()
            whole = await self._flush()
            self._sent_at = trio.current_time()
            await trio.sleep(BATCH_DELAY_S if whole else RETRY_S)

    def _queue_for(self, node: str) -> _PeerQueue:
        """Return what waits for a node; of a new one the numbers begin above all that any node was ever sent."""
        box = self._queues.get(node)
        if box is None:
            box = self._queues[node] = _PeerQueue(number=self._highest_number)
        return box

    def _drop_queue(self, node: str) -> None:
        """Throw away what waits for a node."""
        if (box := self._queues.pop(node, None)) is not None:
            self._highest_number = max(self._highest_number, box.number)

    def _schedule_flush(self, at: float = -math.inf) -> None:
        """What waits is to go out then, on trio's clock, or earlier."""
        if at < self._flush_at:
            self._flush_at = at
            self._rescheduled.set()

    def _fail(self, ids: Sequence[str], error: Exception) -> None:
        for each in ids:
            if (wait := self._pending.get(each)) is not None:
                wait.settle(error=error)

    async def _flush(self) -> bool:
        """Send all that waits; False when some of it could not be."""
        parcels, shown, news, read = self._drain_packets(), self._drain_ephemeral(), self._drain_news(), self._unacked
        self._news, self._unacked = [], {}

        def fill(pipe: Pipeline[bytes]) -> None:
            for parcel in parcels:
                # Without a stream of its own the node is gone, or makes another one and asks what it missed.
                pipe.xadd(
                    redis_stream.stream_name(parcel.node),
                    {redis_stream.FIELD: parcel.data},
                    nomkstream=True,
                    trim_strategy=PureToken.MAXLEN,
                    trim_operator=PureToken.APPROXIMATELY,
                    threshold=STREAM_MAXLEN,
                )
            for channel, data in [*shown, *news]:
                pipe.publish(channel, data)
            for node, entries in read.items():
                pipe.xack(redis_stream.stream_name(node), redis_stream.GROUP, entries)
                pipe.xdel(redis_stream.stream_name(node), entries)

        if not (parcels or shown or news or read):
            return True
        results: Sequence[object] = (RedisUnavailable("what takes requests to Redis was killed"),) * len(parcels)
        try:
            results = await self._link.batch(fill, timeout_s=SEND_TIMEOUT_S)
            read = {}
        except RedisUnavailable as error:
            results = (error,) * len(parcels)
        finally:  # also when this is killed: what may not have arrived is to be seen to lack
            for node, entries in read.items():
                self.ack(node, entries)
            whole = self._record_results(parcels, results)
        return whole

    def _record_results(self, parcels: Sequence[_SealedPacket], results: Sequence[object]) -> bool:
        """Take note of what became of the parcels; whether all were sent."""
        whole = True
        for parcel, result in zip(parcels, results, strict=False):
            if result is None:
                self._drop_queue(parcel.node)
                self._fail(parcel.request_ids, RedisUnavailable("that server is gone, or has lost its post"))
            elif isinstance(result, RedisUnavailable):
                whole = False
                self._queue_for(parcel.node).mark_lost()
                self._fail(parcel.request_ids, result)
        if not whole:
            self._schedule_flush()
        return whole

    def _drain_packets(self) -> list[_SealedPacket]:
        """What is to go into the nodes' streams, in order.

        Passing events go along where anything goes to their node: text is to be seen before the answer that ends it.
        """
        parcels = []
        for node, box in self._queues.items():
            items, refused, owing = box.items, box.unreadable, box.dirty
            if items:
                items = [*box.ephemeral, *items]
                box.ephemeral, box.ephemeral_bytes = [], 0
            box.items, box.unreadable, box.items_bytes, box.dirty = [], [], 0, False
            for portion in _portions(items) or ([[]] if refused or owing else []):
                box.number += 1
                data = encode_packet(self._node.id, box.number, portion, refused, made_at=time.time())
                sealed = self._cipher.encrypt(data, redis_stream.stream_name(node))
                parcels.append(
                    _SealedPacket(node, sealed, [each.id for each in portion if isinstance(each, RpcRequest)])
                )
                refused = []
        return parcels

    def _drain_ephemeral(self) -> list[tuple[str, bytes]]:
        """What is to be published for the nodes, in order, with the channels."""
        shown = []
        for node, box in self._queues.items():
            passing, box.ephemeral, box.ephemeral_bytes = box.ephemeral, [], 0
            for portion in _portions(passing):
                self._published += 1
                data = encode_packet(self._node.id, self._published, portion, made_at=time.time())
                shown.append(self._encrypt_for(self.ephemeral_channel(node), data))
        return shown

    def _drain_news(self) -> list[tuple[str, bytes]]:
        """The news that are to be published, with their channel."""
        told = []
        for news in self._news:
            self._published += 1
            data = encode_news(self._node.id, self._published, news, made_at=time.time())
            told.append(self._encrypt_for(self.news_channel, data))
        return told

    def _encrypt_for(self, channel: str, data: bytes) -> tuple[str, bytes]:
        return channel, self._cipher.encrypt(data, channel)


class BusSender(Actor):
    """Takes the post to Redis, in a task of its own."""

    def __init__(self, post: MessageBus) -> None:
        self.bus = post

    async def on_start(self, context: Context) -> None:
        """Begin."""
        context.start_soon(self.bus.run, name="run")


def _size(item: Item) -> int:
    """About how many bytes an item has."""
    if isinstance(item, Events):
        return ITEM_BYTES + sum(map(len, item.bodies))
    if isinstance(item, Ephemeral):
        return ITEM_BYTES + sum(len(each if isinstance(each, bytes) else each.text) for each in item.bodies)
    if isinstance(item, RpcRequest) and isinstance(item.command, Accept):
        return ITEM_BYTES + 2 * len(item.command.clean.text)
    return ITEM_BYTES


def _portions(items: Sequence[Item]) -> list[list[Item]]:
    """The items in portions of about PACKET_BYTES."""
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
