"""Joins a starting server with the others that use its database, and wires the actors that let them work as one.

cluster
├── membership   renews the lease of this node, detects dead ones and takes over their requests
├── letters      stores requests to other nodes, and replies
├── bus          sends wakeups to other nodes
└── receiver     reads the inbox of this node, and listens
"""

import time
from functools import partial
from typing import TYPE_CHECKING, Final

import trio
from attrs import frozen

from actors import ChildSpec
from understudy.app.tree import BACKOFF, Tree
from understudy.chat.conversation.recovery import CheckNow
from understudy.extensions.nodes.background import Background
from understudy.extensions.nodes.bus import MessageBus
from understudy.extensions.nodes.bus_receiver import BusReceiver
from understudy.extensions.nodes.conversation_proxy import ConversationProxy
from understudy.extensions.nodes.membership import Member, Membership, join, stop_conversations
from understudy.extensions.nodes.metrics import DROPPED, REDIS_CALLS, redis_up, register_lapses
from understudy.extensions.nodes.notify import NotifyWakeups
from understudy.extensions.nodes.peers import Peers
from understudy.extensions.nodes.proxy_table import ProxyTable
from understudy.extensions.nodes.rpc_server import RpcServer
from understudy.extensions.nodes.settings import NodeSettings
from understudy.extensions.nodes.shared_limits import SharedLimits
from understudy.extensions.nodes.wakeups import Wakeups
from understudy.observe.health import HealthCheck, HealthStatus
from understudy.observe.paths import CONVERSATIONS, RECOVERY
from understudy.observe.spans import Traces
from understudy.storage.errors import CannotConnect
from understudy.storage.postgresql import PostgresDatabase, alone
from understudy.web.context import WebContext
from understudy.web.user_connections import UserConnections

if TYPE_CHECKING:
    from understudy.extensions.nodes.redis import RedisLink

READY_S: Final = 1.0
"""Seconds for which a starting server waits until it hears wakeups; then it starts all the same."""
NEEDS_KEY: Final = (
    "nodes.redis_url needs a secret (UNDERSTUDY_SECRET), the same for all servers: what they put into Redis is "
    "encrypted with a key that is derived from it (`openssl rand -hex 32` makes one)"
)


@frozen
class NodeActors:
    """The actors of a node that are started when the server is built."""

    children: list[ChildSpec]


async def join_others(server: WebContext) -> None:
    """Register this server with the others that use its database, and share conversations and limits with them.

    Raises:
        ExtraNotInstalled, ValueError: Redis or `listen_url` cannot be used; the text says why.
    """
    tree, store, settings = server.parts[Tree], server.store, server.settings
    node_settings, dispatcher = settings.of(NodeSettings), server.chat.commands
    if node_settings.redis_url and not settings.secret:
        raise ValueError(NEEDS_KEY)
    node = Member(store)
    register_lapses(server.metrics, lambda: node.lapses)
    count = server.metrics.count
    assert isinstance(store.database, PostgresDatabase)  # noqa: S101 - see `Nodes.open`
    try:
        wakeups: Wakeups = NotifyWakeups(alone(node_settings.listen_url or store.database.address))
    except CannotConnect as error:
        raise ValueError(f"nodes.listen_url (UNDERSTUDY_NODES_LISTEN_URL) is no address: {error.reason}") from None
    children = []
    if node_settings.redis_url:
        from understudy.extensions.nodes.redis import RedisLink  # needs an extra

        link = RedisLink(node_settings.redis_url, partial(count, REDIS_CALLS), redis_up(server.metrics))
        children.append(await _share_cache(server, tree, link))
        if node_settings.wakeups_by_redis:
            from understudy.extensions.nodes.redis_wakeups import RedisWakeups

            wakeups = RedisWakeups(link)
    await join(node)
    services, registry = server.services, dispatcher.registry
    proxies, listening = ProxyTable(), trio.Event()
    bus = MessageBus(store, node, wakeups, partial(count, DROPPED), with_text=not services.content_filter.tokenises)
    services.presence.others = bus.announcer
    dispatcher.join(node, partial(ConversationProxy, services, bus, proxies))
    connections = settings.limits.connections_per_user
    limits = SharedLimits(store, node, connections, services.limiter, lambda: bus.peers)

    def forget(node_id: str) -> None:
        limits.forget(node_id)
        if (recovery := server.find(RECOVERY)) is not None:
            recovery.try_tell(CheckNow())

    peers = Peers(store, node, bus, proxies, dispatcher.apply_news, forget, wakeups.cut_off)
    on_lapse = partial(stop_conversations, tree.find(CONVERSATIONS))
    rpc = RpcServer(registry, bus, partial(services.parts.find, Traces))
    parts = (wakeups, store, node, bus, proxies, registry, rpc.handle, dispatcher.apply_news, listening)
    for child in (
        ChildSpec("membership", partial(Membership, node, on_lapse, peers), backoff=BACKOFF),
        *bus.children(),
        ChildSpec("receiver", partial(BusReceiver, *parts), backoff=BACKOFF),
    ):
        await tree.start_in_cluster(child)
    with trio.move_on_after(READY_S):
        await listening.wait()
    server.ledger = limits.ledger
    server.parts[UserConnections].share(limits.ledger, limits)
    server.parts.add(NodeActors([*children, ChildSpec("shared_limits", partial(Background, limits.synchronise))]))


async def _share_cache(server: WebContext, tree: Tree, link: "RedisLink") -> ChildSpec:
    """Cache recent reads in Redis, for when the database is away. Return the actor that writes the cache."""
    from understudy.extensions.nodes.redis_cache import RedisCache, cipher

    settings = server.settings
    await tree.start_in_cluster(link.connector_spec())

    def check() -> dict[str, HealthCheck]:
        down = HealthCheck(HealthStatus.DEGRADED, "Redis does not answer", time.time() - link.since, essential=False)
        return {"redis": HealthCheck() if link.up else down}

    server.status.extra_checks.append(check)
    server.reads.backend = cache = RedisCache(link, cipher(str(settings.secret), *settings.accepted_secrets))
    return ChildSpec("shelver", partial(Background, cache.keep))
