"""A cache that answers reads, marked as stale, while the database is down.

1. Every read goes to the database first, so an answer of the database is never stale; but one that is given `fresh_s`.
2. Its answer is cached, and served while the database cannot be read: for at most `TTL_S`, and only to the owner it was
   read for.
3. A write that deletes or changes rows drops all cached answers of their owner before it is acknowledged, and answers
   that were being read meanwhile are not cached. Appended events and messages drop nothing: the old answer is still a
   true, older state.

Nodes that share a Redis share the cache, under a hash of the owner; a single node has one in memory. While Redis is
down nothing is cached.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

import msgspec
import trio
from attrs import define, field, frozen

from . import queries, turns
from .deletion import remove_user_rows
from .errors import StorageUnavailable
from .queries import Which
from .records import EventPage, Page, Thread, ThreadPage
from .store import Store
from .thread_writes import delete_thread, give_feedback, mark_thread, rename_thread, tag_thread, trim_log
from .turns import TurnsPage
from .write import Call, Write

T = TypeVar("T")
Question: TypeAlias = tuple[Hashable, ...]
"""What is read, with its arguments."""

TTL_S: Final = 3600.0
"""Time to live of an answer: longer than an outage of the database should last."""
VALUE_BYTES: Final = 256 * 1024
"""Larger answers are not cached; a full page of ordinary messages has a fifth of that."""
PER_OWNER: Final = 64
"""Limit of cached answers per owner; one more drops all others of that owner."""
SHELF_BYTES: Final = 32 * 1024 * 1024
SHELF_ENTRIES: Final = 10_000
CHANGES: Final = (
    rename_thread, mark_thread, tag_thread, delete_thread, trim_log, give_feedback, remove_user_rows
)  # fmt: skip
"""Writes that may change any answer to their `owner`."""
RACE_S: Final = 15.0
"""How long a drop is remembered, to reject answers that were read before it: longer than any read lasts."""


@frozen
class CachedRead(Generic[T]):
    """The result of a read. `age_s` is None if it is from the database, else the age of the cached answer."""

    value: T
    age_s: float | None = None

    @property
    def stale(self) -> bool:
        """Whether the value is from the cache."""
        return self.age_s is not None


class CacheBackend(Protocol):
    """Stores answers by owner and question. Its methods do not raise: a cache that is down is empty."""

    async def get(self, owner: str, question: str) -> bytes | None:
        """Return the cached answer, or None."""

    def put(self, owner: str, question: str, value: bytes, began: float) -> None:
        """Cache an answer, maybe a little later; `began` is when its read started, on trio's clock."""

    async def drop(self, owner: str, question: str | None = None) -> None:
        """Drop the answers of an owner, or to one question, and reject those whose read has started already."""


@define
class LocalCache:
    """A cache in memory, bounded in bytes and entries; the oldest entries are evicted first."""

    room_bytes: int = SHELF_BYTES
    room_entries: int = SHELF_ENTRIES
    held_bytes: int = field(default=0, init=False)
    _kept: OrderedDict[tuple[str, str], bytes] = field(factory=OrderedDict, init=False, repr=False)
    _of: dict[str, set[str]] = field(factory=dict, init=False, repr=False)
    _dropped: OrderedDict[str, float] = field(factory=OrderedDict, init=False, repr=False)

    async def get(self, owner: str, question: str) -> bytes | None:
        """As `CacheBackend.get`."""
        return self._kept.get((owner, question))

    def put(self, owner: str, question: str, value: bytes, began: float) -> None:
        """As `CacheBackend.put`."""
        self._forget_drops()
        if began <= self._dropped.get(owner, -1.0):
            return
        self._remove(owner, question)
        if len(self._of.get(owner, ())) >= PER_OWNER:
            self._clear(owner)
        self._kept[owner, question] = value
        self._of.setdefault(owner, set()).add(question)
        self.held_bytes += len(value)
        while self.held_bytes > self.room_bytes or len(self._kept) > self.room_entries:
            self._remove(*next(iter(self._kept)))

    async def drop(self, owner: str, question: str | None = None) -> None:
        """As `CacheBackend.drop`."""
        self._forget_drops()
        self._dropped.pop(owner, None)
        self._dropped[owner] = trio.current_time()
        if question is None:
            self._clear(owner)
        else:
            self._remove(owner, question)

    def __len__(self) -> int:
        return len(self._kept)

    def _clear(self, owner: str) -> None:
        for question in list(self._of.get(owner, ())):
            self._remove(owner, question)

    def _remove(self, owner: str, question: str) -> None:
        value = self._kept.pop((owner, question), None)
        if value is not None:
            self.held_bytes -= len(value)
            self._of[owner].discard(question)
            if not self._of[owner]:
                del self._of[owner]

    def _forget_drops(self) -> None:
        past = trio.current_time() - RACE_S
        while self._dropped and next(iter(self._dropped.values())) < past:
            self._dropped.popitem(last=False)


async def drop_changed_answers(shelf: CacheBackend, work: Write) -> None:
    """Drop the answers that a write may have changed; appended rows drop nothing."""
    if isinstance(work, Call) and work.made_by in CHANGES:
        await shelf.drop(work.given["owner"])


class CacheMetrics(Protocol):
    """Counts reads."""

    def cache_read(self, outcome: str) -> None:
        """Count a read, answered by the `database`, by the cache (`stale`), or not at all (`missed`)."""


@define
class CachedReads:
    """Cached reads of threads, messages, events, and of what extensions store.

    `clock` gives Unix seconds; the clocks of nodes that share a cache should roughly agree.
    """

    store: Store
    backend: CacheBackend
    clock: Callable[[], float]
    metrics: CacheMetrics | None = None
    changed_by: dict[Callable[..., Write], Callable[[Mapping[str, Any]], Question | None]] = field(
        factory=dict, init=False
    )
    """Writes of extensions that change answers to their `owner`: each with a function of its arguments that returns the
    question whose answer it changes, None for all."""

    async def thread(self, owner: str, thread_id: str) -> CachedRead[Thread | None]:
        """As `Store.thread`. Like all of these it raises as the store does if the cache has no answer."""
        return await self.read(owner, ("thread", thread_id), Thread | None, lambda: self.store.thread(owner, thread_id))

    async def threads(
        self,
        owner: str,
        query: str,
        cursor: str | None,
        limit: int,
        which: Which = "active",
        tags: Sequence[str] = (),
    ) -> CachedRead[Page[Thread]]:
        """As `Store.threads`; results of a search, and of a filter by tags, are not cached."""
        if query.strip() or tags:
            return CachedRead(await self.store.threads(owner, query, cursor, limit, which, tags))
        key = ("threads", which, cursor, limit)
        return await self.read(owner, key, Page[Thread], lambda: self.store.threads(owner, query, cursor, limit, which))

    async def messages(
        self, owner: str, thread_id: str, cursor: str | None, limit: int
    ) -> CachedRead[ThreadPage | None]:
        """As `queries.thread_page`."""
        key = ("messages", thread_id, cursor, limit)
        return await self.read(
            owner, key, ThreadPage | None, lambda: self.store.read(queries.thread_page, owner, thread_id, cursor, limit)
        )

    async def turns_page(
        self, owner: str, thread_id: str, before: str | None, through: str | None, limit: int
    ) -> CachedRead[TurnsPage | None]:
        """As `turns.turns_page`."""
        key = ("turns", thread_id, before, through, limit)
        return await self.read(
            owner,
            key,
            TurnsPage | None,
            lambda: self.store.read(turns.turns_page, owner, thread_id, before, through, limit),
        )

    async def events(self, owner: str, thread_id: str, after: int, limit: int) -> CachedRead[EventPage | None]:
        """As `queries.event_page`."""
        key = ("events", thread_id, after, limit)
        return await self.read(
            owner, key, EventPage | None, lambda: self.store.read(queries.event_page, owner, thread_id, after, limit)
        )

    async def invalidate(self, work: Write) -> None:
        """Drop the answers that a write has changed, or may have changed."""
        if isinstance(work, Call) and (question_of := self.changed_by.get(work.made_by)) is not None:
            question = question_of(work.given)
            await self.backend.drop(work.given["owner"], None if question is None else _named(*question))
        else:
            await drop_changed_answers(self.backend, work)

    async def read(
        self, owner: str, question: Question, kind: Any, read: Callable[[], Awaitable[T]], fresh_s: float = 0.0
    ) -> CachedRead[T]:
        """Read an answer of type `kind` by `read`, or return the cached one if it is younger than `fresh_s`.

        While the database is away the cached one is returned, or the error raised if there is none.
        """
        began, name = trio.current_time(), _named(*question)
        cached = await self._kept(owner, name, kind) if fresh_s else None
        if cached is not None and (cached.age_s or 0.0) < fresh_s:
            return cached
        try:
            value = await read()
        except StorageUnavailable:
            cached = await self._kept(owner, name, kind)
            self._count("missed" if cached is None else "stale")
            if cached is None:
                raise
            return cached
        self._put(owner, name, value, began)
        return CachedRead(value)

    def _put(self, owner: str, name: str, value: object, began: float) -> None:
        """Cache an answer of the database to a read that began then."""
        self._count("database")
        entry = msgspec.msgpack.encode((owner, name, self.clock(), value))
        if len(entry) <= VALUE_BYTES:
            self.backend.put(owner, name, entry, began)

    async def _kept(self, owner: str, name: str, kind: Any) -> CachedRead[Any] | None:
        """Return a cached answer. Its owner is checked again, so that no fault of a backend crosses users."""
        entry = await self.backend.get(owner, name)
        if entry is None:
            return None
        try:
            whose, key, at, value = msgspec.msgpack.decode(entry, type=tuple[str, str, float, kind])
        except (msgspec.DecodeError, UnicodeDecodeError):  # of another version, or damaged
            return None
        age_s = max(0.0, self.clock() - at)
        if (whose, key) != (owner, name) or age_s > TTL_S:
            return None
        return CachedRead(value, age_s)

    def _count(self, outcome: str) -> None:
        if self.metrics is not None:
            self.metrics.cache_read(outcome)


def _named(*question: Hashable) -> str:
    """Return the key of a question."""
    return repr(question)
