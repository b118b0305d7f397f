"""How much each user, and the users of each tenant together, may have stored: files, and conversations.

1. Before anything is stored it is counted here; what does not fit is refused (`quota_exceeded`), and nothing of it is
   kept. What is removed makes room within a second of the next refusal.
2. What is used is what the database says, asked at most every `FRESH_S` for one user, or every `NEAR_S` once more than
   half is used; what was let in since is added here. Another server may let in as much in that time.
3. Answers are not refused: a message that is let in may be answered, within the limits of a run.
"""

import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final

from attrs import define, field, frozen

from transport.connection.limits import Limits
from transport.wire.errors import CommandRejected
from understudy.storage.files import FileStore
from understudy.storage.keyed_lock import KeyedLock
from understudy.storage.rows import File
from understudy.storage.store import Store
from understudy.storage.tenancy import tenant_of

FRESH_S: Final = 30.0
NEAR_S: Final = 2.0
SURE_S: Final = 1.0
"""A refusal rests on a number that is no older."""
KNOWN: Final = 10_000
"""Users and tenants of whom it is remembered what they use; of others the database is asked."""
CODE: Final = "quota_exceeded"


@define
class _Used:
    """What is used of one quota: `stored` at the time `asked_at`, `since` then, and `held` by what is on its way."""

    stored: int = 0
    asked_at: float = -1e9
    since: int = 0
    held: int = 0

    @property
    def all(self) -> int:
        return self.stored + self.since + self.held


@frozen
class _Quota:
    """One bound: whose (`user` or `tenant`), of what (`files` or `threads`), and how many bytes."""

    whose: str
    what: str
    name: str
    most: int

    @property
    def sentence(self) -> str:
        """Return what a user is told who is refused."""
        mine, here = ("Your", "you have") if self.whose == "user" else ("Your organisation's", "it has")
        what = "files" if self.what == "files" else "conversations"
        return f"{mine} {what} take all the space that {here} here ({_size(self.most)}); delete what is not needed."


@define(eq=False)
class Quotas:
    """Counts what users store. `tenants`: whether the server has tenants. `clock` gives seconds, of any kind."""

    store: Store
    limits: Limits
    tenants: bool = False
    clock: Callable[[], float] = time.monotonic
    _used: OrderedDict[tuple[str, str, str], _Used] = field(factory=OrderedDict, init=False)

    async def check_message(self, owner: str, content: str) -> None:
        """Count a message that is about to be stored.

        Raises:
            CommandRejected: There is no room for it (`quota_exceeded`).
            StorageUnavailable: The database does not say what is used.
        """
        size = 2 * len(content.encode("utf-8", "surrogatepass"))  # in the thread, and in its log
        for quota in await self._roomy(owner, "threads", size):
            self._of(quota).since += size

    async def check_files(self, owner: str, size: int = 1) -> None:
        """Refuse an upload of about this size before it is read, if it would not fit. Raises as `check_message`."""
        await self._roomy(owner, "files", size)

    async def hold(self, owner: str, size: int) -> None:
        """Count bytes of a file on its way; give them back by `release`. Raises as `check_message`."""
        for quota in await self._roomy(owner, "files", size):
            self._of(quota).held += size

    def release(self, owner: str, size: int, *, stored: bool) -> None:
        """Count bytes of a file no more as on their way; `stored`: they are there now."""
        for quota in self._quotas(owner, "files"):
            used = self._of(quota)
            used.held -= size
            used.since += size if stored else 0

    async def _roomy(self, owner: str, what: str, size: int) -> list[_Quota]:
        """Return the quotas that something counts for, if it fits into each."""
        quotas = self._quotas(owner, what)
        for quota in quotas:
            used = self._of(quota)
            await self._ask(quota, NEAR_S if 2 * used.all > quota.most else FRESH_S)
            if used.all + size > quota.most:
                await self._ask(quota, SURE_S)
            if used.all + size > quota.most:
                raise CommandRejected(CODE, quota.sentence)
        return quotas

    def _quotas(self, owner: str, what: str) -> list[_Quota]:
        limits, tenant = self.limits, tenant_of(owner)
        of_user, of_tenant = (
            (limits.files_bytes_per_user, limits.files_bytes_per_tenant)
            if what == "files"
            else (limits.threads_bytes_per_user, limits.threads_bytes_per_tenant)
        )
        quotas = [_Quota("user", what, owner, of_user)]
        if self.tenants and tenant is not None:
            quotas.append(_Quota("tenant", what, tenant, of_tenant))
        return quotas

    def _of(self, quota: _Quota) -> _Used:
        key = (quota.whose, quota.what, quota.name)
        used = self._used.get(key)
        if used is None:
            used = self._used[key] = _Used()
            if len(self._used) > KNOWN:
                oldest = next((each for each, its in self._used.items() if not its.held and each != key), None)
                if oldest is not None:
                    del self._used[oldest]
        self._used.move_to_end(key)
        return used

    async def _ask(self, quota: _Quota, fresh_s: float) -> None:
        """Have the number of a quota be no older than so many seconds."""
        used, now = self._of(quota), self.clock()
        if now - used.asked_at < fresh_s:
            return
        since = used.since
        stored = await self.store.bytes_used(quota.what, **{quota.whose: quota.name})
        used.stored, used.asked_at = stored, now
        used.since -= min(since, used.since)  # what was let in while the database was asked may be missing there


@frozen
class BoundedFiles:
    """A `FileStore` in which what users upload, and what tools save for them, counts against their quotas.

    Files of one user are stored one after the other: several that do not fit together would else keep each other out,
    also the first.
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
    """Bytes as people say them: 1.5 GiB, 20 MiB, 300 bytes."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count} bytes"
