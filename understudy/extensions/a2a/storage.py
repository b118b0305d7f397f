"""Where clients of A2A want to be told of a run: one row for each run and receiver, with how far that was told.

1. The log is the queue: a row has the number of the last event that was sent. So nothing is written with an event,
   and an event is sent after it was committed, in order, also after a restart.
2. A node claims a row by moving its `due_at`, if nobody else has moved it since it was read. A node that dies leaves a
   row that is due again later.
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
"""Receivers of a run, and of all runs of a user."""
OLDEST_S: Final = 30 * 86_400.0
"""Seconds after which a row does not count any more, and is removed: its run has not ended, or its log is trimmed."""

_p = pushes.c
_e = schema.events.c
_r = schema.runs.c


@frozen
class Push:
    """A receiver of a run's events after the number `sent`. Times are Unix seconds; `sealed` has its token."""

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
    """Store a receiver, in place of the one with its id. It is told of the last of the run's events of these `types`.

    Return whether its run and its user may have one more.
    """
    mine = _p.owner == push.owner
    connection.execute(delete(pushes).where(mine, _p.created_at < push.created_at - OLDEST_S))
    others = mine & ((_p.run_id != push.run_id) | (_p.id != push.id))
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
    """Claim a receiver for one attempt: it is due again at `due_at`. Return whether nobody else has it."""
    this = update(pushes).where(
        *_of(push.owner, push.run_id, push.id),
        _p.attempts == push.attempts,
        _p.sent == push.sent,
    )
    return connection.execute(this.values(attempts=push.attempts + 1, due_at=due_at)).rowcount > 0


@write
def move_push(connection: Connection, push: Push) -> bool:
    """Record that a receiver was told of the event `sent`, or when an attempt that failed is to be repeated.

    Return whether it is still there.
    """
    this = update(pushes).where(*_of(push.owner, push.run_id, push.id))
    moved = {name: getattr(push, name) for name in ("sent", "due_at", "attempts", "failing_since")}
    return connection.execute(this.values(**moved)).rowcount > 0


@write
def drop_push(connection: Connection, owner: str, run_id: str, name: str) -> bool:
    """Remove a receiver of a run. Return whether there was one."""
    return connection.execute(delete(pushes).where(*_of(owner, run_id, name))).rowcount > 0


def due(connection: Connection, now: float, types: Collection[str]) -> list[tuple[Push, int]]:
    """Return receivers that are due, each with the number of the event that it is to be told of, at most LARGEST_BATCH.

    `types` are those of the events of which receivers are told.
    """
    following = (
        select(func.min(_e.seq))
        .where(_e.run_id == _p.run_id, _e.seq > _p.sent, _e.type.in_(types))
        .correlate(pushes)
        .scalar_subquery()
    )
    wanted = select(*_ALL, following).where(_p.due_at <= now, following.is_not(None)).order_by(_p.due_at)
    return [(Push(*row[:-1]), row[-1]) for row in connection.execute(wanted.limit(LARGEST_BATCH))]


def are_any(connection: Connection) -> bool:
    """Return whether there are receivers."""
    return connection.execute(select(_p.id).limit(1)).first() is not None


def of_run(connection: Connection, owner: str, run_id: str) -> list[Push]:
    """Return the receivers of a run, oldest first."""
    wanted = select(*_ALL).where(_p.owner == owner, _p.run_id == run_id).order_by(_p.created_at, _p.id)
    return [Push(*row) for row in connection.execute(wanted)]


def record_of(row: Push) -> dict[str, Any]:
    """Return who is told of a run, without the token."""
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
    """Return the owner's runs of an agent that have one of these statuses and ended at `since` or later.

    Those of a thread, unless it is None. The last ended comes first; of those behind the place `before`, the time of
    an end and an id, at most `limit`. The number is that of all.
    """
    wanted = [_r.owner == owner, func.coalesce(_r.pillar, _r.agent_type) == agent, _r.status.in_(statuses)]
    wanted += [_r.ended_at >= since] + ([] if thread_id is None else [_r.thread_id == thread_id])
    total = connection.execute(select(func.count()).where(*wanted)).scalar_one()
    behind = [] if before is None else [tuple_(_r.ended_at, _r.id) < tuple_(*before)]
    latest = select(*_r).where(*wanted, *behind).order_by(_r.ended_at.desc(), _r.id.desc()).limit(limit)
    return [RunRecord(*row) for row in connection.execute(latest)], total


def _of(owner: str, run_id: str, name: str | None) -> tuple[Any, Any, Any]:
    return _p.owner == owner, _p.run_id == run_id, _p.id == name


_ALL: Final = (
    _p.owner, _p.thread_id, _p.run_id, _p.id, _p.url, _p.sealed, _p.created_at, _p.sent, _p.due_at, _p.attempts,
    _p.failing_since,
)  # fmt: skip
