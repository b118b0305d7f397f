"""Reads for operators, over all users or those of a tenant: users, open runs, searches by id or name, and spending.

None of them returns text of a user, or a secret.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Final

from attrs import field, frozen
from sqlalchemy import Connection, func, select, text

from understudy.storage import schema
from understudy.storage.queries import OPEN_RUN, Scope

_t = schema.threads.c
_r = schema.runs.c
_e = schema.events.c
_u = schema.users.c
_p = schema.spending.c
_s = schema.steps.c

FOUND: Final = 20
"""Limit of rows of each kind in the result of a search."""
FAILED_RUNS: Final = 2_000
"""Limit of failed runs that a search for an error id examines; the latest ones."""


@frozen
class UserRow:
    """A stored user: the number of threads, the time of their latest change, None without any, and the open runs."""

    id: str
    created_at: float
    threads: int
    updated_at: float | None
    open_runs: int


@frozen
class Figures:
    """The numbers of stored users and of open runs, and the bytes of the database, None for a tenant."""

    users: int
    open_runs: int
    database_bytes: int | None


@frozen
class OpenRunRow:
    """An unfinished run. `node` owns its thread, None on a single node; `tokens` and `cost` are spent so far;
    `last_body` is its latest logged event, `work_body` the latest of a type that is not set aside, `call` the tool of
    the latest call without a result, None if all have one."""

    run_id: str
    owner: str
    thread_id: str
    agent: str
    started_at: float
    attempts: int
    node: str | None
    tokens: int
    cost: float
    last_body: bytes | None = field(repr=False)
    work_body: bytes | None = field(repr=False)
    call: str | None


@frozen
class FoundRun:
    """A run in the result of a search."""

    run_id: str
    owner: str
    thread_id: str
    agent: str
    status: str
    started_at: float
    ended_at: float | None


@frozen
class Found:
    """The result of a search: users, threads as owner and id, and runs."""

    users: tuple[str, ...]
    threads: tuple[tuple[str, str], ...]
    runs: tuple[FoundRun, ...]


_NEWEST_FIRST = select(_e.body).where(_e.run_id == _r.id).order_by(_e.seq.desc())
_LAST_BODY = _NEWEST_FIRST.limit(1).scalar_subquery()
_TOKENS = select(func.coalesce(func.sum(_p.tokens), 0)).where(_p.run_id == _r.id).scalar_subquery().label("tokens")
_COST = select(func.coalesce(func.sum(_p.cost), 0.0)).where(_p.run_id == _r.id).scalar_subquery().label("cost")
_CALL = (
    select(_s.name)
    .where(_s.run_id == _r.id, _s.kind == "tool", _s.ended_at.is_(None))
    .order_by(_s.number.desc())
    .limit(1)
    .scalar_subquery()
)
_SIZES: Final = {
    "sqlite": text("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"),
    "postgresql": text("SELECT pg_database_size(current_database())"),
}
_AGENT = func.coalesce(_r.pillar, _r.agent_type)
_RUN = (_r.id, _r.owner, _r.thread_id, _AGENT, _r.status, _r.started_at, _r.ended_at)


def open_runs(connection: Connection, limit: int, scope: Scope, aside: Sequence[str] = ()) -> list[OpenRunRow]:
    """Return the unfinished runs of these users on all nodes, the oldest first, at most `limit`.

    `aside` are the types of events that `work_body` leaves out.
    """
    at_work = _LAST_BODY, _NEWEST_FIRST.where(_e.type.not_in(aside)).limit(1).scalar_subquery(), _CALL
    query = (
        select(_r.id, _r.owner, _r.thread_id, _AGENT, _r.started_at, _r.attempts, _t.node, _TOKENS, _COST, *at_work)
        .join(schema.threads, (_t.owner == _r.owner) & (_t.id == _r.thread_id))
        .where(OPEN_RUN, scope.of(_r.owner))
        .order_by(_r.started_at, _r.id)
        .limit(limit)
    )
    return [OpenRunRow(*row[:7], int(row.tokens), float(row.cost), *row[-3:]) for row in connection.execute(query)]


def open_run_counts(connection: Connection, scope: Scope) -> dict[str, int]:
    """Return how many unfinished runs each of these users has, on all nodes; users without any are left out."""
    query = select(_r.owner, func.count().label("open")).where(OPEN_RUN, scope.of(_r.owner)).group_by(_r.owner)
    return {row.owner: row.open for row in connection.execute(query)}


def find(connection: Connection, text: str) -> Found:
    """Return the users whose name contains `text`, and the threads and runs whose id begins with it; if there is no
    such run, the failed runs whose error has that id."""
    users = select(_u.id).where(_u.id.contains(text, autoescape=True)).order_by(_u.id).limit(FOUND)
    threads = (
        select(_t.owner, _t.id)
        .where(_t.id.startswith(text, autoescape=True))
        .order_by(_t.updated_at.desc())
        .limit(FOUND)
    )
    runs = select(*_RUN).where(_r.id.startswith(text, autoescape=True)).order_by(_r.started_at.desc()).limit(FOUND)
    matches = [FoundRun(*row) for row in connection.execute(runs)]
    if not matches:
        matches = _runs_with_error(connection, text)
    named = [(row.owner, row.id) for row in connection.execute(threads)]
    return Found(tuple(connection.scalars(users)), tuple(named), tuple(matches))


def runs_of(connection: Connection, owner: str, thread_id: str | None) -> list[FoundRun]:
    """Return the latest runs of a user, or of one of the user's threads."""
    query = select(*_RUN).where(_r.owner == owner)
    if thread_id is not None:
        query = query.where(_r.thread_id == thread_id)
    rows = connection.execute(query.order_by(_r.started_at.desc(), _r.id.desc()).limit(FOUND))
    return [FoundRun(*row) for row in rows]


def users(connection: Connection, after: str, limit: int, scope: Scope) -> list[UserRow]:
    """Return the next of these users after an id, at most `limit`, by id."""
    threads = select(func.count()).where(_t.owner == _u.id).scalar_subquery()
    updated_at = select(func.max(_t.updated_at)).where(_t.owner == _u.id).scalar_subquery()
    at_work = select(func.count()).where(OPEN_RUN, _r.owner == _u.id).scalar_subquery()
    query = select(_u.id, _u.created_at, threads, updated_at, at_work).where(_u.id > after, scope.of(_u.id))
    return [UserRow(*row) for row in connection.execute(query.order_by(_u.id).limit(limit))]


def figures(connection: Connection, scope: Scope) -> Figures:
    """Count these users and their open runs; measure the database if the scope is the whole server."""
    counted = select(func.count()).select_from(schema.users).where(scope.of(_u.id))
    at_work = select(func.count()).where(OPEN_RUN, scope.of(_r.owner))
    size = _SIZES[connection.dialect.name] if scope.everywhere else None
    return Figures(
        connection.scalar(counted) or 0,
        connection.scalar(at_work) or 0,
        None if size is None else connection.scalar(size),
    )


def spent_on(connection: Connection, day: int, limit: int, scope: Scope) -> list[tuple[str, int, float]]:
    """Return these users with their tokens and cost on a day (UTC, counted from 1970), by tokens, the most first."""
    tokens = func.sum(_p.tokens)
    query = select(_p.owner, tokens, func.sum(_p.cost)).where(_p.day == day, scope.of(_p.owner))
    rows = connection.execute(query.group_by(_p.owner).order_by(tokens.desc()).limit(limit))
    return [(owner, int(count), float(cost)) for owner, count, cost in rows]


def _runs_with_error(connection: Connection, error_id: str) -> list[FoundRun]:
    """Return the runs whose last event has this error id, among the latest failed runs."""
    failed = select(*_RUN, _LAST_BODY).where(_r.status == "failed").order_by(_r.started_at.desc()).limit(FAILED_RUNS)
    mark = b'"error_id":"%s"' % error_id.encode()
    rows = (row for row in connection.execute(failed) if row[-1] is not None and mark in row[-1])
    return [FoundRun(*row[:-1]) for row in islice(rows, FOUND)]
