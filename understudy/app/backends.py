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
from understudy.auth.revocation import EndedSessions
from understudy.auth.sessions import ENDED, Sessions
from understudy.auth.shared_revocation import EndedEverywhere, EndedWatch
from understudy.observe.metrics import Metrics
from understudy.storage.cache import LocalShelf, Shelf
from understudy.storage.database import Database
from understudy.storage.file_cache import COPIES, COPIES_BYTES, Copies, CopyKeeper
from understudy.storage.files import FileStore
from understudy.storage.files_in_folder import FolderFiles
from understudy.storage.sqlite import FILES, open_database
from understudy.storage.store import Store

if TYPE_CHECKING:
    from understudy.chat.placement import Node
    from understudy.cluster.cluster import Cluster
    from understudy.cluster.connection_counts import SharedConnections
    from understudy.storage.postgresql import PostgresDatabase
    from understudy.storage.redis import RedisLink
    from understudy.storage.redis_cipher import Cipher

NO_COMMON_KEY: Final = (
    "redis_url needs a secret (UNDERSTUDY_SECRET), the same for all servers: what they put into Redis is encrypted "
    "with a key that is derived from it (`openssl rand -hex 32` makes one)"
)
RESTING: Final = Backoff(min_s=0.05, max_s=30.0)
"""How long what works for a server rests after it broke."""


def database_of(settings: Settings) -> Database:
    """Open the database, and migrate it; blocks. Raises DatabaseUnusable."""
    if not settings.on_postgresql:
        return open_database(settings.database_folder)
    from understudy.storage.postgresql import connect_database  # most servers need none of it

    return connect_database(settings.database_url)


def redis_of(settings: Settings, metrics: Metrics) -> "RedisLink | None":
    """The link to Redis, which connects later; None where there is none. Importing its client blocks for a while."""
    if not settings.redis_url:
        return None
    from understudy.storage.redis import RedisLink  # most servers need none of it

    return RedisLink(settings.redis_url, metrics)


def shared_limits(
    redis: "RedisLink | None", settings: Settings
) -> "tuple[Ledger | None, SharedConnections | None, list[ChildSpec]]":
    """What nodes share of the limits of users, with what works for it; nothing where there is one node."""
    if redis is None:
        return None, None, []
    from understudy.cluster.connection_counts import ConnectionsKeeper, SharedConnections
    from understudy.cluster.rate_limits import RateKeeper, SharedRates

    rates = SharedRates(redis)
    connections = SharedConnections(redis, settings.limits.connections_per_user)
    keepers = [
        ChildSpec("shared_rates", lambda: RateKeeper(rates), backoff=RESTING),
        ChildSpec("shared_connections", lambda: ConnectionsKeeper(connections), backoff=RESTING),
    ]
    return rates.ledger, connections, keepers


def cipher_of(settings: Settings) -> "Cipher | None":
    """What encrypts what nodes put into Redis; None where there is no Redis. Raises ValueError without a secret."""
    if not settings.redis_url:
        return None
    if not settings.secret:
        raise ValueError(NO_COMMON_KEY)
    from understudy.storage.redis_cipher import Cipher

    return Cipher(str(settings.secret))


def shelf_of(redis: "RedisLink | None", cipher: "Cipher | None") -> tuple[Shelf, list[ChildSpec]]:
    """Where reads are kept for when the database is away, with what works for it."""
    if redis is None or cipher is None:
        return LocalShelf(), []
    from understudy.storage.redis_cache import RedisShelf, Shelver

    shelf = RedisShelf(redis, cipher)
    return shelf, [ChildSpec("shelver", lambda: Shelver(shelf), backoff=RESTING)]


def files_of(settings: Settings, database: Database, store: Store) -> tuple[FileStore, list[ChildSpec]]:
    """Where uploads go, with what keeps order there: to the database where servers may share it, else to a folder."""
    limit = settings.max_file_bytes
    if not settings.on_postgresql:
        return FolderFiles(settings.data_dir / FILES, store.add_file, limit_bytes=limit), []
    from understudy.storage.files_in_database import DatabaseFiles

    on_postgresql = cast("PostgresDatabase", database)
    copies = Copies(settings.data_dir / COPIES, limit_bytes=max(COPIES_BYTES, 4 * limit))
    keeper = ChildSpec("copies", partial(CopyKeeper, copies), backoff=RESTING)
    return DatabaseFiles(on_postgresql, copies, limit_bytes=limit, before=settings.data_dir / FILES), [keeper]


async def node_of(
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
    from understudy.cluster.membership import Membership, join, stand_down

    node = Node(alone=not settings.redis_url)
    await join(store, node, database.where)
    on_lapse = partial(stand_down, find("/system/conversations"))
    await begin(ChildSpec("membership", partial(Membership, store, node, on_lapse), backoff=RESTING))
    return node


def cluster_of(
    redis: "RedisLink | None", node: "Node | None", cipher: "Cipher | None", metrics: Metrics
) -> "Cluster | None":
    """The way to other servers; None where this one works alone."""
    if redis is None or node is None or cipher is None:
        return None
    from understudy.cluster.cluster import Cluster

    return Cluster(redis, node, cipher, metrics)


async def ended_of(
    settings: Settings, sessions: Sessions, store: Store, dismiss: Callable[[Collection[str]], object]
) -> list[ChildSpec]:
    """Read which sessions have ended. Return the actor that looks for those that other processes end.

    Raises:
        StorageUnavailable, OSError, ValueError: That cannot be read; the text says why.
    """
    path = settings.data_dir / ENDED
    ended: EndedSessions | EndedEverywhere
    if settings.on_postgresql:
        ended = EndedEverywhere(path, time.time, store, on_news=dismiss)
        await ended.load()
    else:
        ended = EndedSessions(path, time.time, on_news=dismiss)
        await trio.to_thread.run_sync(ended.load)
    sessions.ended = ended
    return [ChildSpec("ended", partial(EndedWatch, ended), backoff=RESTING)]
