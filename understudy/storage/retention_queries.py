"""What has become too old to be kept: found page by page over all users, by the keys of the tables."""

import re
from collections.abc import Sequence
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Connection, Text, cast, exists, func, or_, select, tuple_

from . import schema

_t = schema.threads.c
_m = schema.messages.c
_r = schema.runs.c
_s = schema.steps.c
_e = schema.events.c
_f = schema.files.c

THREADS: Final = 500
"""Threads that are looked at in one transaction: some ten milliseconds."""
FILES: Final = 200
LOOKED_FOR: Final = 20
"""Names of files that are looked for in texts at a time: each is a pass over what their user said."""

Place = tuple[str, str]
"""An owner and the name of something of theirs."""
_ID: Final = re.compile(r"[0-9a-f]{32}")


@frozen
class ExpiredData:
    """A page of threads: those to be removed, and those whose log is to be trimmed before a number; `last` is None at
    the end. `first` is the number of a log's first event."""

    last: Place | None
    expired: tuple[Place, ...]
    trims: tuple[tuple[str, str, int, int], ...]


def old_threads(connection: Connection, after: Place, threads_before: float, events_before: float) -> ExpiredData:
    """The next threads after a place that were last touched before a time and in which no run is unfinished, and of the
    others those whose log begins with events of runs that had ended before a time."""
    place = tuple_(_t.owner, _t.id)
    wanted = select(_t.owner, _t.id, _t.updated_at, _t.created_at).where(place > tuple_(*after))
    rows = connection.execute(wanted.order_by(_t.owner, _t.id).limit(THREADS)).all()
    expired = [
        (row.owner, row.id)
        for row in rows
        if row.updated_at < threads_before and not _has_open_run(connection, row.owner, row.id)
    ]
    trims = []
    for row in rows:
        if row.created_at < events_before and (row.owner, row.id) not in expired:
            first, before = _trimmed(connection, row.owner, row.id, events_before)
            if first is not None and first < before:
                trims.append((row.owner, row.id, first, before))
    return ExpiredData((rows[-1].owner, rows[-1].id) if len(rows) == THREADS else None, tuple(expired), tuple(trims))


def still_old(connection: Connection, owner: str, thread_id: str, threads_before: float) -> bool:
    """Whether a thread is there, was last touched before a time, and has no unfinished run."""
    row = connection.execute(select(_t.updated_at).where(_t.owner == owner, _t.id == thread_id)).one_or_none()
    return row is not None and row.updated_at < threads_before and not _has_open_run(connection, owner, thread_id)


def old_files(connection: Connection, after: Place, before: float) -> tuple[Place | None, list[Place]]:
    """The next files after a place that were uploaded before a time, and are named by nothing that is stored.

    The first of the pair is None at the end.
    """
    place = tuple_(_f.owner, _f.id)
    wanted = select(_f.owner, _f.id).where(place > tuple_(*after), _f.created_at < before)
    rows = [(owner, name) for owner, name in connection.execute(wanted.order_by(_f.owner, _f.id).limit(FILES))]
    of_owner: dict[str, list[str]] = {}
    for owner, name in rows:
        of_owner.setdefault(owner, []).append(name)
    orphans = [(owner, name) for owner, names in of_owner.items() for name in _unnamed(connection, owner, names)]
    return (rows[-1] if len(rows) == FILES else None), orphans


def known_files(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Those of the ids that are files of somebody."""
    return set(connection.execute(select(_f.id).where(_f.id.in_(ids))).scalars())


def _has_open_run(connection: Connection, owner: str, thread_id: str) -> bool:
    found = exists().where(_r.owner == owner, _r.thread_id == thread_id, _r.ended_at.is_(None))
    return bool(connection.execute(select(found)).scalar_one())


def _trimmed(connection: Connection, owner: str, thread_id: str, before: float) -> tuple[int | None, int]:
    """The first number of a log, and the one from which on it is needed: that of the first run that is not old."""
    of_thread = (_e.owner == owner, _e.thread_id == thread_id)
    first: int | None = connection.execute(select(func.min(_e.seq)).where(*of_thread)).scalar_one()
    if first is None:
        return None, 0
    # One look at the index for each run: of a join with all its events, every one would be read.
    begun = select(func.min(_e.seq)).where(_e.run_id == _r.id).correlate(schema.runs).scalar_subquery()
    young = or_(_r.ended_at.is_(None), _r.ended_at >= before)
    needed = select(func.min(begun)).where(_r.owner == owner, _r.thread_id == thread_id, young)
    from_here: int | None = connection.execute(needed).scalar_one()
    if from_here is not None:
        return first, from_here
    last = select(_t.last_seq).where(_t.owner == owner, _t.id == thread_id)
    return first, connection.execute(last).scalar_one() + 1


def _unnamed(connection: Connection, owner: str, names: Sequence[str]) -> list[str]:
    """Those of an owner's files that no message refers to, and that stand in no text and no result of a tool."""
    references = cast(_m.references, Text)
    named: set[str] = set()
    for (listed,) in connection.execute(select(references).where(_m.owner == owner, references != "[]")):
        named.update(_ID.findall(listed))
    left = [name for name in names if name not in named][:LOOKED_FOR]
    return [name for name in left if not _stands_somewhere(connection, owner, name)]


def _stands_somewhere(connection: Connection, owner: str, name: str) -> bool:
    texts: Any = (
        select(_m.number).where(_m.owner == owner, _m.content.contains(name, autoescape=True)),
        select(_s.run_id)
        .join(schema.runs, _r.id == _s.run_id)
        .where(_r.owner == owner, cast(_s.result, Text).contains(name, autoescape=True)),
    )
    return any(connection.execute(text.limit(1)).first() is not None for text in texts)
