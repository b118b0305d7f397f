"""What a server has if others share its database: membership, the way to the other nodes, and shared limits.

All of it is imported only if the settings name PostgreSQL or Redis.
"""

from functools import partial
from typing import TYPE_CHECKING

from attrs import field, frozen

from actors import ChildSpec
from transport.connection.limits import Ledger
from understudy.app.settings import Settings
from understudy.app.tree import BACKOFF, Tree
from understudy.observe.metrics import Metrics
from understudy.observe.paths import CONVERSATIONS
from understudy.storage.store import Store

if TYPE_CHECKING:
    from understudy.chat.placement import Node
    from understudy.cluster.cluster import Cluster
    from understudy.cluster.connection_counts import ConnectionCounts
    from understudy.storage.redis import RedisLink
    from understudy.storage.redis_cipher import Cipher


@frozen
class SharedLimits:
    """Limits of users that all nodes count together, and the actors that synchronise them; empty on a single node."""

    ledger: Ledger | None = None
    connections: "ConnectionCounts | None" = None
    actors: list[ChildSpec] = field(factory=list)


async def join_nodes(settings: Settings, store: Store, tree: Tree) -> "Node | None":
    """Register this server with the others that share its database. Return None on SQLite, which is never shared.

    Raises:
        AlreadyServed: Another server uses the database, and the two have no Redis to talk over.
    """
    if not settings.on_postgresql:
        return None
    from understudy.chat.placement import Node
    from understudy.cluster.membership import Membership, join, stop_conversations

    node = Node(alone=not settings.redis_url)
    await join(store, node, store.database.where)
    on_lapse = partial(stop_conversations, tree.find(CONVERSATIONS))
    await tree.start_in_cluster(ChildSpec("membership", partial(Membership, store, node, on_lapse), backoff=BACKOFF))
    return node


def build_cluster(
    redis: "RedisLink | None", node: "Node | None", cipher: "Cipher | None", metrics: Metrics
) -> "Cluster | None":
    """Build the transport to the other nodes. Return None on a single node."""
    if redis is None or node is None or cipher is None:
        return None
    from understudy.cluster.cluster import Cluster

    return Cluster(redis, node, cipher, metrics)


def build_shared_limits(redis: "RedisLink | None", settings: Settings) -> SharedLimits:
    """Build the cluster-wide rate limits and connection counts, and the actors that synchronise them."""
    if redis is None:
        return SharedLimits()
    from understudy.cluster.connection_counts import ConnectionCounts, ConnectionCountsSync
    from understudy.cluster.rate_limits import RateLimitsSync, SharedRateLimits

    rates = SharedRateLimits(redis)
    connections = ConnectionCounts(redis, settings.limits.connections_per_user)
    actors = [
        ChildSpec("shared_rates", partial(RateLimitsSync, rates), backoff=BACKOFF),
        ChildSpec("shared_connections", partial(ConnectionCountsSync, connections), backoff=BACKOFF),
    ]
    return SharedLimits(ledger=rates.ledger, connections=connections, actors=actors)
