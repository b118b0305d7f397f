"""The incoming side of messaging between nodes: has letters executed, and passes on wakeups and news.

1. Reading never waits for handling: requests run in tasks of their own, other items are sent to actors.
2. A node hears if its messages to itself arrive, which it sends once in `BEAT_S`. When none has come for `SILENT_S`, as
   from a connection that died in silence or behind a pooler, it listens anew.
3. A subscription that was lost may mean loss: after each new one the logs of all proxies are checked, and news count as
   missed. Who is told that news were missed checks the logs, too.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final, NoReturn

import trio
from attrs import define, field

from actors import Actor, Context
from understudy.chat.messages import RequestSnapshot
from understudy.chat.placement import Missed, News, Node, RemoteNodes, TypingIn
from understudy.chat.registry import ConversationRegistry
from understudy.extensions.nodes.bus import MessageBus
from understudy.extensions.nodes.codec import UnreadableLetter, decode_passing
from understudy.extensions.nodes.messages import Following, Heard, Mail, OfThread, RpcRequest
from understudy.extensions.nodes.proxy_table import ProxyTable
from understudy.extensions.nodes.wakeups import HELLO, NEWS, Wakeups, channel_of
from understudy.storage.errors import WakeupsUnavailable
from understudy.storage.store import Store

log = logging.getLogger(__name__)

HandleRequest = Callable[[str, RpcRequest, float], Awaitable[None]]
HandleNews = Callable[[News], Awaitable[None]]

PAUSE_S: Final = (0.2, 10.0)
"""Pauses before the next attempt to listen: the shortest, and the longest if none succeeds."""
BEAT_S: Final = 1.0
"""Interval of the messages to itself, by which a node knows that it hears."""
SILENT_S: Final = 3.0
"""A node that got none of them for so long hears nothing: with `BEAT_S` it takes 4 s to notice."""
NEWS_AT_ONCE: Final = 32
"""News that are handled at a time."""
NEWS_WAITING: Final = 256
"""News that wait to be handled; more are dropped, and handled as missed."""
LATE_S: Final = 0.5
"""Seconds after which the first subscription is late: the server may serve by then, and its clients missed news."""
DEAF_S: Final = 1.0
"""Interval at which a node that hears nothing looks for what it has missed."""


@define(eq=False)
class BusReceiver(Actor):
    """Reads for `node`. `listening` is set as soon as it hears."""

    wakeups: Wakeups
    store: Store
    node: Node
    bus: MessageBus
    proxies: ProxyTable
    threads: ConversationRegistry
    handle_request: HandleRequest
    handle_news: HandleNews
    listening: trio.Event
    to_handle: trio.MemorySendChannel[News] = field(init=False)
    news: trio.MemoryReceiveChannel[News] = field(init=False)
    beat_at: float = field(default=0.0, init=False)
    """When a message to ourselves came last, or we began to listen, on trio's clock."""
    heard_at: float = field(factory=time.time, init=False)
    """Unix time at which nothing had been missed."""
    dropped_at: float | None = field(default=None, init=False)
    """Unix time of the first news that was dropped here."""

    def __attrs_post_init__(self) -> None:
        self.to_handle, self.news = trio.open_memory_channel[News](NEWS_WAITING)

    async def on_start(self, context: Context) -> None:
        """Start reading the inbox and the channels."""

        def execute(sender: str, request: RpcRequest, within_s: float) -> None:
            context.start_soon(self.handle_request, sender, request, within_s, name="request")

        context.start_soon(self.bus.read, execute, name="read")
        context.start_soon(self._listen, context, name="listen")
        context.start_soon(self._look, name="look")
        for _ in range(NEWS_AT_ONCE):
            context.start_soon(self._handle_news, name="heard")
        context.start_soon(self.proxies.keep_up, self.store, self.bus, name="keep_up")

    async def _listen(self, context: Context) -> NoReturn:
        pause_s = PAUSE_S[0]
        while True:
            name, reason = self.node.id, ""
            with trio.CancelScope() as scope:
                beat = partial(context.start_soon, self._beat, name, scope, name="beat")
                try:
                    await self.wakeups.listen([channel_of(name), NEWS], self._take, beat)
                except WakeupsUnavailable as error:
                    reason = error.reason
                finally:
                    heard, self.bus.hears = self.bus.hears, False
                    scope.cancel()
            if heard or pause_s == PAUSE_S[0]:  # else it was said before
                log.warning("wakeups.lost", extra={"reason": reason or f"nothing arrives for {SILENT_S:g} s"})
            pause_s = PAUSE_S[0] if heard else min(2 * pause_s, PAUSE_S[1])
            await trio.sleep(pause_s)

    async def _beat(self, name: str, scope: trio.CancelScope) -> None:
        """Send messages to ourselves. Cancel `scope`, the subscription, if none arrives, or the node has another id."""
        self.beat_at = trio.current_time()
        while not scope.cancel_called:
            with suppress(WakeupsUnavailable):
                await self.wakeups.publish([(channel_of(name), HELLO)])
            await trio.sleep(BEAT_S)
            if name != self.node.id or trio.current_time() > self.beat_at + SILENT_S:
                scope.cancel()

    def _on_hello(self) -> None:
        self.beat_at = trio.current_time()
        if self.bus.hears:
            return
        self.bus.hears = True
        if self.listening.is_set() or time.time() - self.heard_at > LATE_S:  # news sent before it are lost
            self._handle(Missed(self.heard_at))
        self.heard_at = time.time()
        self.bus.peers = True  # whoever is there sends news from now on, and looks for what it has not sent
        self.bus.broadcast(Missed(self.heard_at))
        self.listening.set()
        self.bus.woken.set()
        self.proxies.check()

    async def _look(self) -> NoReturn:
        """While nothing is heard, look for what was missed, at an interval."""
        while True:
            await trio.sleep(DEAF_S)
            if not self.bus.hears and self.bus.peers:
                self._handle(Missed(self.heard_at))
                self.heard_at = time.time()

    def _take(self, channel: str, text: str) -> None:
        if text == HELLO:
            self._on_hello()
            return
        try:
            told = decode_passing(text)
        except UnreadableLetter as error:
            self.bus.drop(channel, error)
            return
        for each in told:
            match each:
                case Mail():
                    self.bus.woken.set()
                case Following(node, owner, thread_id, snapshot):
                    is_new = self.bus.announcer.follow(node, owner, thread_id)
                    actor = self.threads.peek(owner, thread_id) if is_new or snapshot else None
                    if actor is not None:
                        actor.try_tell(RequestSnapshot(RemoteNodes()))
                case OfThread(node, owner, thread_id):
                    if (proxy := self.proxies.find((owner, thread_id), node)) is not None:
                        proxy.try_tell(each)
                case Heard(node, news):
                    self.heard_at = time.time()
                    if node != self.node.id:
                        self.bus.peers = True
                        if isinstance(news, Missed):
                            self.proxies.check()
                        self._handle(news)

    def _handle(self, news: News) -> None:
        try:
            self.to_handle.send_nowait(news)
        except trio.WouldBlock:
            if not isinstance(news, TypingIn):
                self.dropped_at = self.dropped_at or self.heard_at

    async def _handle_news(self) -> None:
        async for news in self.news:
            await self.handle_news(news)
            if self.dropped_at is not None:
                missed, self.dropped_at = Missed(self.dropped_at), None
                await self.handle_news(missed)
