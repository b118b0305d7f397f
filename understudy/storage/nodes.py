"""Nodes, and the threads they have, as they are written and read. Time is the database's: no two nodes' clocks agree.

1. A thread has one holder: `node` and `fence` of its row. Claiming raises `fence`, so what an earlier holder still
   writes under its own number is refused, however late it comes.
2. A claim never waits for a row: whoever has it locked is at work on it, or will be thrown out by the database soon.
3. A node whose lease is over is dead as soon as another takes something from it: its row goes then, and that is how it
   learns. Until then it may come back, and nothing of it ends.
4. A node that could not say for long that it is alive speaks for all that were alive then: while the database is away
   nobody can, and nobody is dead for it.
5. A node that is alone, and knows nothing of others, has a name that says so.
"""

from typing import Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    exists,
    insert,
    or_,
    select,
    update,
)

from . import schema
from .clock import Now
from .rows import UNFINISHED, RunRecord, StepRecord
from .writes import ClaimThread, JoinNodes, LeaveNodes, NodeWrite, ReleaseThread, RenewNode

_t = schema.threads.c
_n = schema.nodes.c
_r = schema.runs.c
_s = schema.steps.c

ALONE: Final = "alone-"
"""How the id of a node begins that serves alone."""
FORGET_S: Final = 600.0
"""How long the row of a node stays that says nothing and from which nobody takes anything: it may come back."""
LATE: Final = 0.75
"""The part of its lease for which a node said nothing, whatever kept it: three times in a row that failed."""
JOINING: Final = 0x756E6465
"""The number of the lock of PostgreSQL's in which nodes join one after the other, until they commit."""


def write(connection: Connection, work: NodeWrite) -> int:
    """Write one of these; the answer is the one its class names. Raises what SQLAlchemy raises."""
    match work:
        case ClaimThread():
            return _claim(connection, work)
        case ReleaseThread(owner, thread_id, fence):
            this = (_t.owner == owner, _t.id == thread_id, _t.node == fence.node, _t.fence == fence.token)
            return connection.execute(update(schema.threads).where(*this).values(node=None)).rowcount > 0
        case JoinNodes():
            return _join(connection, work)
        case RenewNode():
            return _renew(connection, work)
        case LeaveNodes(node):
            return connection.execute(delete(schema.nodes).where(_n.id == node)).rowcount > 0


def _claim(connection: Connection, claim: ClaimThread) -> int:
    this = (_t.owner == claim.owner, _t.id == claim.thread_id)
    # In three statements, the row being locked by the first: what they see of nodes is newer than the lock.
    row = connection.execute(
        select(_t.node, _t.fence).where(*this).with_for_update(skip_locked=True, key_share=True)
    ).one_or_none()
    named = {claim.node} if row is None else {claim.node, row.node}
    alive = set(connection.execute(select(_n.id).where(_n.id.in_(named), _n.expires_at > Now())).scalars())
    if alive != {claim.node}:
        return 0
    if row is None:
        return 0 if connection.execute(select(_t.id).where(*this)).one_or_none() is not None else 1
    if row.node not in (None, claim.node) and not _taken_for_dead(connection, row.node):
        return 0
    connection.execute(update(schema.threads).where(*this).values(node=claim.node, fence=row.fence + 1))
    return int(row.fence) + 1


def _taken_for_dead(connection: Connection, node: str) -> bool:
    """Remove the row of a node whose lease is over; False where it says at this moment that it is alive."""
    this = select(_n.id).where(_n.id == node)
    over = this.where(_n.expires_at <= Now()).with_for_update(skip_locked=True)
    if connection.execute(over).one_or_none() is None:
        return connection.execute(this).one_or_none() is None
    connection.execute(delete(schema.nodes).where(_n.id == node))
    return True


def _renew(connection: Connection, renew: RenewNode) -> bool:
    node, lease_s = renew.node, renew.lease_s
    row = connection.execute(select(_n.expires_at, _n.expires_at - Now()).where(_n.id == node)).one_or_none()
    renewed = update(schema.nodes).values(expires_at=Now() + lease_s)
    if row is None or not connection.execute(renewed.where(_n.id == node)).rowcount:
        return False
    until, left_s = row
    if left_s < (1 - LATE) * lease_s:
        # Whoever was alive when this one last said that it is. Those that say so themselves at this moment, do.
        were_alive = and_(_n.expires_at > until - lease_s, _n.expires_at < Now() + lease_s)
        others = select(_n.id).where(_n.id != node, were_alive).with_for_update(skip_locked=True)
        connection.execute(renewed.where(_n.id.in_(list(connection.execute(others).scalars()))))
    return True


def _join(connection: Connection, join: JoinNodes) -> bool:
    if connection.dialect.name == "postgresql":  # SQLite has one that writes at a time anyway
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({JOINING})")
    others = select(_n.id).where(_n.id != join.node, _n.expires_at > Now())
    if not join.alone:
        others = others.where(_n.id.startswith(ALONE))
    if connection.execute(others.limit(1)).one_or_none() is not None:
        return False
    # Whoever served alone learns from the loss of its row that others came meanwhile, and they that one did.
    forgotten_s = 0.0 if join.alone else FORGET_S
    gone = or_(_n.id == join.node, _n.id.startswith(ALONE), _n.expires_at < Now() - forgotten_s)
    connection.execute(delete(schema.nodes).where(gone))
    connection.execute(insert(schema.nodes).values(id=join.node, started_at=Now(), expires_at=Now() + join.lease_s))
    return True


_held: ColumnElement[bool] = exists(select(_n.id).where(_n.id == _t.node, _n.expires_at > Now())).correlate(
    schema.threads
)
"""Of a thread: a living node has it."""


def living(connection: Connection) -> list[str]:
    """The nodes that are alive, in the order they joined."""
    return list(connection.execute(select(_n.id).where(_n.expires_at > Now()).order_by(_n.started_at, _n.id)).scalars())


def owner_node(connection: Connection, owner: str, thread_id: str) -> str | None:
    """The living node that has a thread, if one has."""
    wanted = select(_t.node).where(_t.owner == owner, _t.id == thread_id, _held)
    node: str | None = connection.execute(wanted).scalar_one_or_none()
    return node


def orphans(connection: Connection, node: str, own: bool) -> list[RunRecord]:
    """The runs that have not ended and whose thread no living node has; with `own` those of this node's too.

    Oldest first. None for a node that is not alive itself: it may be that none could say that it is.
    """
    wanted = (
        select(*_r)
        .join(schema.threads, and_(_t.owner == _r.owner, _t.id == _r.thread_id))
        .where(
            _r.ended_at.is_(None),
            _r.status.in_(UNFINISHED),
            or_(~_held, _t.node == node) if own else ~_held,
            exists(select(_n.id).where(_n.id == node, _n.expires_at > Now())),
        )
        .order_by(_r.started_at, _r.id)
    )
    return [RunRecord(*row) for row in connection.execute(wanted)]


def step_of_call(connection: Connection, call_id: str) -> tuple[StepRecord, RunRecord] | None:
    """The newest step of that tool call, with its run."""
    wanted = (
        select(*_s, *_r)
        .join(schema.runs, _r.id == _s.run_id)
        .where(_s.call_id == call_id)
        .order_by(_s.started_at.desc(), _s.number.desc())
        .limit(1)
    )
    row = connection.execute(wanted).one_or_none()
    return None if row is None else (StepRecord(*row[: len(_s)]), RunRecord(*row[len(_s) :]))
