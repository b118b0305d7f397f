"""What can be read, as functions from a connection to rows. Every question names its owner; nothing crosses owners."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import Connection, Select, or_, select, tuple_

from . import schema
from .errors import InvalidCursor
from .rows import UNFINISHED, File, LoggedEvent, Message, Page, Run, Step, Thread

_t = schema.threads.c
_m = schema.messages.c
_r = schema.runs.c
_s = schema.steps.c
_e = schema.events.c
_f = schema.files.c

T = TypeVar("T")
LONGEST_QUERY: Final = 200
"""In characters: what is typed beyond it does not narrow a search."""

_THREAD = (_t.owner, _t.id, _t.title, _t.agent_type, _t.pillar, _t.created_at, _t.updated_at, _t.last_seq)
_MESSAGE = tuple(column for column in schema.messages.c if column.name != "number")
_EVENT = (_e.seq, _e.type, _e.run_id, _e.body)
_ONE_ROW_OF_EACH = tuple(select(table).limit(1) for table in schema.metadata.sorted_tables)


def thread(connection: Connection, owner: str, thread_id: str) -> Thread | None:
    """The thread of that name in the owner's space."""
    return _one(connection, select(*_THREAD).where(_t.owner == owner, _t.id == thread_id), Thread)


def threads(connection: Connection, owner: str, query: str, cursor: str | None, limit: int) -> Page[Thread]:
    """The owner's threads, the latest touched first; with a query those that have it in their title or a message."""
    wanted = select(*_THREAD).where(_t.owner == owner)
    query = query.strip()[:LONGEST_QUERY].lower()
    if query:
        said = select(_m.number).where(
            _m.owner == _t.owner, _m.thread_id == _t.id, _m.content.icontains(query, autoescape=True)
        )
        wanted = wanted.where(or_(_t.title.icontains(query, autoescape=True), said.exists()))
    if cursor is not None:
        updated_at, thread_id = _decode(cursor, tuple[float, str])
        wanted = wanted.where(tuple_(_t.updated_at, _t.id) < tuple_(updated_at, thread_id))
    wanted = wanted.order_by(_t.updated_at.desc(), _t.id.desc()).limit(limit + 1)
    found = _all(connection, wanted, Thread)
    last = found[limit - 1] if len(found) > limit else None
    return Page(tuple(found[:limit]), encode(last.updated_at, last.id) if last else None)


def live_threads(connection: Connection, owner: str, limit: int) -> dict[str, int]:
    """The last seq of the owner's latest touched threads, by id."""
    wanted = select(_t.id, _t.last_seq).where(_t.owner == owner)
    rows = connection.execute(wanted.order_by(_t.updated_at.desc(), _t.id.desc()).limit(limit))
    return {row.id: row.last_seq for row in rows}


def message(connection: Connection, owner: str, message_id: str) -> Message | None:
    """The message of that name in the owner's space."""
    return _one(connection, select(*_MESSAGE).where(_m.owner == owner, _m.id == message_id), Message)


def messages(connection: Connection, owner: str, thread_id: str, cursor: str | None, limit: int) -> Page[Message]:
    """The thread's last messages in the order they were said; the cursor asks for those before them."""
    wanted = select(_m.number, *_MESSAGE).where(_m.owner == owner, _m.thread_id == thread_id)
    if cursor is not None:
        (number,) = _decode(cursor, tuple[int])
        wanted = wanted.where(_m.number < number)
    rows = connection.execute(wanted.order_by(_m.number.desc()).limit(limit + 1)).all()
    page = rows[:limit][::-1]
    return Page(tuple(Message(*row[1:]) for row in page), encode(page[0].number) if len(rows) > limit else None)


def events(connection: Connection, owner: str, thread_id: str, after: int, limit: int) -> list[LoggedEvent]:
    """The thread's events from the one after `after`, in order."""
    wanted = select(*_EVENT).where(_e.owner == owner, _e.thread_id == thread_id, _e.seq > after)
    return _all(connection, wanted.order_by(_e.seq).limit(limit), LoggedEvent)


def run_events(connection: Connection, owner: str, thread_id: str, run_id: str) -> list[LoggedEvent]:
    """All events of one run, in order."""
    wanted = select(*_EVENT).where(_e.run_id == run_id, _e.owner == owner, _e.thread_id == thread_id)
    return _all(connection, wanted.order_by(_e.seq), LoggedEvent)


def run(connection: Connection, run_id: str) -> Run | None:
    """The run of that id."""
    return _one(connection, select(*_r).where(_r.id == run_id), Run)


def unfinished_runs(connection: Connection, owner: str | None, thread_id: str | None) -> list[Run]:
    """The runs that have not ended, oldest first."""
    wanted = select(*_r).where(_r.ended_at.is_(None), _r.status.in_(UNFINISHED))
    if owner is not None:
        wanted = wanted.where(_r.owner == owner)
    if thread_id is not None:
        wanted = wanted.where(_r.thread_id == thread_id)
    return _all(connection, wanted.order_by(_r.started_at, _r.id), Run)


def steps(connection: Connection, run_id: str) -> list[Step]:
    """The recorded steps of a run, in order."""
    return _all(connection, select(*_s).where(_s.run_id == run_id).order_by(_s.number), Step)


def file(connection: Connection, owner: str, file_id: str) -> File | None:
    """The owner's file of that id."""
    return _one(connection, select(*_f).where(_f.owner == owner, _f.id == file_id), File)


def files(connection: Connection, owner: str, ids: Sequence[str]) -> list[File]:
    """Those of the ids that are the owner's files, in the order asked for."""
    found = {row.id: row for row in _all(connection, select(*_f).where(_f.owner == owner, _f.id.in_(set(ids))), File)}
    return [found[name] for name in dict.fromkeys(ids) if name in found]


def alive(connection: Connection) -> bool:
    """Whether the tables can be read at all: a row of each, whose pages come from the disk after any write."""
    for rows in _ONE_ROW_OF_EACH:
        connection.execute(rows).all()
    return True


def _one(connection: Connection, wanted: Select[Any], make: Callable[..., T]) -> T | None:
    row = connection.execute(wanted).one_or_none()
    return None if row is None else make(*row)


def _all(connection: Connection, wanted: Select[Any], make: Callable[..., T]) -> list[T]:
    return [make(*row) for row in connection.execute(wanted)]


def encode(*place: Any) -> str:
    """The cursor of a place in a list: opaque to clients, who hand it back as it is."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).rstrip(b"=").decode()


def _decode(cursor: str, shape: type[T]) -> T:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(raw, type=shape)
    except (ValueError, binascii.Error, msgspec.MsgspecError) as error:
        raise InvalidCursor(cursor) from error
