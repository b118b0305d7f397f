"""The memory of agents about a user: filtered before it is stored, and given to a model as data.

Reads go to the database first; the cache answers runs for some seconds, and all while the database is away.
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
"""Bytes of JSON of the memory in a model's input; other values are left out."""
FRESH_S: Final = 30.0
"""For so long a run takes what its agent remembers from the cache, which all writes drop but those of the command line,
which erases users, and of a node that has lost Redis."""
EVERY_S: Final = 60.0
"""Interval of removing expired memories."""


@define
class AgentMemory:
    """What is remembered of one user in one notebook. `clock` gives Unix seconds."""

    owner: str
    notebook: str
    store: Store
    reads: CachedReads
    content_filter: ContentFilter
    clock: Callable[[], float]

    async def remember(self, name: str, value: Any, ttl_s: float = TTL_S, *, by_user: bool = False) -> None:
        """Store a filtered value for `ttl_s` seconds; `understudy.tools.memory.Memory.remember` lists the errors.

        `by_user`: as `remember` of the store.
        """
        clean = await self._clean(name, value, ttl_s)
        now = self.clock()
        try:
            kept = await self.store.commit(remember(self.owner, self.notebook, name, clean, now, now + ttl_s, by_user))
        except StorageUnavailable:
            raise _unavailable() from None
        except (NotStored, Unstorable):
            raise ToolError("tool_failed", f"{name} cannot be stored.") from None
        if not kept:
            raise no_room()

    async def amend(self, name: str, value: Any, seen: float, ttl_s: float | None = None) -> bool:
        """Replace a value that was last written at `seen`; a `ttl_s` of None leaves its time of expiry.

        Return False if it was written or deleted since. Raises as `remember`.
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
        """Return a value as it may be stored."""
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
        """Remove a value, if `seen` is not None only one that was last written then. Return False if there is none.

        `understudy.tools.memory.Memory.forget` lists the errors.
        """
        check_name(name)
        try:
            return bool(await self.store.commit(forget(self.owner, self.notebook, name, self.clock(), seen)))
        except StorageUnavailable:
            raise _unavailable() from None

    async def search(self, query: str, limit: int = FOUND) -> list[MemoryEntry]:
        """Return the values that fit a query, see `understudy.tools.memory.Memory.search`."""
        return ranked(await self.entries(), query)[: max(0, limit)]

    async def entries(self) -> list[MemoryEntry]:
        """Return all unexpired values, the latest first. Raises `ToolError` ``storage_unavailable``."""
        return _entries(await self._all())

    async def for_model(self, request: str = "", *, searchable: bool = False) -> str:
        """Return the memory for a model's input, fenced; empty if nothing is remembered.

        If not all fits, what fits the `request` best comes first. `searchable`: the model has the tool
        `search_memory`, and is told to use it for the rest.

        It is read again if anything was written since, or it was read more than `FRESH_S` ago. While the database is
        away it comes from the cache; if the cache has none, it is left out.
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


def _entries(found: Sequence[Remembered]) -> list[MemoryEntry]:
    return [MemoryEntry(**asdict(entry, recurse=False)) for entry in found]


def describe_for_model(known: Sequence[MemoryEntry], request: str = "", *, searchable: bool = False) -> str:
    """Describe the remembered values for a model, in a fence that they cannot end: the latest first.

    If they exceed FOR_MODEL_BYTES, those that have words of the request come before the latest, and the number of
    those left out is told.
    """
    shown: dict[str, Any] = {}
    room = FOR_MODEL_BYTES
    latest = list(known)
    if sum(map(_size, latest)) > room:
        order = {entry.name: place for place, entry in enumerate([*ranked(latest, request), *latest][::-1])}
        latest.sort(key=lambda entry: -order[entry.name])
    for entry in latest:
        if (size := _size(entry)) <= room:
            room -= size
            shown[entry.name] = entry.value
    if not shown:
        return ""
    left_out = len(known) - len(shown)
    more = f" {left_out} values are left out{'; search_memory finds them' if searchable else ''}." if left_out else ""
    return f"Remembered of this user from earlier conversations:{more}\n{fenced(shown)}"


def _size(entry: MemoryEntry) -> int:
    return len(msgspec.json.encode({entry.name: entry.value}))


@frozen
class AgentMemories(Memories):
    """The memories of agents. `clock` gives Unix seconds."""

    store: Store
    reads: CachedReads
    content_filter: ContentFilter
    clock: Callable[[], float]

    def of(self, owner: str, notebook: str) -> AgentMemory:
        """Return what is remembered of a user in a notebook."""
        return AgentMemory(owner, notebook, self.store, self.reads, self.content_filter, self.clock)


def _unavailable() -> ToolError:
    return ToolError("storage_unavailable", "What is remembered cannot be reached right now; try again in a moment.")


def memory_expiry(store: Store, clock: Callable[[], float]) -> Expiry:
    """Return the actor that removes expired values."""
    return Expiry(store, lambda: forget_expired(clock()), every_s=EVERY_S)
