"""Reads and writes of nodes' leases and of threads' owners. All times are by the database's clock.

1. A thread has one owner: `node` and `fence` of its row. A claim raises `fence`, so late writes of an earlier owner
   under its own number are refused.
2. A claim never waits for a row: the node that has locked it is using it, or the database will soon end its session.
3. A node with an expired lease is dead as soon as another node claims one of its threads: the claim deletes its row,
   and so its next renewal fails. Until then it may renew the lease, and loses nothing. Others end the lease early if
   the node's listening session has ended, as it does with the process, and a renewal did not come.
4. A late renewal extends the leases of all nodes that were alive at the previous one: during an outage of the database
   none could renew, and none is declared dead for it.
5. A node's row has the newest revision of the schema that it knows, so that no migration removes what it works with.
"""

from collections.abc import Collection, Sequence
from typing import Final

import trio
from attrs import frozen
from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Select,
    Text,
    and_,
    bindparam,
    case,
    column,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    table,
    tuple_,
    update,
)

from understudy.extensions.nodes.tables import nodes
from understudy.extensions.nodes.wakeups import LISTENER
from understudy.storage import schema
from understudy.storage.errors import StorageUnavailable
from understudy.storage.prepared import Prepared
from understudy.storage.queries import OPEN_RUN, with_open_effects
from understudy.storage.records import Fence, RunRecord
from understudy.storage.schema import Now
from understudy.storage.store import RETRY_S, Store
from understudy.storage.write import thread_write, write

_t = schema.threads.c
_n = nodes.c
_r = schema.runs.c

LEASE_S: Final = 2.0
"""Duration of a node's lease after a renewal, by the database's clock."""
FORGET_S: Final = 600.0
"""How long the row of a silent node is kept if no other node claims its threads, as it may come back."""
LATE: Final = 0.75
"""Share of the lease after which a renewal is late: three renewals in a row have failed by then."""
SILENT_S: Final = 1.0
"""Seconds since its last renewal (they come every 0.5) after which a node whose listening session has ended is dead."""


@frozen
class LogEnd:
    """The log of the thread that was created at `created_at` ends with event `last_seq`.

    `node` owned the thread last, and may be dead; None if no node ever did.
    """

    node: str | None
    last_seq: int
    created_at: float


@thread_write
def claim_thread(connection: Connection, owner: str, thread_id: str, node: str) -> int:
    """Claim a thread for a node, if no other living node owns it.

    Return the number of the new fence, one more than the previous; 1 if there is no such thread yet. Return 0 if
    another node owns the thread or is writing to it right now, and if the node itself is not alive.
    """
    this = (_t.owner == owner, _t.id == thread_id)
    # Three statements, the first locking the row: so the state of nodes that the others see is newer than the lock.
    row = connection.execute(
        select(_t.node, _t.fence).where(*this).with_for_update(skip_locked=True, key_share=True)
    ).one_or_none()
    named = {node} if row is None else {node, row.node}
    leases = select(_n.id, _n.expires_at > Now()).where(_n.id.in_(named))
    is_alive = {name: bool(alive) for name, alive in connection.execute(leases)}
    if [name for name, alive in is_alive.items() if alive] != [node]:
        return 0
    if row is None:
        return 0 if connection.execute(select(_t.id).where(*this)).one_or_none() is not None else 1
    if row.node != node and row.node in is_alive and not _taken_for_dead(connection, row.node):
        return 0
    connection.execute(update(schema.threads).where(*this).values(node=node, fence=row.fence + 1))
    return int(row.fence) + 1


async def claim(store: Store, owner: str, thread_id: str, node: str) -> Fence | str:
    """Claim a thread for a node. Return the fence to append under, or the id of the living node that owns it.

    A thread that does not exist yet is owned by the node that stores it first. Raises StorageUnavailable after the
    deadline, also if the node itself is not alive, or a dead node is still writing to the thread.
    """
    deadline = trio.current_time() + store.deadline_s
    while True:
        token = await store.commit(claim_thread(owner, thread_id, node))
        if token:
            return Fence(node, token)
        other = await store.read(owner_node, owner, thread_id)
        if other is not None and other != node:
            return other
        if trio.current_time() >= deadline:
            raise StorageUnavailable("the thread cannot be had")
        await trio.sleep(RETRY_S)


@write
def join_nodes(connection: Connection, node: str, lease_s: float = LEASE_S) -> bool:
    """Join a node to the cluster. Return True."""
    connection.execute(delete(nodes).where(or_(_n.id == node, _n.expires_at < Now() - FORGET_S)))
    times = {"started_at": Now(), "expires_at": Now() + lease_s}
    connection.execute(insert(nodes).values(id=node, knows_revision=schema.HEAD, **times))
    return True


@write
def renew_node(connection: Connection, node: str, lease_s: float = LEASE_S) -> bool:
    """Renew a node's lease. Return False, with nothing changed, if the node was declared dead.

    That happens if its lease expired and another node claimed one of its threads. A late renewal also extends the
    leases of the nodes that were alive at the previous one.
    """
    renewed = update(nodes).values(expires_at=Now() + lease_s)
    in_time = _n.expires_at - Now() >= (1 - LATE) * lease_s
    if connection.execute(renewed.where(_n.id == node, in_time)).rowcount:
        return True
    until = connection.execute(select(_n.expires_at).where(_n.id == node)).scalar_one_or_none()
    if until is None or not connection.execute(renewed.where(_n.id == node)).rowcount:
        return False
    # The nodes that were alive at the previous renewal. Locked rows are skipped: those renew by themselves.
    were_alive = and_(_n.expires_at > until - lease_s, _n.expires_at < Now() + lease_s)
    others = select(_n.id).where(_n.id != node, were_alive).with_for_update(skip_locked=True)
    connection.execute(renewed.where(_n.id.in_(list(connection.execute(others).scalars()))))
    return True


@write
def leave_nodes(connection: Connection, node: str) -> bool:
    """Remove a node: others can claim its threads at once. Return whether it was there."""
    return connection.execute(delete(nodes).where(_n.id == node)).rowcount > 0


def _taken_for_dead(connection: Connection, node: str) -> bool:
    """Delete the row of a node whose lease has expired. Return False if the node has renewed it, or is doing so."""
    this = select(_n.id).where(_n.id == node)
    over = this.where(_n.expires_at <= Now()).with_for_update(skip_locked=True)
    if connection.execute(over).one_or_none() is None:
        return connection.execute(this).one_or_none() is None
    connection.execute(delete(nodes).where(_n.id == node))
    return True


_activity = table("pg_stat_activity", column("application_name", Text), column("datname", Text))
_listens: ColumnElement[bool] = (literal(LISTENER) + _n.id).in_(
    select(_activity.c.application_name).where(_activity.c.datname == func.current_database())
)
"""Condition on a node: its listening session exists (PostgreSQL only). The session ends at once with the process."""


@write
def end_leases(connection: Connection, lost: Collection[str]) -> int:
    """End the leases of those of the `lost` nodes that neither listen again nor have renewed. Return their number."""
    silent = _n.expires_at < Now() + (LEASE_S - SILENT_S)
    return connection.execute(
        update(nodes).where(_n.id.in_(list(lost)), silent, ~_listens).values(expires_at=Now())
    ).rowcount


_held: ColumnElement[bool] = exists(select(_n.id).where(_n.id == _t.node, _n.expires_at > Now())).correlate(
    schema.threads
)
"""Condition on a thread: a living node owns it."""


def living(connection: Connection) -> list[str]:
    """Return the living nodes, in the order they joined."""
    return list(connection.execute(select(_n.id).where(_n.expires_at > Now()).order_by(_n.started_at, _n.id)).scalars())


_silent_s = case((_listens, 0.0), else_=Now() + bindparam("lease_s", type_=Float) - _n.expires_at)
_living = Prepared(select(_n.id, _silent_s).where(_n.expires_at > Now()))


def living_by_silence(connection: Connection) -> dict[str, float]:
    """Return by each living node the seconds since it renewed its lease, and 0.0 if it listens."""
    return dict(_living.rows(connection, lease_s=LEASE_S))


def owner_node(connection: Connection, owner: str, thread_id: str) -> str | None:
    """Return the living node that owns a thread, or None."""
    query = select(_t.node).where(_t.owner == owner, _t.id == thread_id, _held)
    node: str | None = connection.execute(query).scalar_one_or_none()
    return node


def log_ends(connection: Connection, threads: Sequence[tuple[str, str]]) -> dict[tuple[str, str], LogEnd]:
    """Return the ends of the logs of these threads (user and id); threads that do not exist are left out."""
    query = select(_t.owner, _t.id, _t.node, _t.last_seq, _t.created_at)
    rows = connection.execute(query.where(tuple_(_t.owner, _t.id).in_(threads)))
    return {(owner, thread_id): LogEnd(*row) for owner, thread_id, *row in rows}


def orphans(connection: Connection, node: str, own: bool) -> list[RunRecord]:
    """Return the unfinished runs of threads without a living owner, oldest first; with `own` also of this node's.

    Return none if the node itself is not alive: possibly no node could renew its lease.
    """
    abandoned = or_(~_held, _t.node == node) if own else ~_held
    return _orphaned(connection, node, OPEN_RUN, abandoned)


def orphaned_effects(connection: Connection, node: str, others: Sequence[Select[tuple[str]]]) -> list[RunRecord]:
    """Return the runs with open effects, of threads without a living owner and of threads of this node.

    `others` select the ids of runs with effects of extensions, as in `with_open_effects`.
    """
    return _orphaned(connection, node, with_open_effects(others), or_(~_held, _t.node == node))


def _orphaned(connection: Connection, node: str, *which: ColumnElement[bool]) -> list[RunRecord]:
    alive = exists(select(_n.id).where(_n.id == node, _n.expires_at > Now()))
    query = select(*_r).join(schema.threads, and_(_t.owner == _r.owner, _t.id == _r.thread_id)).where(*which, alive)
    return [RunRecord(*row) for row in connection.execute(query.order_by(_r.started_at, _r.id))]
