"""What can be read, as functions from a connection to rows. Every question names its owner; nothing crosses owners."""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import BindParameter, ColumnElement, Connection, Select, bindparam, func, or_, select, text, tuple_

from . import schema
from .errors import InvalidCursor
from .fulltext import for_fts5, for_tsquery
from .prepared import Prepared
from .rows import (
    UNFINISHED,
    EventPage,
    File,
    History,
    LoggedEvent,
    Message,
    Page,
    RunRecord,
    StepRecord,
    Thread,
    ThreadPage,
)

_t = schema.threads.c
_m = schema.messages.c
_r = schema.runs.c
_s = schema.steps.c
_e = schema.events.c
_f = schema.files.c
_w = schema.raw_texts.c

T = TypeVar("T")
R = TypeVar("R")
LONGEST_QUERY: Final = 200
"""In characters: what is typed beyond it does not narrow a search."""
PAGE_BYTES: Final = 1024 * 1024
"""About as much is read at a time, whatever number of rows was asked for."""
LAST: Final = 2**62
"""More than the number of any message."""
MESSAGES_TOGETHER: Final = 25
"""Messages that PostgreSQL gives at a time: the rest of a page is not read when these have its bytes."""

THREAD = (
    _t.owner,
    _t.id,
    _t.title,
    _t.agent_type,
    _t.pillar,
    _t.created_at,
    _t.updated_at,
    _t.last_seq,
    _t.newest_run,
)
_MESSAGE = tuple(column for column in schema.messages.c if column.name != "number")
_EVENT = (_e.seq, _e.type, _e.run_id, _e.body)
_ONE_ROW_OF_EACH = tuple(select(table).limit(1) for table in schema.metadata.sorted_tables)

# What every connection asks when it comes back.
_owner: BindParameter[str] = bindparam("owner")
_thread_id: BindParameter[str] = bindparam("thread_id")
_thread = Prepared(select(*THREAD).where(_t.owner == _owner, _t.id == _thread_id))
_held_thread = Prepared(select(*THREAD, _t.node, _t.fence).where(_t.owner == _owner, _t.id == _thread_id))
_last_seq = Prepared(select(_t.last_seq).where(_t.owner == _owner, _t.id == _thread_id))
_live_threads = Prepared(
    select(_t.id, _t.last_seq)
    .where(_t.owner == _owner)
    .order_by(_t.updated_at.desc(), _t.id.desc())
    .limit(bindparam("limit"))
)
_events = Prepared(
    select(*_EVENT)
    .where(_e.owner == _owner, _e.thread_id == _thread_id, _e.seq > bindparam("after"))
    .order_by(_e.seq)
    .limit(bindparam("limit"))
)
# A driver of PostgreSQL reads all that is found before it gives the first of it, so the database stops at `room` bytes.
_before = func.sum(func.octet_length(_e.body)).over(order_by=_e.seq, rows=(None, -1))
_next_events = (
    select(*_EVENT, func.coalesce(_before, 0).label("before"))
    .where(_e.owner == _owner, _e.thread_id == _thread_id, _e.seq > bindparam("after"))
    .order_by(_e.seq)
    .limit(bindparam("limit"))
    .subquery()
)
_events_within = Prepared(
    select(*(_next_events.c[column.name] for column in _EVENT))
    .where(_next_events.c.before <= bindparam("room"))
    .order_by(_next_events.c.seq)
)
# By the run alone: told the thread too, SQLite takes that for the shorter way, and reads all of a long one.
_run_events = Prepared(select(_e.owner, _e.thread_id, *_EVENT).where(_e.run_id == bindparam("run_id")).order_by(_e.seq))
_unfinished_here = Prepared(
    select(*_r)
    .where(
        _r.ended_at.is_(None),
        or_(*(_r.status == status for status in UNFINISHED)),
        _r.owner == _owner,
        _r.thread_id == _thread_id,
    )
    .order_by(_r.started_at, _r.id)
)
_run = Prepared(select(*_r).where(_r.id == bindparam("run_id")))
_runs_of = (
    select(*_r)
    .where(_r.owner == _owner, _r.message_id.in_(bindparam("ids", expanding=True)))
    .order_by(_r.started_at, _r.id)
)
_messages_before = (
    select(_m.number, *_MESSAGE)
    .where(_m.owner == _owner, _m.thread_id == _thread_id, _m.number < bindparam("before"))
    .order_by(_m.number.desc())
    .limit(bindparam("limit"))
)


def thread(connection: Connection, owner: str, thread_id: str) -> Thread | None:
    """The thread of that name in the owner's space."""
    rows = _thread.rows(connection, owner=owner, thread_id=thread_id)
    return Thread(*rows[0]) if rows else None


def threads(connection: Connection, owner: str, query: str, cursor: str | None, limit: int) -> Page[Thread]:
    """The owner's threads, the latest touched first; with a query those that have it in their title, or all its words
    in one of their messages."""
    wanted = select(*THREAD).where(_t.owner == owner)
    query = query.strip()[:LONGEST_QUERY].lower()
    if query:
        titled = _t.title.icontains(query, autoescape=True)
        said = _said(connection, owner, query)
        wanted = wanted.where(titled if said is None else or_(titled, said))
    if cursor is not None:
        updated_at, thread_id = _decode(cursor, tuple[float, str])
        wanted = wanted.where(tuple_(_t.updated_at, _t.id) < tuple_(updated_at, thread_id))
    wanted = wanted.order_by(_t.updated_at.desc(), _t.id.desc()).limit(limit + 1)
    found = _all(connection, wanted, Thread)
    last = found[limit - 1] if len(found) > limit else None
    return Page(tuple(found[:limit]), encode(last.updated_at, last.id) if last else None)


def _said(connection: Connection, owner: str, query: str) -> ColumnElement[bool] | None:
    """Whether a message of the thread has the words that are asked for; None when none are."""
    threads = select(schema.words.c.thread_id).where(schema.words.c.owner == owner)
    if connection.dialect.name == "sqlite":
        asked = for_fts5(owner, query)
        found = text("number IN (SELECT rowid FROM words_index WHERE words_index MATCH :asked)")
    else:
        asked = for_tsquery(owner, query)
        found = text("array_to_tsvector(string_to_array(words.text, ' ')) @@ CAST(:asked AS tsquery)")
    return None if asked is None else _t.id.in_(threads.where(found.bindparams(asked=asked)))


def live_threads(connection: Connection, owner: str, limit: int) -> dict[str, int]:
    """The last seq of the owner's latest touched threads, by id."""
    return dict(_live_threads.rows(connection, owner=owner, limit=limit))


def last_seqs(connection: Connection, owner: str, ids: Sequence[str]) -> dict[str, int]:
    """The last seq of those of the ids that are the owner's threads."""
    found = {}
    for thread_id in ids:
        for (last_seq,) in _last_seq.rows(connection, owner=owner, thread_id=thread_id):
            found[thread_id] = last_seq
    return found


def message(connection: Connection, owner: str, message_id: str) -> Message | None:
    """The message of that name in the owner's space."""
    return _one(connection, select(*_MESSAGE).where(_m.owner == owner, _m.id == message_id), Message)


def messages_forward(
    connection: Connection, owner: str, thread_id: str, cursor: str | None, limit: int
) -> Page[Message]:
    """The thread's first messages in the order they were said; the cursor asks for those after them."""
    (number,) = _decode(cursor, tuple[int]) if cursor is not None else (0,)
    wanted = select(_m.number, *_MESSAGE).where(_m.owner == owner, _m.thread_id == thread_id, _m.number > number)
    wanted = wanted.order_by(_m.number).limit(bindparam("limit"))
    page, more = _messages_page(connection, wanted, limit)
    return Page(tuple(Message(*row[1:]) for row in page), encode(page[-1].number) if more else None)


def messages(connection: Connection, owner: str, thread_id: str, cursor: str | None, limit: int) -> Page[Message]:
    """The thread's last messages in the order they were said; the cursor asks for those before them."""
    (before,) = _decode(cursor, tuple[int]) if cursor is not None else (LAST,)
    of_thread = {"owner": owner, "thread_id": thread_id, "before": before}
    page, more = _messages_page(connection, _messages_before, limit, of_thread)
    page.reverse()
    return Page(tuple(Message(*row[1:]) for row in page), encode(page[0].number) if more else None)


def thread_page(
    connection: Connection, owner: str, thread_id: str, cursor: str | None, limit: int
) -> ThreadPage | None:
    """A page of a thread's messages, as `messages` gives it, with what is shown beside them."""
    this = thread(connection, owner, thread_id)
    if this is None:
        return None
    page = messages(connection, owner, thread_id, cursor, limit)
    said = [row.id for row in page.items if row.role == "user"]
    newest = None if this.newest_run is None else run(connection, this.newest_run)
    return ThreadPage(this, newest, page, tuple(runs_of(connection, owner, said)))


# From a message to the first of its thread: each follows an answer, whose run tells the message before it. Numbers only
# fall on the way, so it ends in whatever a database may hold.
_way = text("""
    WITH RECURSIVE way(number, message_id, answer_id, depth) AS (
        SELECT number, id, parent_id, 0 FROM messages WHERE owner = :owner AND id = :message_id
        UNION ALL
        SELECT said.number, said.id, said.parent_id, way.depth + 1
        FROM way
        JOIN runs ON runs.id = substr(way.answer_id, 8) AND runs.owner = :owner
        JOIN messages AS said ON said.owner = runs.owner AND said.id = runs.message_id AND said.number < way.number
    )
    SELECT way.depth, way.message_id, answer.id
    FROM way LEFT JOIN messages AS answer ON answer.owner = :owner AND answer.id = way.answer_id
    ORDER BY way.depth DESC
""")


def history(connection: Connection, owner: str, message_id: str, limit: int) -> History:
    """The last messages on the way from the root of a thread to a message, without that message itself."""
    names: list[str] = []
    for depth, said, answer in connection.execute(_way, {"owner": owner, "message_id": message_id}):
        names += [answer] if answer is not None else []
        names += [said] if depth else []
    shown = _newest(connection, owner, names[-limit:])
    rows = _all(connection, select(*_MESSAGE).where(_m.owner == owner, _m.id.in_(shown)), Message)
    found = {row.id: row for row in rows}
    return History(tuple(found[name] for name in shown), len(names) - len(shown))


def _newest(connection: Connection, owner: str, names: Sequence[str]) -> list[str]:
    """The last of these messages that have about `PAGE_BYTES` together."""
    sizes = dict(
        connection.execute(select(_m.id, func.length(_m.content)).where(_m.owner == owner, _m.id.in_(names))).all()
    )
    kept, _ = _page(reversed(names), len(names), lambda name: sizes.get(name, 0))
    return kept[::-1]


def events(connection: Connection, owner: str, thread_id: str, after: int, limit: int) -> list[LoggedEvent]:
    """The thread's events from the one after `after`, in order."""
    of_thread: dict[str, object] = {"owner": owner, "thread_id": thread_id, "after": after, "limit": limit}
    if connection.dialect.name == "sqlite":
        rows = _events.each(connection, **of_thread)
    else:
        rows = _events_within.each(connection, **of_thread, room=PAGE_BYTES)
    return [LoggedEvent(*row) for row in _page(rows, limit, lambda row: len(row[3]))[0]]


def log_page(
    connection: Connection, owner: str, thread_id: str, after: int, limit: int
) -> tuple[int | None, list[LoggedEvent]]:
    """The thread's last seq, None where there is no such thread, and its events from the one after `after`."""
    rows = _last_seq.rows(connection, owner=owner, thread_id=thread_id)
    last_seq = rows[0][0] if rows else None
    if last_seq is None or last_seq <= after:
        return last_seq, []
    return last_seq, events(connection, owner, thread_id, after, limit)


def event_page(connection: Connection, owner: str, thread_id: str, after: int, limit: int) -> EventPage | None:
    """A page of a thread's log, as `events` gives it, with the thread."""
    this = thread(connection, owner, thread_id)
    return None if this is None else EventPage(this, tuple(events(connection, owner, thread_id, after, limit)))


def thread_with_open_runs(connection: Connection, owner: str, thread_id: str) -> tuple[Thread, list[RunRecord]] | None:
    """The thread, with who holds it, and its runs that have not ended, if there is one."""
    rows = _held_thread.rows(connection, owner=owner, thread_id=thread_id)
    if not rows:
        return None
    return Thread(*rows[0]), [
        RunRecord(*row) for row in _unfinished_here.rows(connection, owner=owner, thread_id=thread_id)
    ]


def run_events(connection: Connection, owner: str, thread_id: str, run_id: str) -> list[LoggedEvent]:
    """All events of one run, in order."""
    rows = _run_events.each(connection, run_id=run_id)
    return [LoggedEvent(*row[2:]) for row in rows if row[:2] == (owner, thread_id)]


def raw_texts(connection: Connection, owner: str, message_ids: Sequence[str]) -> dict[str, bytes]:
    """Those of the messages that are kept as they were sent: sealed, by message id."""
    wanted = select(_w.message_id, _w.sealed).where(_w.owner == owner, _w.message_id.in_(message_ids))
    return dict(connection.execute(wanted).all())


def run(connection: Connection, run_id: str) -> RunRecord | None:
    """The run of that id."""
    rows = _run.rows(connection, run_id=run_id)
    return RunRecord(*rows[0]) if rows else None


def run_of_request(connection: Connection, owner: str, request_id: str) -> RunRecord | None:
    """The run that a request to answer a message once more began."""
    return _one(connection, select(*_r).where(_r.owner == owner, _r.request_id == request_id), RunRecord)


def runs_of(connection: Connection, owner: str, message_ids: Sequence[str]) -> list[RunRecord]:
    """The runs that answered these messages, oldest first."""
    rows = connection.execute(_runs_of, {"owner": owner, "ids": message_ids})
    return [RunRecord(*row) for row in rows]


def unfinished_runs(connection: Connection, owner: str | None, thread_id: str | None) -> list[RunRecord]:
    """The runs that have not ended, oldest first."""
    wanted = select(*_r).where(_r.ended_at.is_(None), _r.status.in_(UNFINISHED))
    if owner is not None:
        wanted = wanted.where(_r.owner == owner)
    if thread_id is not None:
        wanted = wanted.where(_r.thread_id == thread_id)
    return _all(connection, wanted.order_by(_r.started_at, _r.id), RunRecord)


def steps(connection: Connection, run_id: str) -> list[StepRecord]:
    """The recorded steps of a run, in order."""
    return _all(connection, select(*_s).where(_s.run_id == run_id).order_by(_s.number), StepRecord)


def file(connection: Connection, owner: str, file_id: str) -> File | None:
    """The owner's file of that id."""
    return _one(connection, select(*_f).where(_f.owner == owner, _f.id == file_id), File)


def files(connection: Connection, owner: str, ids: Sequence[str]) -> list[File]:
    """Those of the ids that are the owner's files, in the order asked for."""
    found = {row.id: row for row in _all(connection, select(*_f).where(_f.owner == owner, _f.id.in_(set(ids))), File)}
    return [found[name] for name in dict.fromkeys(ids) if name in found]


def bytes_used(connection: Connection, what: str, *, user: str | None = None, tenant: str | None = None) -> int:
    """Return how many bytes the `files` or `threads` of a user have, or those of all users of a tenant."""
    table, size, owner = (
        (schema.files, _f.size, _f.owner) if what == "files" else (schema.threads, _t.stored_bytes, _t.owner)
    )
    used = select(func.coalesce(func.sum(size), 0)).select_from(table)
    if tenant is None:
        used = used.where(owner == user)
    else:
        used = used.join(schema.users, schema.users.c.id == owner).where(schema.users.c.tenant == tenant)
    return int(connection.execute(used).scalar_one())


def alive(connection: Connection) -> bool:
    """Whether the tables can be read at all: a row of each, whose pages come from the disk after any write."""
    for rows in _ONE_ROW_OF_EACH:
        connection.execute(rows).all()
    return True


def _one(connection: Connection, wanted: Select[Any], make: Callable[..., T]) -> T | None:
    row = connection.execute(wanted).one_or_none()
    return None if row is None else make(*row)


def _messages_page(
    connection: Connection, wanted: Select[Any], limit: int, values: Mapping[str, Any] | None = None
) -> tuple[list[Any], bool]:
    options = {} if connection.dialect.name == "sqlite" else {"yield_per": MESSAGES_TOGETHER}
    rows = connection.execute(wanted, {**(values or {}), "limit": limit + 1}, execution_options=options)
    try:
        return _page(rows, limit, lambda row: len(row.content))
    finally:
        rows.close()


def _page(rows: Iterable[R], limit: int, size_of: Callable[[R], int]) -> tuple[list[R], bool]:
    """At most `limit` rows of about `PAGE_BYTES` together, one at least; and whether there are more."""
    page: list[R] = []
    room = PAGE_BYTES
    for row in rows:
        if len(page) == limit or (page and room < 0):
            return page, True
        page.append(row)
        room -= size_of(row)
    return page, False


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
