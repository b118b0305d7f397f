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
from understudy.cluster.codec import news_bytes, packed, value_of
from understudy.cluster.messages import Accept, Answer, Command, Events, Item, Passing, Request
from understudy.storage.errors import RedisUnavailable
from understudy.storage.redis import RedisLink
from understudy.storage.redis_cipher import Cipher

Value: TypeAlias = bool | int | str | None

ROOM_BYTES: Final = 4 * 1024 * 1024
"""What may wait for one node, of each kind."""
PACKET_BYTES: Final = 256 * 1024
"""About how much goes into one packet."""
STREAM_MOST: Final = 10_000
"""Packets in one stream, about: more wait there only of a node that is dead or held, and that is soon taken for it."""
ASKS: Final = 10_000
"""Requests that wait for their answers."""
SIGN_S: Final = 0.05
"""How long what was read waits to be signed for, when nothing else is said."""
GATHER_S: Final = 0.003
"""How long what comes next is gathered: what is said after a pause goes at once, a stream of it in fewer trips."""
SHOW_S: Final = 0.03
"""The same of passing events, of which there are ten times as many: nobody sees text come smoother than this."""
SEND_S: Final = 2.0
AGAIN_S: Final = 0.1
"""Before another try, where Redis is there and takes nothing."""
SMALL_BYTES: Final = 200


@define(eq=False)
class _Box:
    """What waits for one node. `number` is that of the last packet; `owing`: one is to be sent, though it be empty."""

    items: list[Item] = field(factory=list)
    refused: list[str] = field(factory=list)
    passing: list[Passing] = field(factory=list)
    items_bytes: int = 0
    passing_bytes: int = 0
    number: int = 0
    owing: bool = False

    def skip(self) -> None:
        """Something for this node is lost: let it see that."""
        self.number += 1
        self.owing = True


@define(eq=False)
class _Wait:
    """A request that was sent to a node, and its outcome as soon as there is one."""

    node: str
    ended: trio.Event = field(factory=trio.Event)
    answer: Answer | None = None
    error: Exception | None = None

    def end(self, answer: Answer | None = None, error: Exception | None = None) -> None:
        if not self.ended.is_set():
            self.answer, self.error = answer, error
            self.ended.set()


@frozen
class _Parcel:
    """A packet for a node's stream; `asks` are the requests in it."""

    node: str
    data: bytes
    asks: list[str]


class Post:
    """Sends, asks, and signs for what was read. It works as long as the actor of `carrier` lives."""

    def __init__(self, link: RedisLink, node: Node, cipher: Cipher) -> None:
        self._link = link
        self._node = node
        self._cipher = cipher
        self._boxes: dict[str, _Box] = {}
        self._highest = 0  # of the numbers of packets that are in no box any more
        self._published = 0
        self._news: list[News] = []
        self._read: dict[str, list[bytes]] = {}  # entries to be signed for, by node
        self._asks: dict[str, _Wait] = {}
        self._due = math.inf  # when what waits is to go out, on trio's clock
        self._sooner = trio.Event()
        self._sent_at = -math.inf

    def carrier(self) -> ChildSpec:
        """The actor that takes the post to Redis."""
        return ChildSpec("post", lambda: Carrier(self))

    # names in Redis

    def channel_of(self, node: str) -> str:
        """The channel on which a node is shown what may be."""
        return f"understudy:deltas:{node}:{self._link.database}"

    @property
    def news_channel(self) -> str:
        """The channel of what concerns all."""
        return f"understudy:news:{self._link.database}"

    # what is said

    def send(self, node: str, item: Item) -> bool:
        """Send something to a node; False when it cannot be: Redis is away, or too much waits."""
        box = self._box(node)
        size = _size(item)
        if not self._link.up or box.items_bytes + size > ROOM_BYTES:
            box.skip()
            self._wake()
            return False
        box.items.append(item)
        box.items_bytes += size
        self._wake()
        return True

    def show(self, node: str, passing: Passing) -> None:
        """Show passing events to a node, if that can be."""
        box = self._box(node)
        size = _size(passing)
        if self._link.up and box.passing_bytes + size <= ROOM_BYTES:
            box.passing.append(passing)
            box.passing_bytes += size
            self._wake(self._sent_at + SHOW_S)

    def tell_all(self, news: News) -> None:
        """Tell every node something, if that can be."""
        if self._link.up and len(self._news) < ASKS:
            self._news.append(news)
            self._wake()

    def refuse(self, node: str, ids: Sequence[str]) -> None:
        """Tell a node that these requests of its were not understood."""
        if ids and self._link.up:
            self._box(node).refused += ids[:ASKS]
            self._wake()

    def sign(self, node: str, entries: Sequence[bytes]) -> None:
        """These entries of a node's stream have been dealt with."""
        if entries:
            self._read.setdefault(node, []).extend(entries)
            self._wake(trio.current_time() + SIGN_S)

    # what is asked

    async def ask(self, node: str, owner: str, thread_id: str, command: Command, *, timeout_s: float) -> Value:
        """Have a node do something with a thread that it has; returns what it answers.

        Raises CommandRejected and SaidElsewhere as the node does; Moved when it does not have the thread, or is gone;
        StorageUnavailable when it cannot now; RedisUnavailable when it could not be asked, or does not answer: then
        it may or may not have been done.
        """
        if not self._link.up:
            raise RedisUnavailable(self._link.last_error)
        if len(self._asks) >= ASKS:
            raise RedisUnavailable("too many requests wait for other servers")
        request = Request(uuid.uuid4().hex, owner, thread_id, timeout_s, command)
        wait = self._asks[request.id] = _Wait(node)
        try:
            if not self.send(node, request):
                raise RedisUnavailable("too much waits for another server")
            with trio.move_on_after(timeout_s):
                await wait.ended.wait()
            if wait.error is not None:
                raise wait.error
            if wait.answer is None:
                raise RedisUnavailable(f"another server did not answer within {timeout_s:g} s")
            return value_of(wait.answer)
        finally:
            del self._asks[request.id]

    def take(self, answer: Answer) -> None:
        """An answer has come; one that nobody waits for is for nobody."""
        if (wait := self._asks.get(answer.id)) is not None:
            wait.end(answer)

    def not_understood(self, ids: Sequence[str]) -> None:
        """A node says that it could not read these requests: it is of another release."""
        self._fail(ids, RedisUnavailable("another server is of another release"))

    def renamed(self) -> None:
        """This node has another name: nobody answers it under the old one."""
        self._fail(list(self._asks), RedisUnavailable("this server was taken for dead"))

    def lose(self, node: str) -> None:
        """A node is gone: nobody there answers any more."""
        self._unbox(node)
        for wait in self._asks.values():
            if wait.node == node:
                wait.end(error=Moved(f"node {node} is gone"))

    # how it goes out

    async def run(self) -> NoReturn:
        """Take to Redis what waits, again and again."""
        self._wake()  # what one that was killed left
        while True:
            while trio.current_time() < self._due:
                self._sooner = trio.Event()
                with trio.move_on_at(self._due):
                    await self._sooner.wait()
            self._due = math.inf
            await self._link.wait_up()
            whole = await self._flush()
            self._sent_at = trio.current_time()
            await trio.sleep(GATHER_S if whole else AGAIN_S)

    def _box(self, node: str) -> _Box:
        """Return what waits for a node; of a new one the numbers begin above all that any node was ever sent."""
        box = self._boxes.get(node)
        if box is None:
            box = self._boxes[node] = _Box(number=self._highest)
        return box

    def _unbox(self, node: str) -> None:
        """Throw away what waits for a node."""
        if (box := self._boxes.pop(node, None)) is not None:
            self._highest = max(self._highest, box.number)

    def _wake(self, at: float = -math.inf) -> None:
        """What waits is to go out then, on trio's clock, or earlier."""
        if at < self._due:
            self._due = at
            self._sooner.set()

    def _fail(self, ids: Sequence[str], error: Exception) -> None:
        for each in ids:
            if (wait := self._asks.get(each)) is not None:
                wait.end(error=error)

    async def _flush(self) -> bool:
        """Send all that waits; False when some of it could not be."""
        parcels, shown, news, read = self._parcels(), self._shown(), self._told(), self._read
        self._news, self._read = [], {}

        def fill(pipe: Pipeline[bytes]) -> None:
            for parcel in parcels:
                # Without a stream of its own the node is gone, or makes another one and asks what it missed.
                pipe.xadd(
                    redis_stream.name_of(parcel.node),
                    {redis_stream.FIELD: parcel.data},
                    nomkstream=True,
                    trim_strategy=PureToken.MAXLEN,
                    trim_operator=PureToken.APPROXIMATELY,
                    threshold=STREAM_MOST,
                )
            for channel, data in [*shown, *news]:
                pipe.publish(channel, data)
            for node, entries in read.items():
                pipe.xack(redis_stream.name_of(node), redis_stream.GROUP, entries)
                pipe.xdel(redis_stream.name_of(node), entries)

        if not (parcels or shown or news or read):
            return True
        results: Sequence[object] = (RedisUnavailable("what takes requests to Redis was killed"),) * len(parcels)
        try:
            results = await self._link.batch(fill, timeout_s=SEND_S)
            read = {}
        except RedisUnavailable as error:
            results = (error,) * len(parcels)
        finally:  # also when this is killed: what may not have arrived is to be seen to lack
            for node, entries in read.items():
                self.sign(node, entries)
            whole = self._settle(parcels, results)
        return whole

    def _settle(self, parcels: Sequence[_Parcel], results: Sequence[object]) -> bool:
        """Take note of what became of the parcels; whether all were sent."""
        whole = True
        for parcel, result in zip(parcels, results, strict=False):
            if result is None:
                self._unbox(parcel.node)
                self._fail(parcel.asks, RedisUnavailable("that server is gone, or has lost its post"))
            elif isinstance(result, RedisUnavailable):
                whole = False
                self._box(parcel.node).skip()
                self._fail(parcel.asks, result)
        if not whole:
            self._wake()
        return whole

    def _parcels(self) -> list[_Parcel]:
        """What is to go into the nodes' streams, in order.

        Passing events go along where anything goes to their node: text is to be seen before the answer that ends it.
        """
        parcels = []
        for node, box in self._boxes.items():
            items, refused, owing = box.items, box.refused, box.owing
            if items:
                items = [*box.passing, *items]
                box.passing, box.passing_bytes = [], 0
            box.items, box.refused, box.items_bytes, box.owing = [], [], 0, False
            for portion in _portions(items) or ([[]] if refused or owing else []):
                box.number += 1
                data = packed(self._node.id, box.number, portion, refused, made_at=time.time())
                sealed = self._cipher.encrypt(data, redis_stream.name_of(node))
                parcels.append(_Parcel(node, sealed, [each.id for each in portion if isinstance(each, Request)]))
                refused = []
        return parcels

    def _shown(self) -> list[tuple[str, bytes]]:
        """What is to be published for the nodes, in order, with the channels."""
        shown = []
        for node, box in self._boxes.items():
            passing, box.passing, box.passing_bytes = box.passing, [], 0
            for portion in _portions(passing):
                self._published += 1
                data = packed(self._node.id, self._published, portion, made_at=time.time())
                shown.append(self._for_channel(self.channel_of(node), data))
        return shown

    def _told(self) -> list[tuple[str, bytes]]:
        """The news that are to be published, with their channel."""
        told = []
        for news in self._news:
            self._published += 1
            data = news_bytes(self._node.id, self._published, news, made_at=time.time())
            told.append(self._for_channel(self.news_channel, data))
        return told

    def _for_channel(self, channel: str, data: bytes) -> tuple[str, bytes]:
        return channel, self._cipher.encrypt(data, channel)


class Carrier(Actor):
    """Takes the post to Redis, in a task of its own."""

    def __init__(self, post: Post) -> None:
        self.post = post

    async def on_start(self, context: Context) -> None:
        """Begin."""
        context.start_soon(self.post.run, name="run")


def _size(item: Item) -> int:
    """About how many bytes an item has."""
    if isinstance(item, Events):
        return SMALL_BYTES + sum(map(len, item.bodies))
    if isinstance(item, Passing):
        return SMALL_BYTES + sum(len(each if isinstance(each, bytes) else each.text) for each in item.bodies)
    if isinstance(item, Request) and isinstance(item.command, Accept):
        return SMALL_BYTES + 2 * len(item.command.clean.text)
    return SMALL_BYTES


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
