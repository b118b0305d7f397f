"""A read-through cache, so that reading goes on while the database is away.

1. The database is asked first, always: what it answers is never older than it is.
2. What it answered is kept, and given, marked as stale, while it cannot be asked: no longer than `TTL_S`, and only to
   the owner it was read for.
3. What is deleted or changed is dropped, with all else of its owner, before whoever did it is told that it is done.
   What was being read meanwhile is not kept. What has only grown stays: it is true still, and marked.

Where the nodes share a Redis it holds what all of them have read, under a hash of the owner; a node alone has a shelf
of its own. While Redis is away nothing is kept.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec
import trio
from attrs import define, field, frozen

from .agent_memory import Forget, Remember, Remembered
from .deletion import RemoveUser
from .errors import StorageUnavailable
from .rows import EventPage, Page, Thread, ThreadPage
from .store import Store
from .writes import DeleteThread, GiveFeedback, RenameThread, TrimLog, Write

T = TypeVar("T")

TTL_S: Final = 3600.0
"""How long what was read may be given while the database is away: longer than anybody leaves it away."""
VALUE_BYTES: Final = 256 * 1024
"""An answer that is larger is not kept: a full page of ordinary messages has a fifth of that."""
PER_OWNER: Final = 64
"""Answers kept for one owner; one more, and the others begin anew."""
SHELF_BYTES: Final = 32 * 1024 * 1024
SHELF_ENTRIES: Final = 10_000
RACE_S: Final = 15.0
"""How long it is remembered when an owner's answers were dropped: longer than any read lasts."""


@frozen
class CachedRead(Generic[T]):
    """What was read. `age_s` is None when the database said so now, else how long ago it did."""

    value: T
    age_s: float | None = None

    @property
    def stale(self) -> bool:
        """Whether the database was not asked."""
        return self.age_s is not None


class CacheBackend(Protocol):
    """Where answers are kept, by owner and question. None of it raises: a cache that is away is empty."""

    async def get(self, owner: str, question: str) -> bytes | None:
        """What was put there last, if it is still there."""

    def put(self, owner: str, question: str, value: bytes, began: float) -> None:
        """Keep an answer; `began` is when it was asked for, on trio's clock. It may take effect a little later."""

    async def drop(self, owner: str, question: str | None = None) -> None:
        """Let nobody have what was put there for an owner, or for this question, nor what was being read for them."""


@define
class LocalCache:
    """A shelf in the memory of this process, bounded in bytes and entries; the oldest go first."""

    room_bytes: int = SHELF_BYTES
    room_entries: int = SHELF_ENTRIES
    held_bytes: int = field(default=0, init=False)
    _kept: OrderedDict[tuple[str, str], bytes] = field(factory=OrderedDict, init=False, repr=False)
    _of: dict[str, set[str]] = field(factory=dict, init=False, repr=False)
    _dropped: OrderedDict[str, float] = field(factory=OrderedDict, init=False, repr=False)

    async def get(self, owner: str, question: str) -> bytes | None:
        """As `Shelf.get`."""
        return self._kept.get((owner, question))

    def put(self, owner: str, question: str, value: bytes, began: float) -> None:
        """As `Shelf.put`."""
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
        """As `Shelf.drop`."""
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
    """Let nobody have from a shelf what a piece of work has changed, or may have; nothing for what has only grown."""
    match work:
        case Remember(owner=owner, agent=agent):
            await shelf.drop(owner, _named("remembered", agent))
        case RenameThread() | DeleteThread() | TrimLog() | GiveFeedback() | Forget() | RemoveUser():
            await shelf.drop(work.owner)


class CacheMetrics(Protocol):
    """Who counts the reads."""

    def cache_read(self, outcome: str) -> None:
        """A read was answered by the `database`, by the cache (`stale`), or by nobody (`missed`)."""


@define
class CachedReads:
    """What is read for people: threads, messages, events, and what agents remember.

    `clock` gives Unix seconds: nodes that share a shelf agree on them, about.
    """

    store: Store
    backend: CacheBackend
    clock: Callable[[], float]
    metrics: CacheMetrics | None = None

    async def thread(self, owner: str, thread_id: str) -> CachedRead[Thread | None]:
        """As `Store.thread`. Like all of these it raises what the store does, where the cache has no answer."""
        return await self._read(
            owner, ("thread", thread_id), Thread | None, lambda: self.store.thread(owner, thread_id)
        )

    async def threads(self, owner: str, query: str, cursor: str | None, limit: int) -> CachedRead[Page[Thread]]:
        """As `Store.threads`; what a search finds is not kept."""
        if query.strip():
            return CachedRead(await self.store.threads(owner, query, cursor, limit))
        asked = ("threads", cursor, limit)
        return await self._read(owner, asked, Page[Thread], lambda: self.store.threads(owner, query, cursor, limit))

    async def messages(
        self, owner: str, thread_id: str, cursor: str | None, limit: int
    ) -> CachedRead[ThreadPage | None]:
        """As `Store.thread_page`; None when there is no such thread."""
        asked = ("messages", thread_id, cursor, limit)
        return await self._read(
            owner, asked, ThreadPage | None, lambda: self.store.thread_page(owner, thread_id, cursor, limit)
        )

    async def events(self, owner: str, thread_id: str, after: int, limit: int) -> CachedRead[EventPage | None]:
        """As `Store.event_page`; None when there is no such thread."""
        asked = ("events", thread_id, after, limit)
        return await self._read(
            owner, asked, EventPage | None, lambda: self.store.event_page(owner, thread_id, after, limit)
        )

    async def remembered(self, owner: str, agent: str, now: float) -> CachedRead[list[Remembered]]:
        """As `Store.remembered`; from the cache it may have what has expired since."""
        return await self._read(
            owner, ("remembered", agent), list[Remembered], lambda: self.store.remembered(owner, agent, now)
        )

    async def invalidate(self, work: Write) -> None:
        """Something was stored, or may have been: what it changes is not to be had here any more."""
        await drop_changed_answers(self.backend, work)

    async def _read(
        self, owner: str, question: tuple[Hashable, ...], kind: Any, ask: Callable[[], Awaitable[T]]
    ) -> CachedRead[T]:
        began, name = trio.current_time(), _named(*question)
        try:
            value = await ask()
        except StorageUnavailable:
            kept = await self._kept(owner, name, kind)
            self._count("missed" if kept is None else "stale")
            if kept is None:
                raise
            return kept
        self._count("database")
        entry = msgspec.msgpack.encode((owner, name, self.clock(), value))
        if len(entry) <= VALUE_BYTES:
            self.backend.put(owner, name, entry, began)
        return CachedRead(value)

    async def _kept(self, owner: str, name: str, kind: Any) -> CachedRead[Any] | None:
        """What the shelf has; whose it is stands in it, so that no mistake of a shelf gives it to another."""
        entry = await self.backend.get(owner, name)
        if entry is None:
            return None
        try:
            whose, asked, at, value = msgspec.msgpack.decode(entry, type=tuple[str, str, float, kind])
        except (msgspec.DecodeError, UnicodeDecodeError):  # of another version, or not ours
            return None
        age_s = max(0.0, self.clock() - at)
        if (whose, asked) != (owner, name) or age_s > TTL_S:
            return None
        return CachedRead(value, age_s)

    def _count(self, outcome: str) -> None:
        if self.metrics is not None:
            self.metrics.cache_read(outcome)


def _named(*question: Hashable) -> str:
    """What a question is called on a shelf."""
    return repr(question)
