"""Queries over everything that is stored, page by page: for exports, erasure, retention and lists of users.

A page starts after the last key of the page before, so rows that are added meanwhile may be included or not.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from attrs import field, frozen
from sqlalchemy import Connection, Text, cast, exists, func, or_, select, tuple_

from . import queries, schema
from .database import ReadableDatabase
from .read_pool import ReadPool
from .records import File, Json, StepRecord, Thread

_u = schema.users.c
_t = schema.threads.c
_m = schema.messages.c
_r = schema.runs.c
_s = schema.steps.c
_e = schema.events.c
_f = schema.files.c
_c = schema.contexts.c

PAGE: Final = 200
"""Rows per page."""
READ_S: Final = 10.0
"""Timeout of a read, including the wait for earlier ones."""
THREADS: Final = 500
"""Threads examined per transaction, for about ten milliseconds."""
FILES: Final = 200
"""Files examined per transaction."""
LOOKED_FOR: Final = 20
"""Limit of file ids searched in texts at a time: each is a scan of its user's messages."""

Key = tuple[str, str]
"""An owner and the id of a thread or file."""
_ID: Final = re.compile(r"[0-9a-f]{32}")


@frozen
class User:
    """A user with stored data: the number of `threads`, and when the latest of them was updated, None without any."""

    id: str
    tenant: str | None
    created_at: float
    threads: int = 0
    updated_at: float | None = None


@frozen
class StoredMemory:
    """A value that an agent remembers about a user."""

    agent: str
    name: str
    value: Json = field(repr=False)
    updated_at: float
    expires_at: float


@frozen
class ExpiredData:
    """The result for a page of threads: threads to delete, and logs to trim, as owner, thread id, the first number of
    the log and the number to trim before. `last` is the last thread of the page, None on the last page."""

    last: Key | None
    expired: tuple[Key, ...]
    trims: tuple[tuple[str, str, int, int], ...]


class Archive(ReadPool):
    """Reads in a thread of its own, so that the reads of chats do not wait for an export."""

    def __init__(self, database: ReadableDatabase) -> None:
        super().__init__(database.reading, 1, READ_S)


_THREADS = (
    select(func.count()).where(_t.owner == _u.id).scalar_subquery(),
    select(func.max(_t.updated_at)).where(_t.owner == _u.id).scalar_subquery(),
)


def users(connection: Connection, after: str, tenant: str | None) -> list[User]:
    """Return the next users after this id, of all tenants or of one."""
    wanted = select(_u.id, _u.tenant, _u.created_at, *_THREADS).where(_u.id > after)
    if tenant is not None:
        wanted = wanted.where(_u.tenant == tenant)
    return [User(*row) for row in connection.execute(wanted.order_by(_u.id).limit(PAGE))]


def user(connection: Connection, owner: str) -> User | None:
    """Return a user, or None if nothing is stored of them."""
    row = connection.execute(select(_u.id, _u.tenant, _u.created_at, *_THREADS).where(_u.id == owner)).one_or_none()
    return None if row is None else User(*row)


def threads(connection: Connection, owner: str, after: str) -> list[Thread]:
    """Return the owner's next threads after this id."""
    wanted = select(*queries.THREAD).where(_t.owner == owner, _t.id > after)
    return [Thread(*row) for row in connection.execute(wanted.order_by(_t.id).limit(PAGE))]


def steps(connection: Connection, run_ids: Sequence[str]) -> dict[str, list[StepRecord]]:
    """Return the steps of the first of these runs that fit into a page, by run id; at least of one run."""
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


def files(connection: Connection, owner: str, after: str) -> list[File]:
    """Return the owner's next files after this id."""
    wanted = select(*_f).where(_f.owner == owner, _f.id > after)
    return [File(*row) for row in connection.execute(wanted.order_by(_f.id).limit(PAGE))]


def memories(connection: Connection, owner: str, after: tuple[str, str]) -> list[StoredMemory]:
    """Return what agents remember of the owner, after this agent and name, including expired values."""
    wanted = select(_c.agent, _c.name, _c.value, _c.updated_at, _c.expires_at).where(_c.owner == owner)
    wanted = wanted.where(tuple_(_c.agent, _c.name) > tuple_(*after)).order_by(_c.agent, _c.name)
    return [StoredMemory(*row) for row in connection.execute(wanted.limit(PAGE))]


def old_threads(connection: Connection, after: Key, threads_before: float, events_before: float) -> ExpiredData:
    """Find the expired data of the next threads of all users.

    Threads expire that were last updated before `threads_before` and have no unfinished run. Of the others the log is
    to be trimmed if it starts with events of runs that ended before `events_before`.
    """
    key = tuple_(_t.owner, _t.id)
    wanted = select(_t.owner, _t.id, _t.updated_at, _t.created_at).where(key > tuple_(*after))
    rows = connection.execute(wanted.order_by(_t.owner, _t.id).limit(THREADS)).all()
    expired = [
        (row.owner, row.id)
        for row in rows
        if row.updated_at < threads_before and not _has_open_run(connection, row.owner, row.id)
    ]
    trims = []
    for row in rows:
        if row.created_at < events_before and (row.owner, row.id) not in expired:
            first, before = _trimmed(connection, row.owner, row.id, events_before)
            if first is not None and first < before:
                trims.append((row.owner, row.id, first, before))
    return ExpiredData((rows[-1].owner, rows[-1].id) if len(rows) == THREADS else None, tuple(expired), tuple(trims))


def old_threads_like(connection: Connection, prefix: str, before: float) -> list[Key]:
    """Return some threads whose ids begin so, that were last updated before a time, and have no unfinished run."""
    wanted = select(_t.owner, _t.id).where(_t.id.startswith(prefix, autoescape=True), _t.updated_at < before)
    rows = connection.execute(wanted.limit(THREADS)).all()
    return [(row.owner, row.id) for row in rows if not _has_open_run(connection, row.owner, row.id)]


def still_old(connection: Connection, owner: str, thread_id: str, threads_before: float) -> bool:
    """Return whether a thread exists, was last updated before a time, and has no unfinished run."""
    row = connection.execute(select(_t.updated_at).where(_t.owner == owner, _t.id == thread_id)).one_or_none()
    return row is not None and row.updated_at < threads_before and not _has_open_run(connection, owner, thread_id)


def old_files(connection: Connection, after: Key, before: float) -> tuple[Key | None, list[Key]]:
    """Return the last of the next files that were uploaded before a time, and those of them that no stored text names.

    The first of the pair is None on the last page.
    """
    key = tuple_(_f.owner, _f.id)
    wanted = select(_f.owner, _f.id).where(key > tuple_(*after), _f.created_at < before)
    rows = [(owner, name) for owner, name in connection.execute(wanted.order_by(_f.owner, _f.id).limit(FILES))]
    of_owner: dict[str, list[str]] = {}
    for owner, name in rows:
        of_owner.setdefault(owner, []).append(name)
    orphans = [(owner, name) for owner, names in of_owner.items() for name in _unnamed(connection, owner, names)]
    return (rows[-1] if len(rows) == FILES else None), orphans


def known_files(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Return which of these ids are files of any owner."""
    return set(connection.execute(select(_f.id).where(_f.id.in_(ids))).scalars())


def _has_open_run(connection: Connection, owner: str, thread_id: str) -> bool:
    found = exists().where(_r.owner == owner, _r.thread_id == thread_id, _r.ended_at.is_(None))
    return bool(connection.execute(select(found)).scalar_one())


def _trimmed(connection: Connection, owner: str, thread_id: str, before: float) -> tuple[int | None, int]:
    """Return the first number of a log, None if it is empty, and the number from which it is needed."""
    of_thread = (_e.owner == owner, _e.thread_id == thread_id)
    first: int | None = connection.execute(select(func.min(_e.seq)).where(*of_thread)).scalar_one()
    if first is None:
        return None, 0
    # One index lookup per run: a join with the events would read every one of them.
    begun = select(func.min(_e.seq)).where(_e.run_id == _r.id).correlate(schema.runs).scalar_subquery()
    young = or_(_r.ended_at.is_(None), _r.ended_at >= before)
    needed = select(func.min(begun)).where(_r.owner == owner, _r.thread_id == thread_id, young)
    from_here: int | None = connection.execute(needed).scalar_one()
    if from_here is not None:
        return first, from_here
    last = select(_t.last_seq).where(_t.owner == owner, _t.id == thread_id)
    return first, connection.execute(last).scalar_one() + 1


def _unnamed(connection: Connection, owner: str, names: Sequence[str]) -> list[str]:
    """Return the owner's files that no message names, and no text of a message or result of a tool contains."""
    references = cast(_m.references, Text)
    named: set[str] = set()
    for (listed,) in connection.execute(select(references).where(_m.owner == owner, references != "[]")):
        named.update(_ID.findall(listed))
    made = cast(_m.files, Text)
    for (listed,) in connection.execute(select(made).where(_m.owner == owner, _m.files.is_not(None))):
        named.update(_ID.findall(listed))
    left = [name for name in names if name not in named][:LOOKED_FOR]
    of_owner = select(_s.run_id).join(schema.runs, _r.id == _s.run_id).where(_r.owner == owner)
    unnamed = []
    for name in left:
        texts: Any = (
            select(_m.number).where(_m.owner == owner, _m.content.contains(name, autoescape=True)),
            of_owner.where(cast(_s.result, Text).contains(name, autoescape=True)),
        )
        if all(connection.execute(text.limit(1)).first() is None for text in texts):
            unnamed.append(name)
    return unnamed
