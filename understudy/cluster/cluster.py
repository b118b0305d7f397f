"""This server among others: what it takes to work with them, put together.

cluster
├── membership   says that this node is alive (`understudy.cluster.membership`)
├── post         takes to Redis what this node says
├── couriers     (dynamic) one for each thread of this node that another one follows
├── inbox        reads what others say
└── peers        sees who is alive, and to what those leave behind that are not
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import trio
from attrs import define, field

from actors import Actor, ActorRef, Backoff, ChildSpec, Supervisor
from understudy.chat.commands import Desk
from understudy.chat.placement import Active, News, Node
from understudy.chat.services import Services
from understudy.cluster.bus import Post
from understudy.cluster.bus_receiver import Inbox
from understudy.cluster.conversation_proxy import Relay
from understudy.cluster.packet_reader import Receiver, ReceiverObserver
from understudy.cluster.peer_monitor import Peers
from understudy.cluster.proxies import Relays
from understudy.cluster.rpc_server import Office
from understudy.storage.redis import RedisLink
from understudy.storage.redis_cipher import Cipher

RESTING: Final = Backoff(min_s=0.05, max_s=30.0)
READY_S: Final = 1.0
MANY: Final = 10_000
"""Restarts in 5 s before the supervisor of the couriers gives up: one of them must never be the end of the others."""


@define(eq=False)
class Cluster:
    """The way to the other nodes: the `OtherNodes` of the desk."""

    link: RedisLink
    node: Node
    cipher: Cipher = field(repr=False)
    observer: ReceiverObserver | None = None
    post: Post = field(init=False)
    relays: Relays = field(factory=Relays, init=False)
    receiver: Receiver = field(init=False)
    services: Services | None = field(default=None, init=False)
    listening: trio.Event = field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self.post = Post(self.link, self.node, self.cipher)
        self.receiver = Receiver(self.cipher, self.observer)
        self.link.on_change.append(lambda _: self.relays.check())  # what does not come by itself is looked for at once

    def relay(self, owner: str, thread_id: str, holder: str, after: int | None) -> Actor:
        """What stands here for a conversation that another node has."""
        assert self.services is not None  # noqa: S101 - set by `children`, before anything is asked
        return Relay(owner, thread_id, holder, self.services, self.post, self.relays, after)

    def tell_all(self, news: News) -> None:
        """Tell every other node something, if that can be."""
        self.post.tell_all(news)

    def announce(self, owner: str, thread_id: str, after: int) -> None:
        """Tell every other node that something happens in a thread, if that can be."""
        self.post.tell_all(Active(owner, thread_id, after))

    async def ready(self) -> None:
        """Wait a moment until others are heard; a Redis that is away is no reason not to begin."""
        with trio.move_on_after(READY_S):
            await self.listening.wait()

    def children(self, services: Services, desk: Desk, couriers: Callable[[], ActorRef]) -> list[ChildSpec]:
        """The actors of it, in the order in which they begin; `couriers` gives the supervisor that is one of them."""
        self.services = services
        office = Office(desk.threads, self.post, couriers)
        parts = (self.link, self.node, self.post, self.relays, self.receiver)
        inbox = partial(Inbox, *parts, office.serve, desk.hear, self.listening)
        peers = partial(Peers, services.store, *parts, office.serve)
        return [
            self.post.carrier(),
            ChildSpec("couriers", partial(Supervisor, (), intensity=MANY, stop_together=True), backoff=RESTING),
            ChildSpec("inbox", inbox, backoff=RESTING),
            ChildSpec("peers", peers, backoff=RESTING),
        ]
