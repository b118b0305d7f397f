"""Where a server stores data: database, cache, files and quotas, as the settings say.

Most servers have SQLite alone: the modules of PostgreSQL and Redis are imported only if the settings name them.
"""

import time
from functools import partial
from typing import TYPE_CHECKING, Final, cast

import trio
from attrs import frozen

from actors import ChildSpec
from understudy.app.settings import Settings
from understudy.app.tree import BACKOFF
from understudy.observe.metrics import Metrics
from understudy.storage.cache import CacheBackend, CachedReads, LocalCache
from understudy.storage.database import Database
from understudy.storage.file_cache import COPIES, COPIES_BYTES, FileCache, FileCacheSweeper
from understudy.storage.files import FileStore, FolderFiles
from understudy.storage.quotas import BoundedFiles, Quotas
from understudy.storage.sqlite import FILES
from understudy.storage.sqlite import open_database as open_sqlite
from understudy.storage.store import Store

if TYPE_CHECKING:
    from understudy.storage.postgresql import PostgresDatabase
    from understudy.storage.redis import RedisLink
    from understudy.storage.redis_cipher import Cipher

REDIS_NEEDS_KEY: Final = (
    "redis_url needs a secret (UNDERSTUDY_SECRET), the same for all servers: what they put into Redis is encrypted "
    "with a key that is derived from it (`openssl rand -hex 32` makes one)"
)


@frozen
class Storage:
    """The parts that store data. `file_actors` and `cache_actors` are started once everything is built."""

    store: Store
    files: FileStore
    limited_files: BoundedFiles
    quotas: Quotas
    reads: CachedReads
    file_actors: list[ChildSpec]
    cache_actors: list[ChildSpec]


def open_database(settings: Settings) -> Database:
    """Open the database, migrating it if its schema is older. Blocks.

    Raises:
        DatabaseUnusable: It cannot be reached, opened or migrated.
    """
    if not settings.on_postgresql:
        return open_sqlite(settings.database_folder)
    from understudy.storage.postgresql import connect_database

    return connect_database(settings.database_url)


def build_redis(settings: Settings, metrics: Metrics) -> "RedisLink | None":
    """Build the link to Redis, which connects once its actor starts. Return None without `redis_url`.

    Blocks for a while to import the client.
    """
    if not settings.redis_url:
        return None
    from understudy.storage.redis import RedisLink

    metrics.redis_up(False)
    return RedisLink(settings.redis_url, metrics)


def build_cipher(settings: Settings) -> "Cipher | None":
    """Build the cipher of what nodes send each other. Return None for a server alone.

    Raises:
        ValueError: The settings have no secret to derive its key from.
    """
    if not settings.redis_url:
        return None
    if not settings.secret:
        raise ValueError(REDIS_NEEDS_KEY)
    from understudy.storage.redis_cipher import Cipher

    return Cipher(str(settings.secret), settings.accepted_secrets)


async def open_storage(
    settings: Settings, store: Store, redis: "RedisLink | None", cipher: "Cipher | None", metrics: Metrics
) -> Storage:
    """Open the files, remove uploads that were left unfinished, and build quotas and cached reads."""
    files, file_actors = _open_files(settings, store)
    await trio.to_thread.run_sync(files.sweep)
    quotas = Quotas(store, settings.limits, tenants=bool(settings.tenant_claim))
    cache, cache_actors = _build_cache(redis, cipher)
    reads = CachedReads(store, cache, time.time, metrics)
    store.on_write = reads.invalidate
    return Storage(store, files, BoundedFiles(files, quotas), quotas, reads, file_actors, cache_actors)


def _build_cache(redis: "RedisLink | None", cipher: "Cipher | None") -> tuple[CacheBackend, list[ChildSpec]]:
    """Build the cache that answers reads while the database is away, and the actor that writes to it."""
    if redis is None or cipher is None:
        return LocalCache(), []
    from understudy.storage.redis_cache import CacheWriter, RedisCache

    cache = RedisCache(redis, cipher)
    return cache, [ChildSpec("shelver", partial(CacheWriter, cache), backoff=BACKOFF)]


def _open_files(settings: Settings, store: Store) -> tuple[FileStore, list[ChildSpec]]:
    """Open the store of uploads, and the actors that maintain it: in PostgreSQL, or in a folder beside SQLite."""
    limit = settings.max_file_bytes
    if not settings.on_postgresql:
        return FolderFiles(settings.data_dir / FILES, store.commit, limit_bytes=limit), []
    from understudy.storage.files_in_database import DatabaseFiles

    database = cast("PostgresDatabase", store.database)
    copies = FileCache(settings.data_dir / COPIES, limit_bytes=max(COPIES_BYTES, 4 * limit))
    keeper = ChildSpec("copies", partial(FileCacheSweeper, copies), backoff=BACKOFF)
    return DatabaseFiles(database, copies, limit_bytes=limit, before=settings.data_dir / FILES), [keeper]
