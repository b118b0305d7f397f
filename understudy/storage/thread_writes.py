"""Writes on threads: their names, marks and tags, feedback on their answers, and what is deleted of them."""

from typing import Any, Final, Literal

from attrs import field, frozen
from sqlalchemy import BigInteger, BindParameter, Connection, bindparam, case, delete, exists, func, select, update

from . import deletion, schema
from .changes import HOLD, HOLD_UNDER, OF_THREAD, PLACE
from .errors import Fenced
from .records import Fence
from .write import ThreadWrite, Write

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


@frozen
class RenameThread(ThreadWrite):
    """Set the title of a thread, if `expected` is given only if it is that one. The answer is whether it was set."""

    owner: str
    thread_id: str
    title: str = field(repr=False)
    expected: str | None = field(default=None, repr=False)

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        expected = () if self.expected is None else (_t.title == self.expected,)
        return _set(connection, self.owner, self.thread_id, *expected, title=self.title)


@frozen
class MarkThread(ThreadWrite):
    """Pin or archive a thread at a time (Unix seconds), None to take that back. The answer is whether there is one."""

    owner: str
    thread_id: str
    mark: Literal["pinned", "archived"]
    at: float | None

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        return _set(connection, self.owner, self.thread_id, **{f"{self.mark}_at": self.at})


@frozen
class TagThread(ThreadWrite):
    """Set the tags of a thread, in place of those it had. The answer is whether there is one."""

    owner: str
    thread_id: str
    tags: tuple[str, ...] = field(repr=False)

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        tags = f" {' '.join(self.tags)} " if self.tags else ""
        return _set(connection, self.owner, self.thread_id, tags=tags)


@frozen
class DeleteThread(ThreadWrite):
    """Delete a thread with its messages, events, runs and steps; of a long one the next part.

    The answer is `deletion.GONE`, `deletion.MORE`, or 0 if there is no such thread.

    `fence`, unless None, must be the thread's. `unless_since`: only if it was last used before that time (Unix seconds)
    and has no unfinished run; else the answer is 0.
    """

    owner: str
    thread_id: str
    fence: Fence | None = None
    unless_since: float | None = None

    def apply(self, connection: Connection) -> int:
        """As `Write.apply`."""
        of_thread, fence = {"of": self.owner, "named": self.thread_id}, self.fence
        if fence is not None:
            under = {"under": fence.node, "token": fence.token}
            if connection.execute(HOLD_UNDER, of_thread | under).one_or_none() is None:
                place = connection.execute(PLACE, of_thread).one_or_none()
                if place is not None:
                    raise Fenced(self.thread_id, place.node)
        if self.unless_since is not None and not still_old(connection, self.owner, self.thread_id, self.unless_since):
            return 0
        return deletion.remove_thread(connection, self.owner, self.thread_id)


@frozen
class ReleaseThread(ThreadWrite):
    """Release a thread, if it is still under this fence. The answer is whether it was."""

    owner: str
    thread_id: str
    fence: Fence

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        under = (_t.node == self.fence.node, _t.fence == self.fence.token)
        return _set(connection, self.owner, self.thread_id, *under, node=None)


@frozen
class TrimLog(ThreadWrite):
    """Delete the thread's events before `before_seq`, but none of an unfinished run; at most TRIMMED at a time.

    The answer is whether there are more.
    """

    owner: str
    thread_id: str
    before_seq: int

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        # Lock the thread: a run that starts after the query for unfinished ones must keep its events.
        if connection.execute(HOLD, {"of": self.owner, "named": self.thread_id}).one_or_none() is None:
            return False
        of_thread = (_e.owner == self.owner, _e.thread_id == self.thread_id)
        open_runs = select(_r.id).where(_r.owner == self.owner, _r.thread_id == self.thread_id, _r.ended_at.is_(None))
        needed = connection.execute(select(func.min(_e.seq)).where(_e.run_id.in_(open_runs))).scalar_one()
        before = self.before_seq if needed is None else min(self.before_seq, needed)
        first = connection.execute(select(func.min(_e.seq)).where(*of_thread)).scalar_one()
        if first is None or first >= before:
            return False
        now = min(before, first + TRIMMED)
        going = (*of_thread, _e.seq < now)
        size = connection.execute(select(func.coalesce(func.sum(func.length(_e.body)), 0)).where(*going)).scalar_one()
        connection.execute(delete(schema.events).where(*going))
        connection.execute(_shrink, {"of": self.owner, "named": self.thread_id, "gone": int(size)})
        return bool(now < before)


@frozen
class GiveFeedback(Write):
    """Store the user's feedback on an answer, replacing earlier feedback. The answer is whether the message exists.

    `rating` is free text; None removes the rating.
    """

    owner: str
    message_id: str
    rating: str | None
    note: str | None = field(default=None, repr=False)

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        answer = update(schema.messages).where(_m.owner == self.owner, _m.id == self.message_id, _m.role == "assistant")
        return connection.execute(answer.values(rating=self.rating, note=self.note)).rowcount > 0


def still_old(connection: Connection, owner: str, thread_id: str, threads_before: float) -> bool:
    """Return whether a thread exists, was last updated before a time, and has no unfinished run."""
    row = connection.execute(select(_t.updated_at).where(_t.owner == owner, _t.id == thread_id)).one_or_none()
    return row is not None and row.updated_at < threads_before and not has_open_run(connection, owner, thread_id)


def has_open_run(connection: Connection, owner: str, thread_id: str) -> bool:
    """Return whether a thread has an unfinished run."""
    found = exists().where(_r.owner == owner, _r.thread_id == thread_id, _r.ended_at.is_(None))
    return bool(connection.execute(select(found)).scalar_one())
