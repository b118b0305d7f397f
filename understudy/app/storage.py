"""Opens the storage of a server, as its settings say: database, cache and quotas.

The modules of PostgreSQL are imported only if the settings name it, because most servers use SQLite.
"""

import time

from attrs import frozen

from understudy.app.settings import Settings
from understudy.observe.metrics import Metrics
from understudy.storage.cache import CachedReads, LocalCache
from understudy.storage.database import Database
from understudy.storage.quotas import Quotas, thread_bytes_used
from understudy.storage.sqlite import open_database as open_sqlite
from understudy.storage.store import Store


@frozen
class Storage:
    """The store, the quotas and the cached reads of a server."""

    store: Store
    quotas: Quotas
    reads: CachedReads


def open_database(settings: Settings) -> Database:
    """Open the database, migrating it if its schema is older. Blocks.

    Raises:
        DatabaseUnusable: The database cannot be reached, opened or migrated.
    """
    if not settings.on_postgresql:
        return open_sqlite(settings.database_folder)
    from understudy.storage.postgresql import connect_database

    return connect_database(settings.database_url)


def open_storage(settings: Settings, store: Store, metrics: Metrics) -> Storage:
    """Build quotas and cached reads."""
    limits = settings.limits
    per_tenant = limits.threads_bytes_per_tenant if settings.tenant_claim else None
    quotas = Quotas(store, thread_bytes_used, "conversations", limits.threads_bytes_per_user, per_tenant)
    reads = CachedReads(store, LocalCache(), time.time, metrics.storage)
    store.on_write = reads.invalidate
    return Storage(store, quotas, reads)
