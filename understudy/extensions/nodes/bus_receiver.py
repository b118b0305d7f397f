"""The incoming side of messaging between nodes: executes letters, and dispatches wakeups and news.

1. Reading never waits for handling: requests run in tasks of their own, other messages are sent to actors.
2. A node hears if its messages to itself, one every `BEAT_S`, arrive. After `SILENT_S` without one, as on a connection
   that died unnoticed or behind a pooler, it subscribes anew.
3. Wakeups may have been lost before a new subscription: after each one the logs of all proxies are checked, and news
   count as missed. A node that receives `Missed` checks the logs of its proxies too.
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
"""Shortest and longest pause before the next attempt to listen; it doubles with each failure."""
BEAT_S: Final = 1.0
"""Interval of a node's messages to itself, by which it knows that it hears."""
SILENT_S: Final = 3.0
"""Seconds without a message to itself after which a node is deaf; with `BEAT_S`, it notices within 4 s."""
NEWS_AT_ONCE: Final = 32
"""Limit of news that are handled concurrently."""
NEWS_WAITING: Final = 256
"""Limit of news that wait to be handled; more are dropped, and handled as missed."""
LATE_S: Final = 0.5
"""Seconds after which the first subscription is late: clients may be connected by then, and have missed news."""
DEAF_S: Final = 1.0
"""Interval at which a deaf node handles all news since the last interval as missed."""


@define(eq=False)
class BusReceiver(Actor):
    """Reads the inbox and the wakeups of `node`. `listening` is set as soon as it hears."""

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
    """Time of the last message to ourselves, or of the start of listening, on trio's clock."""
    heard_at: float = field(factory=time.time, init=False)
    """Unix time up to which no news were missed."""
    dropped_at: float | None = field(default=None, init=False)
    """Unix time since which news may have been dropped for lack of room; None if none were."""

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
            if heard or pause_s == PAUSE_S[0]:  # repeated failures are logged once
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
        if self.listening.is_set() or time.time() - self.heard_at > LATE_S:  # earlier news may be lost
            self._handle(Missed(self.heard_at))
        self.heard_at = time.time()
        self.bus.peers = True  # assume others until the next check; they must learn what was not sent to them
        self.bus.broadcast(Missed(self.heard_at))
        self.listening.set()
        self.bus.woken.set()
        self.proxies.check()

    async def _look(self) -> NoReturn:
        """While this node is deaf, have news handled as missed at an interval."""
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
            messages = decode_passing(text)
        except UnreadableLetter as error:
            self.bus.drop(channel, error)
            return
        for message in messages:
            match message:
                case Mail():
                    self.bus.woken.set()
                case Following(node, owner, thread_id, snapshot):
                    is_new = self.bus.announcer.follow(node, owner, thread_id)
                    actor = self.threads.peek(owner, thread_id) if is_new or snapshot else None
                    if actor is not None:
                        actor.try_tell(RequestSnapshot(RemoteNodes()))
                case OfThread(node, owner, thread_id):
                    if (proxy := self.proxies.find((owner, thread_id), node)) is not None:
                        proxy.try_tell(message)
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
