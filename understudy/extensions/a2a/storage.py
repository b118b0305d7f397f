"""Reads and writes of the receivers of A2A's push notifications: a row per run and receiver, with its progress.

1. The log is the queue: a row has the number of the last event that was sent. So an event needs no further write, and
   is sent after it was committed, in order, also after a restart.
2. A node claims a row by moving its `due_at`, if no other node has moved it since it was read. If the node dies, the
   row is due again later.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final

from attrs import asdict, field, frozen
from sqlalchemy import Connection, delete, func, select, tuple_, update

from understudy.extensions.a2a.tables import pushes
from understudy.storage import schema
from understudy.storage.records import RunRecord
from understudy.storage.write import put, write

LARGEST_BATCH: Final = 20
MOST_OF_RUN: Final = 10
MOST_OF_USER: Final = 200
"""Limits of receivers per run, and per user over all runs."""
OLDEST_S: Final = 30 * 86_400.0
"""Age in seconds at which a row is removed: its run never ended, or its events were trimmed from the log."""

_p = pushes.c
_e = schema.events.c
_r = schema.runs.c


@frozen
class Push:
    """A receiver of a run's events after the number `sent`. Times are Unix seconds; `sealed` are its secrets."""

    owner: str
    thread_id: str
    run_id: str
    id: str
    url: str
    sealed: bytes = field(repr=False)
    created_at: float
    sent: int = 0
    due_at: float = 0.0
    attempts: int = 0
    failing_since: float | None = None


@write
def add_push(connection: Connection, push: Push, types: Collection[str]) -> bool:
    """Store a receiver, replacing one with the same id. It gets the newest event of these `types`, and later ones.

    Return False, without storing it, if its run or its user has too many receivers.
    """
    same_owner = _p.owner == push.owner
    connection.execute(delete(pushes).where(same_owner, _p.created_at < push.created_at - OLDEST_S))
    others = same_owner & ((_p.run_id != push.run_id) | (_p.id != push.id))
    of_user = connection.execute(select(func.count()).select_from(pushes).where(others)).scalar_one()
    of_run = connection.execute(
        select(func.count()).select_from(pushes).where(others, _p.run_id == push.run_id)
    ).scalar_one()
    if of_user >= MOST_OF_USER or of_run >= MOST_OF_RUN:
        return False
    last = select(func.max(_e.seq)).where(_e.run_id == push.run_id, _e.type.in_(types))
    values = asdict(push) | {"sent": (connection.execute(last).scalar_one() or 1) - 1}
    insert = put(connection, pushes).values(**values)
    connection.execute(insert.on_conflict_do_update(index_elements=["owner", "run_id", "id"], set_=values))
    return True


@write
def claim_push(connection: Connection, push: Push, due_at: float) -> bool:
    """Claim a receiver for one attempt: it is due again at `due_at`. Return False if another node has claimed it."""
    claim = update(pushes).where(
        *_of(push.owner, push.run_id, push.id),
        _p.attempts == push.attempts,
        _p.sent == push.sent,
    )
    return connection.execute(claim.values(attempts=push.attempts + 1, due_at=due_at)).rowcount > 0


@write
def move_push(connection: Connection, push: Push) -> bool:
    """Record that the event `sent` was delivered to a receiver, or when a failed attempt must be repeated.

    Return whether the receiver still exists.
    """
    change = update(pushes).where(*_of(push.owner, push.run_id, push.id))
    progress = {name: getattr(push, name) for name in ("sent", "due_at", "attempts", "failing_since")}
    return connection.execute(change.values(**progress)).rowcount > 0


@write
def drop_push(connection: Connection, owner: str, run_id: str, name: str) -> bool:
    """Remove a receiver of a run. Return whether it existed."""
    return connection.execute(delete(pushes).where(*_of(owner, run_id, name))).rowcount > 0


def due(connection: Connection, now: float, types: Collection[str]) -> list[tuple[Push, int]]:
    """Return up to `LARGEST_BATCH` due receivers, each with the number of its next event of these `types`."""
    next_seq = (
        select(func.min(_e.seq))
        .where(_e.run_id == _p.run_id, _e.seq > _p.sent, _e.type.in_(types))
        .correlate(pushes)
        .scalar_subquery()
    )
    query = select(*_ALL, next_seq).where(_p.due_at <= now, next_seq.is_not(None)).order_by(_p.due_at)
    return [(Push(*row[:-1]), row[-1]) for row in connection.execute(query.limit(LARGEST_BATCH))]


def are_any(connection: Connection) -> bool:
    """Return whether there are receivers."""
    return connection.execute(select(_p.id).limit(1)).first() is not None


def of_run(connection: Connection, owner: str, run_id: str) -> list[Push]:
    """Return the receivers of a run, oldest first."""
    query = select(*_ALL).where(_p.owner == owner, _p.run_id == run_id).order_by(_p.created_at, _p.id)
    return [Push(*row) for row in connection.execute(query)]


def record_of(row: Push) -> dict[str, Any]:
    """Return a receiver in the form of an export, without its secrets."""
    return {"run_id": row.run_id, "id": row.id, "url": row.url, "created_at": row.created_at}


def ended_runs(
    connection: Connection,
    owner: str,
    agent: str,
    thread_id: str | None,
    statuses: Sequence[str],
    since: float,
    before: tuple[float, str] | None,
    limit: int,
) -> tuple[list[RunRecord], int]:
    """Return a page of a user's ended runs of an agent, and the total number of runs that match.

    A run matches if it has one of these statuses, ended at `since` or later, and is in the thread, if one is given. The
    page has the last ended first, at most `limit`, after the position `before`: the end and the id of a run.
    """
    conditions = [_r.owner == owner, func.coalesce(_r.pillar, _r.agent_type) == agent, _r.status.in_(statuses)]
    conditions += [_r.ended_at >= since] + ([] if thread_id is None else [_r.thread_id == thread_id])
    total = connection.execute(select(func.count()).where(*conditions)).scalar_one()
    after = [] if before is None else [tuple_(_r.ended_at, _r.id) < tuple_(*before)]
    latest = select(*_r).where(*conditions, *after).order_by(_r.ended_at.desc(), _r.id.desc()).limit(limit)
    return [RunRecord(*row) for row in connection.execute(latest)], total


def _of(owner: str, run_id: str, name: str | None) -> tuple[Any, Any, Any]:
    return _p.owner == owner, _p.run_id == run_id, _p.id == name


_ALL: Final = (
    _p.owner, _p.thread_id, _p.run_id, _p.id, _p.url, _p.sealed, _p.created_at, _p.sent, _p.due_at, _p.attempts,
    _p.failing_since,
)  # fmt: skip
