"""The memory of agents about a user: values are filtered before they are stored, and given to a model as fenced data.

Reads go to the database. The cache serves runs for up to `FRESH_S`, and every read while the database is unavailable.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from attrs import asdict, define, frozen

from understudy.content.filter import ContentFilter
from understudy.extensions.memory.storage import Remembered, amend, forget, forget_expired, remember, remembered
from understudy.models.model import fenced
from understudy.storage.cache import CachedReads
from understudy.storage.errors import NotStored, StorageUnavailable, Unstorable
from understudy.storage.polling import Expiry
from understudy.storage.store import Store
from understudy.tools.errors import ToolError
from understudy.tools.memory import FOUND, TTL_S, Memories, MemoryEntry, check_name, checked, no_room, ranked

log = logging.getLogger(__name__)

FOR_MODEL_BYTES: Final = 16 * 1024
"""Limit in bytes of JSON of the memory in a model's input; further values are left out."""
FRESH_S: Final = 30.0
"""Seconds for which a run may read the memory from the cache. Every write drops the cached values, except a write of
the command line (the erasure of a user) and of a node that has lost Redis; those show after this time."""
EVERY_S: Final = 60.0
"""Interval of removing expired memories."""


@define
class AgentMemory:
    """The values remembered about one user in one notebook. `clock` returns Unix seconds."""

    owner: str
    notebook: str
    store: Store
    reads: CachedReads
    content_filter: ContentFilter
    clock: Callable[[], float]

    async def remember(self, name: str, value: Any, ttl_s: float = TTL_S, *, by_user: bool = False) -> None:
        """Filter a value and store it for `ttl_s` seconds; `understudy.tools.memory.Memory.remember` lists the errors.

        `by_user`: the user stores it, so the user is created if they have no stored data yet.
        """
        clean = await self._clean(name, value, ttl_s)
        now = self.clock()
        try:
            ok = await self.store.commit(remember(self.owner, self.notebook, name, clean, now, now + ttl_s, by_user))
        except StorageUnavailable:
            raise _unavailable() from None
        except (NotStored, Unstorable):
            raise ToolError("tool_failed", f"{name} cannot be stored.") from None
        if not ok:
            raise no_room()

    async def amend(self, name: str, value: Any, seen: float, ttl_s: float | None = None) -> bool:
        """Replace a value that was last written at `seen` (Unix seconds); if `ttl_s` is None its expiry stays.

        Return False if it was written or deleted since. Raises `ToolError`, as `remember` does.
        """
        clean, now = await self._clean(name, value, TTL_S if ttl_s is None else ttl_s), self.clock()
        until = None if ttl_s is None else now + ttl_s
        try:
            return bool(await self.store.commit(amend(self.owner, self.notebook, name, clean, seen, now, until)))
        except StorageUnavailable:
            raise _unavailable() from None
        except Unstorable:
            raise ToolError("tool_failed", f"{name} cannot be stored.") from None

    async def _clean(self, name: str, value: Any, ttl_s: float) -> Any:
        """Return a value with its secrets redacted. Raises `ToolError` if it must not be stored."""
        plain = checked(name, value, ttl_s)
        clean = await self.content_filter.filter_value([name, plain], self.content_filter.tool)
        if clean.blocked or clean.value[0] != name:  # a secret as a name cannot be redacted: no value has that name
            blocked = self.content_filter.blocked_error("That is not remembered", clean.texts)
            raise ToolError("content_blocked", blocked.message)
        return checked(name, clean.value[1], ttl_s)  # the placeholder of a secret may be longer than the secret

    async def recall(self, name: str) -> Any:
        """Return the remembered value, or None; `understudy.tools.memory.Memory.recall` lists the errors."""
        check_name(name)
        return next((entry.value for entry in await self._all() if entry.name == name), None)

    async def forget(self, name: str, seen: float | None = None) -> bool:
        """Remove a value; with `seen`, only if it was last written then. Return whether it was removed.

        `understudy.tools.memory.Memory.forget` lists the errors.
        """
        check_name(name)
        try:
            return bool(await self.store.commit(forget(self.owner, self.notebook, name, self.clock(), seen)))
        except StorageUnavailable:
            raise _unavailable() from None

    async def search(self, query: str, limit: int = FOUND) -> list[MemoryEntry]:
        """Return the values that match a query, best first; see `understudy.tools.memory.Memory.search`."""
        return ranked(await self.entries(), query)[: max(0, limit)]

    async def entries(self) -> list[MemoryEntry]:
        """Return all unexpired values, the latest first. Raises `ToolError` ``storage_unavailable``."""
        return _entries(await self._all())

    async def for_model(self, request: str = "", *, searchable: bool = False) -> str:
        """Return the memory for a model's input, fenced; empty if nothing is remembered.

        If not all values fit, those that match the `request` best come first. `searchable`: the model has the tool
        `search_memory`, and is told to use it for the values left out.

        The values are read again if any was written since, or they were read more than `FRESH_S` ago. While the
        database is unavailable they come from the cache; if the cache has none, the memory is left out.
        """
        try:
            entries = await self._all(FRESH_S)
        except ToolError:
            return ""
        return describe_for_model(_entries(entries), request, searchable=searchable)

    async def _all(self, fresh_s: float = 0.0) -> Sequence[Remembered]:
        now = self.clock()
        try:
            read = await self.reads.read(
                self.owner,
                ("remembered", self.notebook),
                list[Remembered],
                lambda: self.store.read(remembered, self.owner, self.notebook, now),
                fresh_s,
            )
        except StorageUnavailable:
            raise _unavailable() from None
        return [entry for entry in read.value if entry.expires_at > now]


def _entries(rows: Sequence[Remembered]) -> list[MemoryEntry]:
    return [MemoryEntry(**asdict(entry, recurse=False)) for entry in rows]


def describe_for_model(entries: Sequence[MemoryEntry], request: str = "", *, searchable: bool = False) -> str:
    """Describe the remembered values for a model, latest first, in a fence that no value can close.

    If they exceed FOR_MODEL_BYTES, values with words of the request come first, and the text says how many are left
    out.
    """
    shown: dict[str, Any] = {}
    bytes_left = FOR_MODEL_BYTES
    ordered = list(entries)
    if sum(map(_size, ordered)) > bytes_left:
        rank = {entry.name: index for index, entry in enumerate([*ranked(ordered, request), *ordered][::-1])}
        ordered.sort(key=lambda entry: -rank[entry.name])
    for entry in ordered:
        if (size := _size(entry)) <= bytes_left:
            bytes_left -= size
            shown[entry.name] = entry.value
    if not shown:
        return ""
    left_out = len(entries) - len(shown)
    note = f" {left_out} values are left out{'; search_memory finds them' if searchable else ''}." if left_out else ""
    return f"Remembered of this user from earlier conversations:{note}\n{fenced(shown)}"


def _size(entry: MemoryEntry) -> int:
    return len(msgspec.json.encode({entry.name: entry.value}))


@frozen
class AgentMemories(Memories):
    """Opens the memory of a user in a notebook. `clock` returns Unix seconds."""

    store: Store
    reads: CachedReads
    content_filter: ContentFilter
    clock: Callable[[], float]

    def of(self, owner: str, notebook: str) -> AgentMemory:
        """Return the memory about a user in a notebook."""
        return AgentMemory(owner, notebook, self.store, self.reads, self.content_filter, self.clock)


def _unavailable() -> ToolError:
    return ToolError("storage_unavailable", "What is remembered cannot be reached right now; try again in a moment.")


def memory_expiry(store: Store, clock: Callable[[], float]) -> Expiry:
    """Return the actor that removes expired values."""
    return Expiry(store, lambda: forget_expired(clock()), every_s=EVERY_S)
