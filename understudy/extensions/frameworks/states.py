"""Reads and writes of the states of runs whose agent is of another framework: bytes under keys, such as checkpoints.

A thread keeps the states of its latest runs, so that a branch at an earlier answer can resume from there. They count as
bytes of the thread, and are deleted with it.
"""

from typing import Final

from sqlalchemy import Connection, delete, func, select, update

from understudy.extensions.frameworks.tables import agent_states
from understudy.storage import schema
from understudy.storage.errors import NotStored
from understudy.storage.write import put, write

_c = agent_states.c
_t = schema.threads.c

MAX_RUN_BYTES: Final = 8 * 1024 * 1024
"""Limit in bytes of the state of one run; the run refuses to write more."""
MAX_THREAD_BYTES: Final = 32 * 1024 * 1024
"""Limit in bytes of all states of a thread; beyond it the states of the oldest runs are removed."""
MAX_RUNS: Final = 20
"""Limit of the runs of a thread whose states are kept."""


@write
def save_state(
    connection: Connection,
    owner: str,
    thread_id: str,
    run_id: str,
    now: float,
    states: tuple[tuple[str, bytes], ...] = (),
    drop: tuple[str, ...] = (),
) -> bool:
    """Store entries of a run's state, and remove others. `now` is in Unix seconds. Return True.

    The states of the thread's oldest runs are removed if they exceed the limits. Raises NotStored without the thread.
    """
    this_thread = (_t.owner == owner, _t.id == thread_id)
    if connection.execute(select(_t.id).where(*this_thread).with_for_update(key_share=True)).first() is None:
        raise NotStored("thread", thread_id)
    of_thread = (_c.owner == owner, _c.thread_id == thread_id)
    bytes_before = sum(size for _, size in _sizes(connection, owner, thread_id))
    if drop:
        connection.execute(delete(agent_states).where(*of_thread, _c.run_id == run_id, _c.key.in_(drop)))
    ids = {"owner": owner, "thread_id": thread_id, "run_id": run_id}
    insert = put(connection, agent_states)
    changed = {name: insert.excluded[name] for name in ("body", "size", "updated_at")}
    upsert = insert.on_conflict_do_update(index_elements=[*ids, "key"], set_=changed)
    if rows := [ids | {"key": key, "body": body, "size": len(body), "updated_at": now} for key, body in states]:
        connection.execute(upsert, rows)
    total = 0
    for number, (stored_run, size) in enumerate(_sizes(connection, owner, thread_id)):
        if stored_run != run_id and (number >= MAX_RUNS or total + size > MAX_THREAD_BYTES):
            connection.execute(delete(agent_states).where(*of_thread, _c.run_id == stored_run))
        else:
            total += size
    if total != bytes_before:
        new_bytes = _t.stored_bytes + (total - bytes_before)
        connection.execute(update(schema.threads).where(*this_thread).values(stored_bytes=new_bytes))
    return True


def _sizes(connection: Connection, owner: str, thread_id: str) -> list[tuple[str, int]]:
    """Return the runs of a thread that have a state, with its size in bytes, latest first."""
    latest = func.max(_c.updated_at).desc()
    sizes = select(_c.run_id, func.sum(_c.size)).where(_c.owner == owner, _c.thread_id == thread_id)
    return [(str(run_id), int(size)) for run_id, size in connection.execute(sizes.group_by(_c.run_id).order_by(latest))]


def state(connection: Connection, owner: str, thread_id: str, run_id: str) -> dict[str, bytes]:
    """Return the state of a run, by key."""
    this_run = (_c.owner == owner, _c.thread_id == thread_id, _c.run_id == run_id)
    rows = connection.execute(select(_c.key, _c.body).where(*this_run).order_by(_c.key))
    return {str(key): bytes(body) for key, body in rows}
