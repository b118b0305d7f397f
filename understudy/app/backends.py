"""What a server stands on, as its settings say: database, Redis, files, its place among others, what they share.

Most servers stand on SQLite alone: what is for several is imported only where it is used.
"""

import time
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Final, cast

import trio

from actors import ActorRef, Backoff, ChildSpec
from transport.connection.limits import Ledger
from understudy.app.settings import Settings
from understudy.auth.revocation import RevocationFile
from understudy.auth.sessions import REVOCATIONS_FILE, Sessions
from understudy.auth.shared_revocation import RevocationPoller, SharedRevocations
from understudy.observe.metrics import Metrics
from understudy.storage.cache import CacheBackend, LocalCache
from understudy.storage.database import Database
from understudy.storage.file_cache import COPIES, COPIES_BYTES, FileCache, FileCacheSweeper
from understudy.storage.files import FileStore
from understudy.storage.files_in_folder import FolderFiles
from understudy.storage.sqlite import FILES
from understudy.storage.sqlite import open_database as open_sqlite
from understudy.storage.store import Store

if TYPE_CHECKING:
    from understudy.chat.placement import Node
    from understudy.cluster.cluster import Cluster
    from understudy.cluster.connection_counts import ConnectionCounts
    from understudy.storage.postgresql import PostgresDatabase
    from understudy.storage.redis import RedisLink
    from understudy.storage.redis_cipher import Cipher

REDIS_NEEDS_KEY: Final = (
    "redis_url needs a secret (UNDERSTUDY_SECRET), the same for all servers: what they put into Redis is encrypted "
    "with a key that is derived from it (`openssl rand -hex 32` makes one)"
)
BACKOFF: Final = Backoff(min_s=0.05, max_s=30.0)
"""How long what works for a server rests after it broke."""


def open_database(settings: Settings) -> Database:
    """Open the database, and migrate it; blocks. Raises DatabaseUnusable."""
    if not settings.on_postgresql:
        return open_sqlite(settings.database_folder)
    from understudy.storage.postgresql import connect_database  # most servers need none of it

    return connect_database(settings.database_url)


def build_redis(settings: Settings, metrics: Metrics) -> "RedisLink | None":
    """The link to Redis, which connects later; None where there is none. Importing its client blocks for a while."""
    if not settings.redis_url:
        return None
    from understudy.storage.redis import RedisLink  # most servers need none of it

    return RedisLink(settings.redis_url, metrics)


def build_shared_limits(
    redis: "RedisLink | None", settings: Settings
) -> "tuple[Ledger | None, ConnectionCounts | None, list[ChildSpec]]":
    """What nodes share of the limits of users, with what works for it; nothing where there is one node."""
    if redis is None:
        return None, None, []
    from understudy.cluster.connection_counts import ConnectionCounts, ConnectionCountsSync
    from understudy.cluster.rate_limits import RateLimitsSync, SharedRateLimits

    rates = SharedRateLimits(redis)
    connections = ConnectionCounts(redis, settings.limits.connections_per_user)
    keepers = [
        ChildSpec("shared_rates", lambda: RateLimitsSync(rates), backoff=BACKOFF),
        ChildSpec("shared_connections", lambda: ConnectionCountsSync(connections), backoff=BACKOFF),
    ]
    return rates.ledger, connections, keepers


def build_cipher(settings: Settings) -> "Cipher | None":
    """What encrypts what nodes put into Redis; None where there is no Redis. Raises ValueError without a secret."""
    if not settings.redis_url:
        return None
    if not settings.secret:
        raise ValueError(REDIS_NEEDS_KEY)
    from understudy.storage.redis_cipher import Cipher

    return Cipher(str(settings.secret))


def build_cache(redis: "RedisLink | None", cipher: "Cipher | None") -> tuple[CacheBackend, list[ChildSpec]]:
    """Where reads are kept for when the database is away, with what works for it."""
    if redis is None or cipher is None:
        return LocalCache(), []
    from understudy.storage.redis_cache import CacheWriter, RedisCache

    shelf = RedisCache(redis, cipher)
    return shelf, [ChildSpec("shelver", lambda: CacheWriter(shelf), backoff=BACKOFF)]


def open_files(settings: Settings, database: Database, store: Store) -> tuple[FileStore, list[ChildSpec]]:
    """Where uploads go, with what keeps order there: to the database where servers may share it, else to a folder."""
    limit = settings.max_file_bytes
    if not settings.on_postgresql:
        return FolderFiles(settings.data_dir / FILES, store.add_file, limit_bytes=limit), []
    from understudy.storage.files_in_database import DatabaseFiles

    on_postgresql = cast("PostgresDatabase", database)
    copies = FileCache(settings.data_dir / COPIES, limit_bytes=max(COPIES_BYTES, 4 * limit))
    keeper = ChildSpec("copies", partial(FileCacheSweeper, copies), backoff=BACKOFF)
    return DatabaseFiles(on_postgresql, copies, limit_bytes=limit, before=settings.data_dir / FILES), [keeper]


async def join_nodes(
    settings: Settings,
    database: Database,
    store: Store,
    find: Callable[[str], ActorRef],
    begin: Callable[[ChildSpec], Awaitable[None]],
) -> "Node | None":
    """Have this server known to others that share its database, or refused by them; None where there can be none.

    `begin` begins what keeps it known.
    """
    if not settings.on_postgresql:
        return None
    from understudy.chat.placement import Node
    from understudy.cluster.membership import Membership, join, stop_conversations

    node = Node(alone=not settings.redis_url)
    await join(store, node, database.where)
    on_lapse = partial(stop_conversations, find("/system/conversations"))
    await begin(ChildSpec("membership", partial(Membership, store, node, on_lapse), backoff=BACKOFF))
    return node


def build_cluster(
    redis: "RedisLink | None", node: "Node | None", cipher: "Cipher | None", metrics: Metrics
) -> "Cluster | None":
    """The way to other servers; None where this one works alone."""
    if redis is None or node is None or cipher is None:
        return None
    from understudy.cluster.cluster import Cluster

    return Cluster(redis, node, cipher, metrics)


async def open_revocations(
    settings: Settings, sessions: Sessions, store: Store, dismiss: Callable[[Collection[str]], object]
) -> list[ChildSpec]:
    """Read which sessions have ended. Return the actor that looks for those that other processes end.

    Raises:
        StorageUnavailable, OSError, ValueError: That cannot be read; the text says why.
    """
    path = settings.data_dir / REVOCATIONS_FILE
    ended: RevocationFile | SharedRevocations
    if settings.on_postgresql:
        ended = SharedRevocations(path, time.time, store, on_revoked=dismiss)
        await ended.load()
    else:
        ended = RevocationFile(path, time.time, on_revoked=dismiss)
        await trio.to_thread.run_sync(ended.load)
    sessions.revoked = ended
    return [ChildSpec("ended", partial(RevocationPoller, ended), backoff=BACKOFF)]
