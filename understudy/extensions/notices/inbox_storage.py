"""Reads a user's unfinished runs and unread answers over all threads. Writes how far the user has read.

1. The answers are derived from the log and the rows of runs and threads, so they are the same on every node and after
   a restart.
2. An answer is unread while `answered_seq` of its thread is greater than `read_seq`. A run that its user cancelled
   leaves nothing to read.
"""

from collections.abc import Mapping
from typing import Final

from attrs import field, frozen
from sqlalchemy import Connection, case, func, select, text, update

from understudy.storage import schema
from understudy.storage.queries import LISTED, OPEN_RUN
from understudy.storage.records import LoggedEvent, RunRecord
from understudy.storage.write import write

MOST: Final = 100
"""Limit of runs, and of threads with an unread answer, in one read; the newest of both."""
MOST_EVENTS: Final = 500
"""Limit of events that are read of a run: the newest of the requested types."""
MOST_MARKS: Final = 100
"""Limit of threads that one write marks as read."""

_t = schema.threads.c
_r = schema.runs.c
_e = schema.events.c
_newest = schema.runs.alias("newest")
_UNREAD: Final = text(schema.UNREAD)


@write
def mark_read(connection: Connection, owner: str, threads: Mapping[str, int] | None) -> int:
    """Record that a user has seen these threads, each up to the number of an event; None: all ended answers.

    A mark never moves back, nor beyond the end of the log. Return how many threads were marked.
    """
    mine = update(schema.threads).where(_t.owner == owner)
    if threads is None:
        return connection.execute(mine.where(_UNREAD).values(read_seq=_t.answered_seq)).rowcount
    marked = 0
    for thread_id, seq in sorted(threads.items()):  # in order, so that two writers cannot deadlock
        seen = case((_t.last_seq < seq, _t.last_seq), else_=seq)
        marked += connection.execute(mine.where(_t.id == thread_id, _t.read_seq < seen).values(read_seq=seen)).rowcount
    return marked


@frozen
class UnfinishedRun:
    """An unfinished run, the title and the last number of its thread, and its newest events in order."""

    run: RunRecord
    title: str = field(repr=False)
    last_seq: int
    events: tuple[LoggedEvent, ...]


@frozen
class UnreadThread:
    """A thread with an unread answer, which ended with the event `answered_seq`. `status` is that of its newest run."""

    id: str
    title: str = field(repr=False)
    agent_type: str
    pillar: str | None
    updated_at: float
    answered_seq: int
    status: str | None


@frozen
class OpenItems:
    """A user's unfinished `runs`, oldest first; `unread` threads, newest first; and the number of unread threads."""

    runs: tuple[UnfinishedRun, ...]
    unread: tuple[UnreadThread, ...]
    unread_count: int


def open_items(connection: Connection, owner: str, types: tuple[str, ...]) -> OpenItems:
    """Return a user's unfinished runs, with their events of these `types`, and unread threads."""
    at_work = (
        select(*_r, _t.title, _t.last_seq)
        .join(schema.threads, (_t.owner == _r.owner) & (_t.id == _r.thread_id))
        .where(_r.owner == owner, OPEN_RUN)
        .order_by(_r.started_at.desc(), _r.id)
        .limit(MOST)
    )
    runs = [
        UnfinishedRun(RunRecord(*row[:-2]), row.title, row.last_seq, newest_events(connection, owner, row.id, types))
        for row in connection.execute(at_work).all()
    ]
    runs.reverse()
    mine = (_t.owner == owner, _UNREAD, LISTED)
    columns = (_t.id, _t.title, _t.agent_type, _t.pillar, _t.updated_at, _t.answered_seq, _newest.c.status)
    query = select(*columns).outerjoin(_newest, _newest.c.id == _t.newest_run).where(*mine)
    unread = [UnreadThread(*row) for row in connection.execute(query.order_by(_t.updated_at.desc()).limit(MOST))]
    count = len(unread)
    if count == MOST:
        count = connection.execute(select(func.count()).select_from(schema.threads).where(*mine)).scalar_one()
    return OpenItems(tuple(runs), tuple(unread), count)


def newest_events(connection: Connection, owner: str, run_id: str, types: tuple[str, ...]) -> tuple[LoggedEvent, ...]:
    """Return the newest events of these types of a run, in order, at most MOST_EVENTS."""
    of_run = select(_e.seq, _e.type, _e.run_id, _e.body).where(_e.run_id == run_id, _e.owner == owner)
    rows = connection.execute(of_run.where(_e.type.in_(types)).order_by(_e.seq.desc()).limit(MOST_EVENTS)).all()
    return tuple(LoggedEvent(*row) for row in reversed(rows))
