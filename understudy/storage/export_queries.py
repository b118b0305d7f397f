"""All that is stored of users, page by page, for whoever takes it out whole: an export, an erasure, a list of users.

It reads in a thread of its own: whoever chats does not wait for it.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from attrs import field, frozen
from sqlalchemy import Connection, Text, cast, func, select, tuple_

from . import queries, retention_queries, schema
from .database import ReadableDatabase
from .read_pool import ReadPool
from .retention_queries import ExpiredData, Place
from .rows import File, Json, LoggedEvent, Message, Page, RunRecord, StepRecord, Thread

_u = schema.users.c
_t = schema.threads.c
_s = schema.steps.c
_f = schema.files.c
_c = schema.contexts.c

T = TypeVar("T")
PAGE: Final = 200
"""Rows that are read at a time."""
READ_S: Final = 10.0
"""Longest time that a page may take, with the pages of others that are before it."""


@frozen
class User:
    """Somebody of whom something is stored: `threads` of them, the latest touched at `updated_at`, None for none."""

    id: str
    tenant: str | None
    created_at: float
    threads: int = 0
    updated_at: float | None = None


@frozen
class StoredMemory:
    """What an agent remembers of a user."""

    agent: str
    name: str
    value: Json = field(repr=False)
    updated_at: float
    expires_at: float


class Archive:
    """Reads all that users have, in the order of its names: what is added meanwhile may be among it, or not.

    Every method raises StorageUnavailable when the database cannot be read.
    """

    def __init__(self, database: ReadableDatabase) -> None:
        self._reader = ReadPool(database.reading, 1, READ_S)

    async def users(self, after: str = "", tenant: str | None = None) -> list[User]:
        """The next users after this name; those of a tenant alone, if one is named."""
        return await self._read(_users, after, tenant)

    async def user(self, owner: str) -> User | None:
        """The user of that name, if anything is stored of them."""
        return await self._read(_user, owner)

    async def threads(self, owner: str, after: str = "") -> list[Thread]:
        """The owner's next threads after this name."""
        return await self._read(_threads, owner, after)

    async def thread(self, owner: str, thread_id: str) -> Thread | None:
        """The thread of that name, if there is one."""
        return await self._read(queries.thread, owner, thread_id)

    async def messages(self, owner: str, thread_id: str, cursor: str | None = None) -> Page[Message]:
        """The thread's next messages, in the order they were stored."""
        return await self._read(queries.messages_forward, owner, thread_id, cursor, PAGE)

    async def runs_of(self, owner: str, message_ids: Sequence[str]) -> list[RunRecord]:
        """The runs that answered these messages, oldest first."""
        return await self._read(queries.runs_of, owner, tuple(message_ids))

    async def run(self, run_id: str) -> RunRecord | None:
        """The run of that id."""
        return await self._read(queries.run, run_id)

    async def steps(self, run_ids: Sequence[str]) -> dict[str, list[StepRecord]]:
        """The steps of the first of these runs, of one at least: as many as make a page."""
        return await self._read(_steps, tuple(run_ids))

    async def raw_texts(self, owner: str, message_ids: Sequence[str]) -> dict[str, bytes]:
        """Those of these messages that are kept as they were sent, sealed, by message id."""
        return await self._read(queries.raw_texts, owner, tuple(message_ids))

    async def events(self, owner: str, thread_id: str, after: int) -> list[LoggedEvent]:
        """The thread's next events after this number."""
        return await self._read(queries.events, owner, thread_id, after, 5 * PAGE)

    async def files(self, owner: str, after: str = "") -> list[File]:
        """The owner's next files after this id."""
        return await self._read(_files, owner, after)

    async def files_of(self, owner: str, ids: Sequence[str]) -> list[File]:
        """Those of the ids that are the owner's files."""
        return await self._read(queries.files, owner, tuple(ids))

    async def contexts(self, owner: str, after: tuple[str, str] = ("", "")) -> list[StoredMemory]:
        """What agents remember of the owner, after this agent and name; also what has expired and is still there."""
        return await self._read(_contexts, owner, after)

    async def old_threads(self, after: Place, threads_before: float, events_before: float) -> ExpiredData:
        """The next threads of all users after a place: which of them are too old, or have too old a log."""
        return await self._read(retention_queries.old_threads, after, threads_before, events_before)

    async def still_old(self, owner: str, thread_id: str, threads_before: float) -> bool:
        """Whether a thread is there, and was last touched before a time."""
        return await self._read(retention_queries.still_old, owner, thread_id, threads_before)

    async def old_files(self, after: Place, before: float) -> tuple[Place | None, list[Place]]:
        """The next files of all users after a place that are older than a time, and named by nothing."""
        return await self._read(retention_queries.old_files, after, before)

    async def known_files(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that are files of somebody."""
        return await self._read(retention_queries.known_files, tuple(ids))

    async def _read(self, query: Callable[..., T], *args: Any) -> T:
        return await self._reader.read(query, *args)


_THREADS = (
    select(func.count()).where(_t.owner == _u.id).scalar_subquery(),
    select(func.max(_t.updated_at)).where(_t.owner == _u.id).scalar_subquery(),
)


def _users(connection: Connection, after: str, tenant: str | None) -> list[User]:
    wanted = select(_u.id, _u.tenant, _u.created_at, *_THREADS).where(_u.id > after)
    if tenant is not None:
        wanted = wanted.where(_u.tenant == tenant)
    return [User(*row) for row in connection.execute(wanted.order_by(_u.id).limit(PAGE))]


def _user(connection: Connection, owner: str) -> User | None:
    row = connection.execute(select(_u.id, _u.tenant, _u.created_at, *_THREADS).where(_u.id == owner)).one_or_none()
    return None if row is None else User(*row)


def _threads(connection: Connection, owner: str, after: str) -> list[Thread]:
    wanted = select(*queries.THREAD).where(_t.owner == owner, _t.id > after)
    return [Thread(*row) for row in connection.execute(wanted.order_by(_t.id).limit(PAGE))]


def _steps(connection: Connection, run_ids: Sequence[str]) -> dict[str, list[StepRecord]]:
    size = func.sum(func.length(cast(_s.arguments, Text)) + func.length(cast(_s.result, Text)))
    sizes: dict[str, int] = dict(
        connection.execute(select(_s.run_id, size).where(_s.run_id.in_(run_ids)).group_by(_s.run_id)).all()
    )
    found: dict[str, list[StepRecord]] = {}
    room = queries.PAGE_BYTES
    for run_id in run_ids:
        room -= sizes.get(run_id, 0)
        if room < 0 and found:
            break
        found[run_id] = []
    wanted = select(*_s).where(_s.run_id.in_([run_id for run_id in found if run_id in sizes]))
    for row in connection.execute(wanted.order_by(_s.run_id, _s.number)):
        found[row.run_id].append(StepRecord(*row))
    return found


def _files(connection: Connection, owner: str, after: str) -> list[File]:
    wanted = select(*_f).where(_f.owner == owner, _f.id > after)
    return [File(*row) for row in connection.execute(wanted.order_by(_f.id).limit(PAGE))]


def _contexts(connection: Connection, owner: str, after: tuple[str, str]) -> list[StoredMemory]:
    wanted = select(_c.agent, _c.name, _c.value, _c.updated_at, _c.expires_at).where(_c.owner == owner)
    wanted = wanted.where(tuple_(_c.agent, _c.name) > tuple_(*after)).order_by(_c.agent, _c.name)
    return [StoredMemory(*row) for row in connection.execute(wanted.limit(PAGE))]
