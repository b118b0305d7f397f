"""Reads for operators, over all users: the open runs, what an id or a name stands for, and who used the server most.

None of them returns text of a user.
"""

from itertools import islice
from typing import Final

from attrs import field, frozen
from sqlalchemy import Connection, func, select

from . import schema
from .queries import OPEN_RUN

_t = schema.threads.c
_r = schema.runs.c
_e = schema.events.c
_u = schema.users.c
_p = schema.spending.c

FOUND: Final = 20
"""Rows of each kind that a search returns."""
FAILED_RUNS: Final = 2_000
"""Failed runs, the latest, whose errors are compared with an error id."""


@frozen
class OpenRunRow:
    """A run without an end. `node` owns its thread, None on a single node; `tokens` and `cost` are spent so far;
    `last_body` is its latest logged event."""

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


@frozen
class FoundRun:
    """A run that fits a search."""

    run_id: str
    owner: str
    thread_id: str
    agent: str
    status: str
    started_at: float
    ended_at: float | None


@frozen
class Found:
    """What fits a search: users, threads as owner and id, and runs."""

    users: tuple[str, ...]
    threads: tuple[tuple[str, str], ...]
    runs: tuple[FoundRun, ...]


_LAST_BODY = select(_e.body).where(_e.run_id == _r.id).order_by(_e.seq.desc()).limit(1).scalar_subquery()
_TOKENS = select(func.coalesce(func.sum(_p.tokens), 0)).where(_p.run_id == _r.id).scalar_subquery().label("tokens")
_COST = select(func.coalesce(func.sum(_p.cost), 0.0)).where(_p.run_id == _r.id).scalar_subquery().label("cost")
_AGENT = func.coalesce(_r.pillar, _r.agent_type)
_RUN = (_r.id, _r.owner, _r.thread_id, _AGENT, _r.status, _r.started_at, _r.ended_at)


def open_runs(connection: Connection, limit: int) -> list[OpenRunRow]:
    """Return the unfinished runs of all users on all nodes, the oldest first, at most `limit`."""
    wanted = (
        select(_r.id, _r.owner, _r.thread_id, _AGENT, _r.started_at, _r.attempts, _t.node, _TOKENS, _COST, _LAST_BODY)
        .join(schema.threads, (_t.owner == _r.owner) & (_t.id == _r.thread_id))
        .where(OPEN_RUN)
        .order_by(_r.started_at, _r.id)
        .limit(limit)
    )
    return [OpenRunRow(*row[:7], int(row.tokens), float(row.cost), row[-1]) for row in connection.execute(wanted)]


def open_run_counts(connection: Connection) -> dict[str, int]:
    """Return how many unfinished runs each user has, on all nodes; users without any are left out."""
    counted = connection.execute(select(_r.owner, func.count().label("open")).where(OPEN_RUN).group_by(_r.owner))
    return {row.owner: row.open for row in counted}


def find(connection: Connection, text: str) -> Found:
    """Return the users whose name contains `text`, and the threads and runs whose id begins with it, or whose error
    has it as its id."""
    users = select(_u.id).where(_u.id.contains(text, autoescape=True)).order_by(_u.id).limit(FOUND)
    threads = (
        select(_t.owner, _t.id)
        .where(_t.id.startswith(text, autoescape=True))
        .order_by(_t.updated_at.desc())
        .limit(FOUND)
    )
    runs = select(*_RUN).where(_r.id.startswith(text, autoescape=True)).order_by(_r.started_at.desc()).limit(FOUND)
    found = [FoundRun(*row) for row in connection.execute(runs)]
    if not found:
        found = _runs_with_error(connection, text)
    named = [(row.owner, row.id) for row in connection.execute(threads)]
    return Found(tuple(connection.scalars(users)), tuple(named), tuple(found))


def runs_of(connection: Connection, owner: str, thread_id: str | None) -> list[FoundRun]:
    """Return the latest runs of a user, or of one of the user's threads."""
    wanted = select(*_RUN).where(_r.owner == owner)
    if thread_id is not None:
        wanted = wanted.where(_r.thread_id == thread_id)
    rows = connection.execute(wanted.order_by(_r.started_at.desc(), _r.id.desc()).limit(FOUND))
    return [FoundRun(*row) for row in rows]


def spent_on(connection: Connection, day: int, limit: int) -> list[tuple[str, int, float]]:
    """Return the users who spent most tokens on a day of UTC (counted from 1970): owner, tokens, cost."""
    tokens, cost = func.sum(_p.tokens), func.sum(_p.cost)
    wanted = select(_p.owner, tokens, cost).where(_p.day == day).group_by(_p.owner).order_by(tokens.desc()).limit(limit)
    return [(owner, int(count), float(price)) for owner, count, price in connection.execute(wanted)]


def _runs_with_error(connection: Connection, error_id: str) -> list[FoundRun]:
    """Return the runs whose last event names this error id, among the latest that failed."""
    failed = select(*_RUN, _LAST_BODY).where(_r.status == "failed").order_by(_r.started_at.desc()).limit(FAILED_RUNS)
    mark = b'"error_id":"%s"' % error_id.encode()
    rows = (row for row in connection.execute(failed) if row[-1] is not None and mark in row[-1])
    return [FoundRun(*row[:-1]) for row in islice(rows, FOUND)]
