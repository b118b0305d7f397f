"""The inbox actor: reads what other nodes send to this one, and hands each thing to whom it is for.

1. What must not be lost comes through a stream: it is signed for when it is dealt with, so that whoever takes over the
   work of a node that died finds what was not. What may be lost, and news, come through channels.
2. Nothing waits here: requests have tasks of their own, the rest is told.
3. A packet that lacks is seen by its number; after it, as after whatever made the stream or the subscription begin
   anew, the relays look for what they missed.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, NoReturn

import trio

from actors import Actor, Context
from understudy.chat.placement import News, Node
from understudy.cluster import redis_stream
from understudy.cluster.bus import Post
from understudy.cluster.codec import Unreadable, items_of, news_of
from understudy.cluster.messages import Answer, Ended, Events, Item, Passing, Request
from understudy.cluster.packet_reader import Receiver
from understudy.cluster.proxies import Relays
from understudy.storage.errors import RedisRefused, RedisUnavailable
from understudy.storage.redis import RedisLink

log = logging.getLogger(__name__)

Serve = Callable[[str, Request], Awaitable[None]]
Hear = Callable[[News | None], Awaitable[None]]
"""Sees to news; None: some may have been missed."""

GATHER_S: Final = 0.001
"""Before the next read: under load one brings what several would."""
AGAIN_S: Final = 0.05
"""Before another try, where Redis answers and has no stream."""
HEARD: Final = 256
"""News that are seen to at a time; more are not heard, as if they had been lost."""


def in_time(
    requests: Sequence[tuple[str, Request]], entry: redis_stream.Entry, now: float
) -> list[tuple[str, Request]]:
    """Those of an entry that somebody still waits for; `now` is the time of Redis."""
    return [each for each in requests if now < entry.made_at + each[1].within_s]


class Inbox(Actor):
    """Reads for `node`. `serve` carries out a request, `hear` sees to news; `listening` is set when it hears some."""

    def __init__(
        self,
        link: RedisLink,
        node: Node,
        post: Post,
        relays: Relays,
        receiver: Receiver,
        serve: Serve,
        hear: Hear,
        listening: trio.Event,
    ) -> None:
        self.link = link
        self.node = node
        self.post = post
        self.relays = relays
        self.receiver = receiver
        self.serve = serve
        self.hear = hear
        self.listening = listening
        self.hearing = 0
        self.at_work: set[bytes] = set()  # entries whose requests are being carried out
        self.ahead_s = 0.0  # how far the clock of Redis, which numbers entries, is before trio's

    async def on_start(self, context: Context) -> None:
        """Begin to read."""
        context.start_soon(self._read, context, name="read")
        context.start_soon(self._listen, context, name="listen")

    # the stream

    async def _read(self, context: Context) -> NoReturn:
        while True:
            await self.link.wait_up()
            name = self.node.id  # another one, when it was taken for dead
            try:
                await self._open(name, context)
                while name == self.node.id:
                    self._take(name, await redis_stream.read(self.link, name, name, wait=True), context)
                    await trio.sleep(GATHER_S)
                self.post.renamed()
            except RedisRefused as refused:  # the stream is not there any more
                log.warning("inbox.lost", extra={"reason": refused.reason})
                await trio.sleep(AGAIN_S)
            except RedisUnavailable:
                await trio.sleep(AGAIN_S)

    async def _open(self, name: str, context: Context) -> None:
        """Have a stream, and look whether anything of it was begun and not done."""
        inbox = redis_stream.name_of(name)
        time, _ = await self.link.batch(lambda pipe: (pipe.time(), pipe.sadd(redis_stream.INBOXES, [name])))
        try:  # by itself: of several commands at a time, coredis has this refusal hide what came of the others
            await self.link.call(lambda redis: redis.xgroup_create(inbox, redis_stream.GROUP, "0", mkstream=True))
        except RedisRefused as refused:
            if "Duplicate" not in refused.reason:
                raise
        self.ahead_s = time.timestamp() - trio.current_time()
        start, entries = await redis_stream.claim(self.link, name, name, "0-0", 0)
        self._take(name, entries, context)
        while start != "0-0":
            start, entries = await redis_stream.claim(self.link, name, name, start, 0)
            self._take(name, entries, context)
        self.relays.check()  # whatever there was before is gone, perhaps

    def _take(self, name: str, entries: Sequence[redis_stream.Entry], context: Context) -> None:
        done, now = [], trio.current_time() + self.ahead_s
        for entry in entries:
            if entry.id in self.at_work:
                continue
            requests = in_time(self._unpack(name, entry), entry, now)
            if requests:
                self.at_work.add(entry.id)
                context.start_soon(self._carry_out, name, entry.id, requests, name="requests")
            else:
                done.append(entry.id)
        self._sign(name, done)

    def _sign(self, name: str, entries: Sequence[bytes]) -> None:
        """Note that entries have been dealt with: here, and in Redis."""
        self.receiver.done(redis_stream.name_of(name), entries)
        self.post.sign(name, entries)

    def _unpack(self, name: str, entry: redis_stream.Entry) -> list[tuple[str, Request]]:
        """Hand in what a packet holds; returns the requests, each with its sender."""
        read = self.receiver.read(redis_stream.name_of(name), entry.data, entry.id)
        if read is None:
            return []
        packet, lacking = read
        if lacking:
            self.relays.check(packet.sender)
        self.post.not_understood(packet.refused)
        try:
            items = items_of(packet)
        except Unreadable as error:
            log.warning("inbox.not_understood", extra={"sender": packet.sender, "reason": str(error)})
            self.post.refuse(packet.sender, packet.asks)
            return []
        requests = []
        for item in items:
            if isinstance(item, Request):
                requests.append((packet.sender, item))
            else:
                self._hand_in(packet.sender, item)
        return requests

    def _hand_in(self, sender: str, item: Item) -> None:
        match item:
            case Answer():
                self.post.take(item)
            case Events(thread=thread) | Passing(thread=thread) | Ended(thread=thread):
                if (relay := self.relays.find(thread, sender)) is not None:
                    relay.try_tell(item)

    async def _carry_out(self, name: str, entry: bytes, requests: list[tuple[str, Request]]) -> None:
        try:
            async with trio.open_nursery() as nursery:
                for sender, request in requests:
                    nursery.start_soon(self.serve, sender, request)
            self._sign(name, [entry])
        finally:
            self.at_work.discard(entry)

    # channels

    async def _listen(self, context: Context) -> NoReturn:
        while True:
            name = self.node.id
            with trio.CancelScope() as scope:
                context.start_soon(self._watch_name, name, scope)
                channels = [self.post.channel_of(name), self.post.news_channel]

                def take(channel: str, data: bytes) -> None:
                    self._overhear(channel, data, context)

                await self.link.listen(channels, take, partial(self._joined, context))

    def _joined(self, context: Context) -> None:
        if self.listening.is_set():  # whatever was said before is lost
            self.hearing += 1
            context.start_soon(self._heard, None, name="heard")
        self.listening.set()
        self.relays.check()

    async def _watch_name(self, name: str, scope: trio.CancelScope) -> None:
        """Stop listening under a name that the node has no more."""
        while name == self.node.id:  # noqa: ASYNC110 - a name is no event
            await trio.sleep(redis_stream.BLOCK_S)
        scope.cancel()

    def _overhear(self, channel: str, data: bytes, context: Context) -> None:
        read = self.receiver.read(channel, data)
        if read is None:
            return
        packet, _ = read  # what is lost on a channel is seen by the numbers of the stream
        try:
            if channel != self.post.news_channel:
                for item in items_of(packet):
                    self._hand_in(packet.sender, item)
                return
            news = news_of(packet)
        except Unreadable as error:
            log.debug("inbox.not_understood", extra={"reason": str(error)})
            return
        if packet.sender != self.node.id and self.hearing < HEARD:
            self.hearing += 1
            context.start_soon(self._heard, news, name="heard")

    async def _heard(self, news: News | None) -> None:
        try:
            await self.hear(news)
        finally:
            self.hearing -= 1
