"""Queries over all stored data, page by page: for exports, erasure, retention and lists of users.

A page starts after the last key of the previous page, so rows that are added meanwhile may be included or not.
"""

from collections.abc import Sequence
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Connection, Text, cast, func, or_, select, tuple_

from understudy.extension import UserData
from understudy.storage import queries, schema
from understudy.storage.deletion import kept_of_threads
from understudy.storage.records import StepRecord, Thread
from understudy.storage.thread_writes import has_open_run

_u = schema.users.c
_t = schema.threads.c
_m = schema.messages.c
_r = schema.runs.c
_s = schema.steps.c
_e = schema.events.c

PAGE: Final = 200
"""Limit of rows per page."""
THREADS: Final = 500
"""Limit of threads that one transaction examines, in about ten milliseconds."""

Key = tuple[str, str]
"""An owner and the id of a thread."""


@frozen
class User:
    """A user with stored data: the number of `threads`, and when the latest of them was updated, None without any."""

    id: str
    tenant: str | None
    created_at: float
    threads: int = 0
    updated_at: float | None = None


@frozen
class ExpiredData:
    """The expired data of a page of threads: `expired` threads to delete; `trims`, logs to trim, each as owner, thread
    id, first number and the number to trim before. `last` is the last thread of the page, None on the last page."""

    last: Key | None
    expired: tuple[Key, ...]
    trims: tuple[tuple[str, str, int, int], ...]


_THREADS = (
    select(func.count()).where(_t.owner == _u.id).scalar_subquery(),
    select(func.max(_t.updated_at)).where(_t.owner == _u.id).scalar_subquery(),
)


def users(connection: Connection, after: str, tenant: str | None) -> list[User]:
    """Return the next users after this id, of all tenants or of one."""
    query = select(_u.id, _u.tenant, _u.created_at, *_THREADS).where(_u.id > after)
    if tenant is not None:
        query = query.where(_u.tenant == tenant)
    return [User(*row) for row in connection.execute(query.order_by(_u.id).limit(PAGE))]


def user(connection: Connection, owner: str) -> User | None:
    """Return a user, or None if nothing is stored of them."""
    row = connection.execute(select(_u.id, _u.tenant, _u.created_at, *_THREADS).where(_u.id == owner)).one_or_none()
    return None if row is None else User(*row)


def threads(connection: Connection, owner: str, after: str) -> list[Thread]:
    """Return the owner's next threads after this id."""
    query = select(*queries.THREAD).where(_t.owner == owner, _t.id > after)
    return [Thread(*row) for row in connection.execute(query.order_by(_t.id).limit(PAGE))]


def steps(connection: Connection, run_ids: Sequence[str]) -> dict[str, list[StepRecord]]:
    """Return by run id the steps of as many of these runs as fit into a page, in order; at least those of one run."""
    size = func.sum(func.length(cast(_s.arguments, Text)) + func.length(cast(_s.result, Text)))
    sizes: dict[str, int] = dict(
        connection.execute(select(_s.run_id, size).where(_s.run_id.in_(run_ids)).group_by(_s.run_id)).all()
    )
    by_run: dict[str, list[StepRecord]] = {}
    room = queries.PAGE_BYTES
    for run_id in run_ids:
        room -= sizes.get(run_id, 0)
        if room < 0 and by_run:
            break
        by_run[run_id] = []
    query = select(*_s).where(_s.run_id.in_([run_id for run_id in by_run if run_id in sizes]))
    for row in connection.execute(query.order_by(_s.run_id, _s.number)):
        by_run[row.run_id].append(StepRecord(*row))
    return by_run


def key_of(kept: UserData, row: Any) -> tuple[Any, ...]:
    """Return the primary key of a row of an extension."""
    return tuple(row._mapping[column] for column in kept.table.primary_key)


def rows(
    connection: Connection, kept: UserData, owner: str, thread_id: str | None = None, after: tuple[Any, ...] = ()
) -> Sequence[Any]:
    """Return the next rows of a user, or of one thread, in a table of an extension, after the primary key `after`."""
    query, key = select(kept.table).where(kept.table.c.owner == owner), list(kept.table.primary_key)
    if thread_id is not None:
        query = query.where(kept.table.c.thread_id == thread_id)
    if after:
        query = query.where(tuple_(*key) > tuple_(*after))
    return connection.execute(query.order_by(*key).limit(kept.together)).all()


def rows_of_thread(connection: Connection, owner: str, thread_id: str) -> dict[str, Sequence[Any]]:
    """Return the first page of a thread's rows in each table of an extension, by the table's name in an export."""
    return {kept.name: rows(connection, kept, owner, thread_id) for kept in kept_of_threads()}


def named(connection: Connection, kept: UserData, owner: str, ids: Sequence[str]) -> Sequence[Any]:
    """Return the rows of a user that have one of these ids."""
    mine = select(kept.table).where(kept.table.c.owner == owner, kept.table.c.id.in_(ids))
    return connection.execute(mine.order_by(kept.table.c.id)).all()


def old_threads(connection: Connection, after: Key, threads_before: float, events_before: float) -> ExpiredData:
    """Find the expired data of the next threads of all users.

    Threads expire that were last updated before `threads_before` and have no unfinished run. Of the others the log is
    to be trimmed if it starts with events of runs that ended before `events_before`.
    """
    key = tuple_(_t.owner, _t.id)
    query = select(_t.owner, _t.id, _t.updated_at, _t.created_at).where(key > tuple_(*after))
    rows = connection.execute(query.order_by(_t.owner, _t.id).limit(THREADS)).all()
    expired = [
        (row.owner, row.id)
        for row in rows
        if row.updated_at < threads_before and not has_open_run(connection, row.owner, row.id)
    ]
    trims = []
    for row in rows:
        if row.created_at < events_before and (row.owner, row.id) not in expired:
            first, before = _trimmed(connection, row.owner, row.id, events_before)
            if first is not None and first < before:
                trims.append((row.owner, row.id, first, before))
    return ExpiredData((rows[-1].owner, rows[-1].id) if len(rows) == THREADS else None, tuple(expired), tuple(trims))


def old_threads_like(connection: Connection, prefix: str, before: float) -> list[Key]:
    """Return some threads whose ids have a prefix, that were last updated before a time, and have no unfinished run."""
    query = select(_t.owner, _t.id).where(_t.id.startswith(prefix, autoescape=True), _t.updated_at < before)
    rows = connection.execute(query.limit(THREADS)).all()
    return [(row.owner, row.id) for row in rows if not has_open_run(connection, row.owner, row.id)]


def _trimmed(connection: Connection, owner: str, thread_id: str, before: float) -> tuple[int | None, int]:
    """Return the number of a log's first event, None if it is empty, and that of the first event that must be kept."""
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
