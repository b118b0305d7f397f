"""Joins a server that starts with the others that use its database: its lease, then Redis and all that goes over it."""

import time
from functools import partial
from typing import Final

from attrs import frozen

from actors import ChildSpec
from understudy.app.tree import BACKOFF, Tree
from understudy.extensions.nodes.membership import Member, Membership, join, stop_conversations
from understudy.extensions.nodes.metrics import NodeMetrics
from understudy.extensions.nodes.settings import RedisSettings
from understudy.observe.health import HealthCheck, HealthStatus
from understudy.observe.paths import CLUSTER, CONVERSATIONS
from understudy.web.context import WebContext
from understudy.web.user_connections import UserConnections

FORWARDERS: Final = f"{CLUSTER}/forwarders"
NEEDS_KEY: Final = (
    "redis.url needs a secret (UNDERSTUDY_SECRET), the same for all servers: what they put into Redis is encrypted "
    "with a key that is derived from it (`openssl rand -hex 32` makes one)"
)


@frozen
class NodeActors:
    """The actors of a node that are started when everything is built."""

    children: list[ChildSpec]


async def join_others(server: WebContext) -> None:
    """Register this server with the others that use its database, and reach them over Redis if it is set.

    Raises:
        AlreadyServed: Another server uses the database, and the two have no Redis to talk over.
        ExtraNotInstalled, ValueError: Redis cannot be used; the text says why.
    """
    tree, store, url = server.parts[Tree], server.store, server.settings.of(RedisSettings).url
    if url and not server.settings.secret:
        raise ValueError(NEEDS_KEY)
    node = Member(store, alone=not url)
    metrics = NodeMetrics(server.metrics, lambda: node.lapses)
    await join(node, store.database.where)
    on_lapse = partial(stop_conversations, tree.find(CONVERSATIONS))
    await tree.start_in_cluster(ChildSpec("membership", partial(Membership, node, on_lapse), backoff=BACKOFF))
    server.chat.commands.join(node)
    server.parts.add(NodeActors(await _share(server, tree, node, url, metrics) if url else []))


async def _share(server: WebContext, tree: Tree, node: Member, url: str, metrics: NodeMetrics) -> list[ChildSpec]:
    """Share conversations, limits and the cache with the other nodes. Return the actors that keep them the same."""
    from understudy.extensions.nodes.cluster import Cluster
    from understudy.extensions.nodes.redis import RedisLink  # needs an extra
    from understudy.extensions.nodes.redis_broker import RedisBroker
    from understudy.extensions.nodes.redis_cache import CacheWriter, RedisCache
    from understudy.extensions.nodes.redis_cipher import Cipher
    from understudy.extensions.nodes.shared_limits import (
        ConnectionCounts,
        ConnectionCountsSync,
        RateLimitsSync,
        SharedRateLimits,
    )

    settings, dispatcher = server.settings, server.chat.commands
    cipher = Cipher(str(settings.secret), settings.accepted_secrets)
    metrics.redis_up(False)
    link = RedisLink(url, metrics)
    await tree.start_in_cluster(link.connector_spec())

    def check() -> dict[str, HealthCheck]:
        down = HealthCheck(HealthStatus.DEGRADED, "Redis does not answer", time.time() - link.since, essential=False)
        return {"redis": HealthCheck() if link.up else down}

    server.status.extra_checks.append(check)
    broker = RedisBroker(link)
    cluster = Cluster(broker, node, cipher, metrics)
    dispatcher.join(node, cluster)
    server.services.presence.announce = cluster.announce
    for child in cluster.children(server.services, dispatcher, partial(tree.find, FORWARDERS)):
        await tree.start_in_cluster(child)
    await cluster.ready()
    rates = SharedRateLimits(broker)
    connections = ConnectionCounts(broker, settings.limits.connections_per_user)
    server.ledger = rates.ledger
    server.parts[UserConnections].share(rates.ledger, connections)
    server.reads.backend = cache = RedisCache(link, cipher)
    return [
        ChildSpec("shelver", partial(CacheWriter, cache)),
        ChildSpec("shared_rates", partial(RateLimitsSync, rates)),
        ChildSpec("shared_connections", partial(ConnectionCountsSync, connections)),
    ]
