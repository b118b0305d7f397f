"""Wires the parts that let several servers share a database and a broker.

cluster
├── membership   renews the lease of this node (`understudy.extensions.nodes.membership`)
├── bus          sends packets to other nodes
├── forwarders   (dynamic) one per thread of this node and node that subscribed to it
├── receiver     reads the packets of other nodes
└── peers        detects dead nodes and recovers their requests
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import trio
from attrs import define, field

from actors import Actor, ActorRef, Backoff, ChildSpec, Supervisor
from understudy.chat.commands.dispatcher import CommandDispatcher
from understudy.chat.placement import Active, News, Node
from understudy.chat.services import Services
from understudy.extensions.nodes.bus import MessageBus
from understudy.extensions.nodes.bus_receiver import BusMetrics, BusReceiver, PacketReader
from understudy.extensions.nodes.conversation_proxy import ConversationProxy, ProxyTable
from understudy.extensions.nodes.peer_monitor import PeerMonitor
from understudy.extensions.nodes.redis_broker import RedisBroker
from understudy.extensions.nodes.redis_cipher import Cipher
from understudy.extensions.nodes.rpc_server import RpcServer
from understudy.observe.traces import Traces

BACKOFF: Final = Backoff(min_s=0.05, max_s=30.0)
READY_S: Final = 1.0
MAX_RESTARTS: Final = 10_000
"""Restarts in 5 s before the supervisor of the forwarders gives up: one forwarder never stops the others."""


@define(eq=False)
class Cluster:
    """Access to the other nodes; implements `OtherNodes` for the command dispatcher."""

    broker: RedisBroker
    node: Node
    cipher: Cipher = field(repr=False)
    metrics: BusMetrics | None = None
    bus: MessageBus = field(init=False)
    proxies: ProxyTable = field(factory=ProxyTable, init=False)
    reader: PacketReader = field(init=False)
    services: Services | None = field(default=None, init=False)
    rpc: RpcServer | None = field(default=None, init=False)
    listening: trio.Event = field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self.bus = MessageBus(self.broker, self.node, self.cipher)
        self.reader = PacketReader(self.cipher, self.metrics)
        self.broker.on_change.append(lambda _: self.proxies.check_logs())  # events may have been lost: check at once

    def make_proxy(self, owner: str, thread_id: str, owner_node: str, after: int | None) -> Actor:
        """Return a proxy for a conversation that another node owns."""
        assert self.services is not None  # noqa: S101 - set by `children`, before anything is asked
        return ConversationProxy(owner, thread_id, owner_node, self.services, self.bus, self.proxies, after)

    def broadcast(self, news: News) -> None:
        """Send news to all nodes."""
        self.bus.broadcast(news)

    def announce(self, owner: str, thread_id: str, after: int) -> None:
        """Tell all nodes that a thread is active, or later that they have missed it."""
        self.bus.broadcast(Active(owner, thread_id, after))

    async def ready(self) -> None:
        """Wait up to READY_S for the subscription to the channels; start without it if the broker is down."""
        with trio.move_on_after(READY_S):
            await self.listening.wait()

    def children(
        self, services: Services, dispatcher: CommandDispatcher, forwarders: Callable[[], ActorRef]
    ) -> list[ChildSpec]:
        """Return the actors, in start order; `forwarders` returns the ref of the supervisor that is one of them."""
        self.services = services
        self.rpc = RpcServer(dispatcher.registry, self.bus, forwarders, partial(services.parts.find, Traces))
        parts = (self.broker, self.node, self.bus, self.proxies, self.reader)
        receiver = partial(BusReceiver, *parts, self.rpc.handle, dispatcher.apply_news, self.listening)
        peers = partial(PeerMonitor, services.store, *parts, self.rpc.handle, dispatcher.apply_news)
        return [
            self.bus.sender_spec(),
            ChildSpec(
                "forwarders", partial(Supervisor, (), intensity=MAX_RESTARTS, stop_together=True), backoff=BACKOFF
            ),
            ChildSpec("receiver", receiver, backoff=BACKOFF),
            ChildSpec("peers", peers, backoff=BACKOFF),
        ]
