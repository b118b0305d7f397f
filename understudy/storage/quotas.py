"""Limits how much each user, and all users of a tenant together, may store of one kind: conversations, or files.

1. Everything is counted before it is stored; if it does not fit, it is refused (`quota_exceeded`) and nothing of it is
   stored. Deleted data makes room within a second of the next refusal.
2. The use is read from the database: at most every `FRESH_S` per user, or every `NEAR_S` once more than half is used.
   Everything accepted since then is added. Another server may accept as much in that time.
3. Answers are not refused: an accepted message may be answered, within the limits of a run.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from attrs import define, field
from sqlalchemy import Connection, bindparam, func, select

from transport.wire.errors import CommandRejected
from understudy.storage import schema
from understudy.storage.owners import tenant_of
from understudy.storage.prepared import Prepared
from understudy.storage.store import Store

FRESH_S: Final = 30.0
NEAR_S: Final = 2.0
SURE_S: Final = 1.0
"""Greatest age of the number that a refusal is based on."""
KNOWN: Final = 10_000
"""Limit of users and tenants whose use is remembered; for others the database is queried."""
CODE: Final = "quota_exceeded"


BytesUsed: TypeAlias = Callable[[Connection, str, str], int]
"""A query of how many bytes are stored of a `user` or `tenant`, by its name."""


def bytes_used(owner: Any, size: Any) -> BytesUsed:
    """Return the query of the sums of the column `size`. It is one of every third message or so."""
    used = select(func.coalesce(func.sum(size), 0)).select_from(owner.table)
    of_tenant = used.join(schema.users, schema.users.c.id == owner).where(schema.users.c.tenant == bindparam("name"))
    prepared = {"user": Prepared(used.where(owner == bindparam("name"))), "tenant": Prepared(of_tenant)}

    def used_by(connection: Connection, whose: str, name: str) -> int:
        return int(prepared[whose].rows(connection, name=name)[0][0])

    return used_by


thread_bytes_used: Final = bytes_used(schema.threads.c.owner, schema.threads.c.stored_bytes)


@define(eq=False)
class _Quota:
    """The limit of one user or tenant (`whose`) in bytes, and its use.

    `stored` was read at the time `asked_at`; `since` was accepted since then, and `held` is being uploaded.
    """

    whose: str
    name: str
    limit: int
    stored: int = 0
    asked_at: float = -1e9
    since: int = 0
    held: int = 0


@define(eq=False)
class Quotas:
    """Counts the bytes that users store of one kind, `what` in a sentence, as `used` reads them. `per_tenant` is None
    on a server without tenants. `clock` gives seconds."""

    store: Store
    used: BytesUsed
    what: str
    per_user: int
    per_tenant: int | None = None
    clock: Callable[[], float] = time.monotonic
    _known: OrderedDict[tuple[str, str], _Quota] = field(factory=OrderedDict, init=False)

    async def check_message(self, owner: str, content: str) -> None:
        """Count a message that is about to be stored.

        Raises:
            CommandRejected: There is no room for it (`quota_exceeded`).
            StorageUnavailable: The database cannot be read.
        """
        size = 2 * len(content.encode("utf-8", "surrogatepass"))  # in the thread, and in its log
        for quota in await self.check(owner, size):
            quota.since += size

    async def check(self, owner: str, size: int) -> list[_Quota]:
        """Return the quotas that `size` bytes count for, if they fit into each. Raises as `check_message`."""
        quotas = self.quotas(owner)
        for quota in quotas:
            near = 2 * (quota.stored + quota.since + quota.held) > quota.limit
            for fresh_s in (NEAR_S if near else FRESH_S, SURE_S):
                now = self.clock()
                if now - quota.asked_at >= fresh_s:
                    since = quota.since
                    quota.stored = await self.store.read(self.used, quota.whose, quota.name)
                    quota.asked_at = now
                    quota.since -= min(since, quota.since)  # bytes accepted during the query may be missing in it
                if quota.stored + quota.since + quota.held + size <= quota.limit:
                    break
            else:
                mine, verb = ("Your", "you have") if quota.whose == "user" else ("Your organisation's", "it has")
                sentence = f"{mine} {self.what} take all the space that {verb} here ({_size(quota.limit)})"
                raise CommandRejected(CODE, f"{sentence}; delete what is not needed.")
        return quotas

    def quotas(self, owner: str) -> list[_Quota]:
        """Return those that count what a user stores."""
        keys = [("user", owner, self.per_user)]
        if self.per_tenant is not None and (tenant := tenant_of(owner)) is not None:
            keys.append(("tenant", tenant, self.per_tenant))
        quotas = []
        for whose, name, limit in keys:
            key = (whose, name)
            quota = self._known.get(key)
            if quota is None:
                quota = self._known[key] = _Quota(whose, name, limit)
                if len(self._known) > KNOWN:
                    oldest = next((each for each, its in self._known.items() if not its.held and each != key), None)
                    if oldest is not None:
                        del self._known[oldest]
            self._known.move_to_end(key)
            quotas.append(quota)
        return quotas


def _size(count: int) -> str:
    """Format a number of bytes: 1.5 GiB, 20 MiB, 300 bytes."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count} bytes"
