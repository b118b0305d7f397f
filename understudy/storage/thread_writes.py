"""Writes on threads: their names, marks and tags, feedback on their answers, and what is deleted of them."""

from typing import Any, Final, Literal

from sqlalchemy import BigInteger, BindParameter, Connection, bindparam, case, delete, exists, func, select, update

from . import deletion, schema
from .changes import HOLD, HOLD_UNDER, OF_THREAD, PLACE
from .errors import Fenced
from .records import Fence
from .write import thread_write, write

TRIMMED: Final = 200
"""Limit of events deleted per transaction (about 10 ms), as all other writes wait for it."""

_t = schema.threads.c
_m = schema.messages.c
_r = schema.runs.c
_e = schema.events.c

_GONE: BindParameter[int] = bindparam("gone", type_=BigInteger)
_shrink = (
    update(schema.threads)
    .where(*OF_THREAD)
    .values(stored_bytes=case((_t.stored_bytes > _GONE, _t.stored_bytes - _GONE), else_=0))
)


def _set(connection: Connection, owner: str, thread_id: str, *conditions: Any, **values: Any) -> bool:
    this = update(schema.threads).where(_t.owner == owner, _t.id == thread_id, *conditions)
    return connection.execute(this.values(**values)).rowcount > 0


@thread_write
def rename_thread(connection: Connection, owner: str, thread_id: str, title: str, expected: str | None = None) -> bool:
    """Set the title of a thread, if `expected` is given only if it is that one. Return whether it was set."""
    conditions = () if expected is None else (_t.title == expected,)
    return _set(connection, owner, thread_id, *conditions, title=title)


@thread_write
def mark_thread(
    connection: Connection, owner: str, thread_id: str, mark: Literal["pinned", "archived"], at: float | None
) -> bool:
    """Pin or archive a thread at a time (Unix seconds), None to take that back. Return whether there is one."""
    return _set(connection, owner, thread_id, **{f"{mark}_at": at})


@thread_write
def tag_thread(connection: Connection, owner: str, thread_id: str, tags: tuple[str, ...]) -> bool:
    """Set the tags of a thread, in place of those it had. Return whether there is one."""
    return _set(connection, owner, thread_id, tags=f" {' '.join(tags)} " if tags else "")


@thread_write
def delete_thread(
    connection: Connection, owner: str, thread_id: str, fence: Fence | None = None, unless_since: float | None = None
) -> int:
    """Delete a thread with its messages, events, runs and steps; of a long one the next part.

    Return `deletion.GONE`, `deletion.MORE`, or 0 if there is no such thread.

    `fence`, unless None, must be the thread's. `unless_since`: only if it was last used before that time (Unix seconds)
    and has no unfinished run; else the answer is 0.
    """
    of_thread = {"of": owner, "named": thread_id}
    if fence is not None:
        under = {"under": fence.node, "token": fence.token}
        if connection.execute(HOLD_UNDER, of_thread | under).one_or_none() is None:
            place = connection.execute(PLACE, of_thread).one_or_none()
            if place is not None:
                raise Fenced(thread_id, place.node)
    if unless_since is not None and not still_old(connection, owner, thread_id, unless_since):
        return 0
    return deletion.remove_thread(connection, owner, thread_id)


@thread_write
def release_thread(connection: Connection, owner: str, thread_id: str, fence: Fence) -> bool:
    """Release a thread, if it is still under this fence. Return whether it was."""
    under = (_t.node == fence.node, _t.fence == fence.token)
    return _set(connection, owner, thread_id, *under, node=None)


@thread_write
def trim_log(connection: Connection, owner: str, thread_id: str, before_seq: int) -> bool:
    """Delete the thread's events before `before_seq`, but none of an unfinished run; at most TRIMMED at a time.

    Return whether there are more.
    """
    # Lock the thread: a run that starts after the query for unfinished ones must keep its events.
    if connection.execute(HOLD, {"of": owner, "named": thread_id}).one_or_none() is None:
        return False
    of_thread = (_e.owner == owner, _e.thread_id == thread_id)
    open_runs = select(_r.id).where(_r.owner == owner, _r.thread_id == thread_id, _r.ended_at.is_(None))
    needed = connection.execute(select(func.min(_e.seq)).where(_e.run_id.in_(open_runs))).scalar_one()
    before = before_seq if needed is None else min(before_seq, needed)
    first = connection.execute(select(func.min(_e.seq)).where(*of_thread)).scalar_one()
    if first is None or first >= before:
        return False
    now = min(before, first + TRIMMED)
    going = (*of_thread, _e.seq < now)
    size = connection.execute(select(func.coalesce(func.sum(func.length(_e.body)), 0)).where(*going)).scalar_one()
    connection.execute(delete(schema.events).where(*going))
    connection.execute(_shrink, {"of": owner, "named": thread_id, "gone": int(size)})
    return bool(now < before)


@write
def give_feedback(
    connection: Connection, owner: str, message_id: str, rating: str | None, note: str | None = None
) -> bool:
    """Store the user's feedback on an answer, replacing earlier feedback. Return whether the message exists.

    `rating` is free text; None removes the rating.
    """
    answer = update(schema.messages).where(_m.owner == owner, _m.id == message_id, _m.role == "assistant")
    return connection.execute(answer.values(rating=rating, note=note)).rowcount > 0


def still_old(connection: Connection, owner: str, thread_id: str, threads_before: float) -> bool:
    """Return whether a thread exists, was last updated before a time, and has no unfinished run."""
    row = connection.execute(select(_t.updated_at).where(_t.owner == owner, _t.id == thread_id)).one_or_none()
    return row is not None and row.updated_at < threads_before and not has_open_run(connection, owner, thread_id)


def has_open_run(connection: Connection, owner: str, thread_id: str) -> bool:
    """Return whether a thread has an unfinished run."""
    open_runs = exists().where(_r.owner == owner, _r.thread_id == thread_id, _r.ended_at.is_(None))
    return bool(connection.execute(select(open_runs)).scalar_one())
