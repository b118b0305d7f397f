"""Limits how much each user, and all users of a tenant together, may store: files, and conversations.

1. Everything is counted before it is stored; if it does not fit, it is refused (`quota_exceeded`) and nothing of it is
   stored. Deleted data makes room within a second of the next refusal.
2. The use is read from the database: at most every `FRESH_S` per user, or every `NEAR_S` once more than half is used.
   Everything accepted since then is added. Another server may accept as much in that time.
3. Answers are not refused: an accepted message may be answered, within the limits of a run.
"""

import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

from attrs import define, field, frozen
from sqlalchemy import Connection, bindparam, func, select

from transport.connection.limits import Limits
from transport.wire.errors import CommandRejected
from understudy.storage import schema
from understudy.storage.files import FileStore
from understudy.storage.keyed_lock import KeyedLock
from understudy.storage.owners import tenant_of
from understudy.storage.prepared import Prepared
from understudy.storage.records import File
from understudy.storage.store import Store

FRESH_S: Final = 30.0
NEAR_S: Final = 2.0
SURE_S: Final = 1.0
"""Greatest age of the number that a refusal is based on."""
KNOWN: Final = 10_000
"""Limit of users and tenants whose use is remembered; for others the database is queried."""
CODE: Final = "quota_exceeded"

_f = schema.files.c
_t = schema.threads.c


def _bytes_of(whose: str, owner: Any, size: Any) -> Prepared:
    used = select(func.coalesce(func.sum(size), 0)).select_from(owner.table)
    if whose == "user":
        return Prepared(used.where(owner == bindparam("name")))
    of_tenant = used.join(schema.users, schema.users.c.id == owner).where(schema.users.c.tenant == bindparam("name"))
    return Prepared(of_tenant)


# Queries of every third message or so.
_bytes_used = {
    (what, whose): _bytes_of(whose, owner, size)
    for what, owner, size in (("files", _f.owner, _f.size), ("threads", _t.owner, _t.stored_bytes))
    for whose in ("user", "tenant")
}


def bytes_used(connection: Connection, what: str, whose: str, name: str) -> int:
    """Return how many bytes the `files` or `threads` (`what`) of a `user`, or of a whole `tenant` (`whose`), have."""
    return int(_bytes_used[what, whose].rows(connection, name=name)[0][0])


@define(eq=False)
class _Quota:
    """The limit of one user or tenant (`whose`) on `files` or `threads` (`what`), in bytes, and its use.

    `stored` was read at the time `asked_at`; `since` was accepted since then, and `held` is being uploaded.
    """

    whose: str
    what: str
    name: str
    limit: int
    stored: int = 0
    asked_at: float = -1e9
    since: int = 0
    held: int = 0

    @property
    def refusal(self) -> str:
        """Return the sentence for a user whose message or file does not fit."""
        mine, here = ("Your", "you have") if self.whose == "user" else ("Your organisation's", "it has")
        what = "files" if self.what == "files" else "conversations"
        return f"{mine} {what} take all the space that {here} here ({_size(self.limit)}); delete what is not needed."


@define(eq=False)
class Quotas:
    """Counts the bytes that users store. `tenants`: whether the server has tenants. `clock` gives seconds."""

    store: Store
    limits: Limits
    tenants: bool = False
    clock: Callable[[], float] = time.monotonic
    _known: OrderedDict[tuple[str, str, str], _Quota] = field(factory=OrderedDict, init=False)

    async def check_message(self, owner: str, content: str) -> None:
        """Count a message that is about to be stored.

        Raises:
            CommandRejected: There is no room for it (`quota_exceeded`).
            StorageUnavailable: The database cannot be read.
        """
        size = 2 * len(content.encode("utf-8", "surrogatepass"))  # in the thread, and in its log
        for quota in await self._check(owner, "threads", size):
            quota.since += size

    async def check_files(self, owner: str, size: int = 1) -> None:
        """Refuse an upload of about this size before it is read, if it would not fit. Raises as `check_message`."""
        await self._check(owner, "files", size)

    async def hold(self, owner: str, size: int) -> None:
        """Count bytes of a file that is being uploaded; `release` returns them. Raises as `check_message`."""
        await self._check(owner, "files", size)
        for quota in self._quotas(owner, "files"):
            quota.held += size

    def release(self, owner: str, size: int, *, stored: bool) -> None:
        """End the count of bytes as being uploaded; `stored`: they are counted as stored now."""
        for quota in self._quotas(owner, "files"):
            quota.held -= size
            quota.since += size if stored else 0

    async def _check(self, owner: str, what: str, size: int) -> list[_Quota]:
        """Return the quotas that `size` bytes count for, if they fit into each."""
        quotas = self._quotas(owner, what)
        for quota in quotas:
            near = 2 * (quota.stored + quota.since + quota.held) > quota.limit
            for fresh_s in (NEAR_S if near else FRESH_S, SURE_S):
                now = self.clock()
                if now - quota.asked_at >= fresh_s:
                    since = quota.since
                    quota.stored = await self.store.read(bytes_used, what, quota.whose, quota.name)
                    quota.asked_at = now
                    quota.since -= min(since, quota.since)  # bytes accepted during the query may be missing in it
                if quota.stored + quota.since + quota.held + size <= quota.limit:
                    break
            else:
                raise CommandRejected(CODE, quota.refusal)
        return quotas

    def _quotas(self, owner: str, what: str) -> list[_Quota]:
        files, limits = what == "files", self.limits
        keys = [("user", owner, limits.files_bytes_per_user if files else limits.threads_bytes_per_user)]
        if self.tenants and (tenant := tenant_of(owner)) is not None:
            limit = limits.files_bytes_per_tenant if files else limits.threads_bytes_per_tenant
            keys.append(("tenant", tenant, limit))
        quotas = []
        for whose, name, limit in keys:
            key = (whose, what, name)
            quota = self._known.get(key)
            if quota is None:
                quota = self._known[key] = _Quota(whose, what, name, limit)
                if len(self._known) > KNOWN:
                    oldest = next((each for each, its in self._known.items() if not its.held and each != key), None)
                    if oldest is not None:
                        del self._known[oldest]
            self._known.move_to_end(key)
            quotas.append(quota)
        return quotas


@frozen
class BoundedFiles:
    """A `FileStore` that counts users' uploads, and the files that tools save for them, against their quotas.

    Files of one user are stored one after the other: concurrent uploads that do not fit together would all be refused.
    """

    files: FileStore
    quotas: Quotas
    _locks: KeyedLock[str] = field(factory=KeyedLock, init=False)

    async def save(self, owner: str, name: str, media_type: str, chunks: AsyncIterable[bytes]) -> File:
        """As `FileStore.save`. Raises also CommandRejected (`quota_exceeded`) as soon as there is no room."""
        taken, stored = 0, False

        async def counted() -> AsyncGenerator[bytes, None]:
            nonlocal taken
            async for chunk in chunks:
                await self.quotas.hold(owner, len(chunk))
                taken += len(chunk)
                yield chunk

        async with self._locks.hold(owner):
            try:
                async with aclosing(counted()) as counting:
                    file = await self.files.save(owner, name, media_type, counting)
                stored = True
            finally:
                self.quotas.release(owner, taken, stored=stored)
        return file

    def read(self, file: File) -> AsyncGenerator[bytes, None]:
        """As `FileStore.read`."""
        return self.files.read(file)

    async def local(self, file: File) -> Path:
        """As `FileStore.local`."""
        return await self.files.local(file)

    async def remove(self, owner: str, file_ids: Sequence[str]) -> None:
        """As `FileStore.remove`."""
        await self.files.remove(owner, file_ids)

    def sweep(self) -> int:
        """As `FileStore.sweep`."""
        return self.files.sweep()


def _size(count: int) -> str:
    """Format a number of bytes: 1.5 GiB, 20 MiB, 300 bytes."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count} bytes"
