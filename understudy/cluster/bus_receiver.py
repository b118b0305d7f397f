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
from understudy.cluster.bus import MessageBus
from understudy.cluster.codec import UnreadablePacket, decode_items, decode_news
from understudy.cluster.messages import Ephemeral, Events, ForwardingEnded, Item, RpcReply, RpcRequest
from understudy.cluster.packet_reader import PacketReader
from understudy.cluster.proxies import ProxyTable
from understudy.storage.errors import RedisRefused, RedisUnavailable
from understudy.storage.redis import RedisLink

log = logging.getLogger(__name__)

HandleRequest = Callable[[str, RpcRequest], Awaitable[None]]
HandleNews = Callable[[News | None], Awaitable[None]]
"""Sees to news; None: some may have been missed."""

BATCH_DELAY_S: Final = 0.001
"""Before the next read: under load one brings what several would."""
RETRY_S: Final = 0.05
"""Before another try, where Redis answers and has no stream."""
NEWS_AT_ONCE: Final = 256
"""News that are seen to at a time; more are not heard, as if they had been lost."""


def unexpired(
    requests: Sequence[tuple[str, RpcRequest]], entry: redis_stream.Entry, now: float
) -> list[tuple[str, RpcRequest]]:
    """Those of an entry that somebody still waits for; `now` is the time of Redis."""
    return [each for each in requests if now < entry.made_at + each[1].within_s]


class BusReceiver(Actor):
    """Reads for `node`. `serve` carries out a request, `hear` sees to news; `listening` is set when it hears some."""

    def __init__(
        self,
        link: RedisLink,
        node: Node,
        post: MessageBus,
        relays: ProxyTable,
        receiver: PacketReader,
        serve: HandleRequest,
        hear: HandleNews,
        listening: trio.Event,
    ) -> None:
        self.link = link
        self.node = node
        self.bus = post
        self.proxies = relays
        self.reader = receiver
        self.handle_request = serve
        self.handle_news = hear
        self.listening = listening
        self.news_at_work = 0
        self.at_work: set[bytes] = set()  # entries whose requests are being carried out
        self.redis_offset_s = 0.0  # how far the clock of Redis, which numbers entries, is before trio's

    async def on_start(self, context: Context) -> None:
        """Begin to read."""
        context.start_soon(self._read_stream, context, name="read")
        context.start_soon(self._listen, context, name="listen")

    # the stream

    async def _read_stream(self, context: Context) -> NoReturn:
        while True:
            await self.link.wait_up()
            name = self.node.id  # another one, when it was taken for dead
            try:
                await self._open_stream(name, context)
                while name == self.node.id:
                    self._accept_entries(name, await redis_stream.read_new(self.link, name, name, wait=True), context)
                    await trio.sleep(BATCH_DELAY_S)
                self.bus.fail_all()
            except RedisRefused as refused:  # the stream is not there any more
                log.warning("inbox.lost", extra={"reason": refused.reason})
                await trio.sleep(RETRY_S)
            except RedisUnavailable:
                await trio.sleep(RETRY_S)

    async def _open_stream(self, name: str, context: Context) -> None:
        """Have a stream, and look whether anything of it was begun and not done."""
        inbox = redis_stream.stream_name(name)
        time, _ = await self.link.batch(lambda pipe: (pipe.time(), pipe.sadd(redis_stream.NODES_WITH_STREAM, [name])))
        try:  # by itself: of several commands at a time, coredis has this refusal hide what came of the others
            await self.link.call(lambda redis: redis.xgroup_create(inbox, redis_stream.GROUP, "0", mkstream=True))
        except RedisRefused as refused:
            if "Duplicate" not in refused.reason:
                raise
        self.redis_offset_s = time.timestamp() - trio.current_time()
        start, entries = await redis_stream.claim(self.link, name, name, "0-0", 0)
        self._accept_entries(name, entries, context)
        while start != "0-0":
            start, entries = await redis_stream.claim(self.link, name, name, start, 0)
            self._accept_entries(name, entries, context)
        self.proxies.check_logs()  # whatever there was before is gone, perhaps

    def _accept_entries(self, name: str, entries: Sequence[redis_stream.Entry], context: Context) -> None:
        done, now = [], trio.current_time() + self.redis_offset_s
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
        """Note that entries have been dealt with: here, and in Redis."""
        self.reader.mark_done(redis_stream.stream_name(name), entries)
        self.bus.ack(name, entries)

    def _dispatch_packet(self, name: str, entry: redis_stream.Entry) -> list[tuple[str, RpcRequest]]:
        """Hand in what a packet holds; returns the requests, each with its sender."""
        read = self.reader.read(redis_stream.stream_name(name), entry.data, entry.id)
        if read is None:
            return []
        packet, lacking = read
        if lacking:
            self.proxies.check_logs(packet.sender)
        self.bus.fail_unreadable(packet.refused)
        try:
            items = decode_items(packet)
        except UnreadablePacket as error:
            log.warning("inbox.not_understood", extra={"sender": packet.sender, "reason": str(error)})
            self.bus.report_unreadable(packet.sender, packet.asks)
            return []
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
                if (relay := self.proxies.find(thread, sender)) is not None:
                    relay.try_tell(item)

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

                await self.link.listen(channels, take, partial(self._on_subscribed, context))

    def _on_subscribed(self, context: Context) -> None:
        if self.listening.is_set():  # whatever was said before is lost
            self.news_at_work += 1
            context.start_soon(self._on_news, None, name="heard")
        self.listening.set()
        self.proxies.check_logs()

    async def _watch_name(self, name: str, scope: trio.CancelScope) -> None:
        """Stop listening under a name that the node has no more."""
        while name == self.node.id:  # noqa: ASYNC110 - a name is no event
            await trio.sleep(redis_stream.BLOCK_S)
        scope.cancel()

    def _on_channel_message(self, channel: str, data: bytes, context: Context) -> None:
        read = self.reader.read(channel, data)
        if read is None:
            return
        packet, _ = read  # what is lost on a channel is seen by the numbers of the stream
        try:
            if channel != self.bus.news_channel:
                for item in decode_items(packet):
                    self._dispatch(packet.sender, item)
                return
            news = decode_news(packet)
        except UnreadablePacket as error:
            log.debug("inbox.not_understood", extra={"reason": str(error)})
            return
        if packet.sender != self.node.id and self.news_at_work < NEWS_AT_ONCE:
            self.news_at_work += 1
            context.start_soon(self._on_news, news, name="heard")

    async def _on_news(self, news: News | None) -> None:
        try:
            await self.handle_news(news)
        finally:
            self.news_at_work -= 1
