"""Appends events to the ends of threads' logs, of one change or of many at once.

SQLite executes the statements once per row. PostgreSQL gets the rows of all changes as arrays in one statement: nothing
may be prepared on its server, and to parse and plan a statement per row takes several times as long as the row itself.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Float,
    Integer,
    TableValuedAlias,
    Text,
    and_,
    bindparam,
    case,
    column,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeEngine

from . import schema
from .prepared import Prepared
from .rows import LoggedEvent
from .writes import Change

Row = dict[str, Any]

_t = schema.threads.c
_e = schema.events.c


def _move_end(given: Any, *, touch: bool = False) -> Any:
    """Build the UPDATE that moves the end of a thread's log from `before` to `last`, if its fence is the given one.

    `under` None: without a fence. The fence is checked on the locked row, so either a node that claims the thread waits
    for this transaction, or this sees the claim. `touch` also raises `updated_at`: an UPDATE that names this column
    rewrites its index, so a change that only appends leaves it out.
    """
    under = and_(_t.node == given["under"], _t.fence == given["token"])
    this = (_t.owner == given["of"], _t.id == given["named"], _t.last_seq == given["before"])
    values = {"last_seq": given["last"], "stored_bytes": _t.stored_bytes + given["grown"]}
    if touch:
        values["updated_at"] = case((_t.updated_at < given["at"], given["at"]), else_=_t.updated_at)
    return update(schema.threads).where(*this, or_(given["under"].is_(None), under)).values(values)


def _rows(**columns: TypeEngine[Any]) -> TableValuedAlias:
    """Build a table expression over bound arrays, one array per column."""
    arrays = (bindparam(name, type_=ARRAY(kind)) for name, kind in columns.items())
    return func.unnest(*arrays).table_valued(*(column(name, kind) for name, kind in columns.items())).render_derived()


_MOVED: Final[dict[str, TypeEngine[Any]]] = {
    "of": Text(),
    "named": Text(),
    "before": Integer(),
    "last": Integer(),
    "under": Text(),
    "token": Integer(),
    "grown": BigInteger(),
}
_PARAMETERS: Final = {name: bindparam(name, type_=kind) for name, kind in {**_MOVED, "at": Float()}.items()}
_move = Prepared(_move_end(_PARAMETERS))
_move_and_touch = Prepared(_move_end(_PARAMETERS, touch=True))
_insert = Prepared(insert(schema.events))

_moves = _move_end(_rows(**_MOVED).c).returning(_t.id).cte("moved")
_given = _rows(**{each.name: each.type for each in _e})
_added = insert(schema.events).from_select([each.name for each in _e], select(*_given.c)).cte("added")
_append = Prepared(select(func.count()).select_from(_moves).add_cte(_added))


def append_all(connection: Connection, changes: Sequence[Change]) -> bool:
    """Append the events of several changes. Return False if one of them does not fit.

    If this returns False or raises, some rows may be written: the caller rolls back. On PostgreSQL the changes must be
    of different threads: of two changes of one thread, the second does not fit.
    """
    moves = [_move_row(change) for change in changes]
    events = [_event_row(change, event) for change in changes for event in change.events]
    if connection.dialect.name == "postgresql":
        return bool(_append.run(connection, _columns(moves) | _columns(events)).scalar_one() == len(moves))
    if _move.run(connection, moves).rowcount != len(moves):
        return False
    _insert.run(connection, events)
    return True


def append(connection: Connection, change: Change) -> bool:
    """Append the events of one change and move the thread's `updated_at`. Return False if nothing was written."""
    row, at = _move_row(change), change.touched_at
    moved = _move.run(connection, row) if at is None else _move_and_touch.run(connection, row | {"at": at})
    if not moved.rowcount:
        return False
    _insert.run(connection, [_event_row(change, event) for event in change.events])
    return True


def _columns(rows: Sequence[Row]) -> Row:
    return {name: [row[name] for row in rows] for name in rows[0]}


def _move_row(change: Change) -> Row:
    """Return the parameters of `_move_end` for a change."""
    fence = change.fence
    raw = 0 if change.raw is None else len(change.raw.sealed)
    messages = sum(len(message.content.encode("utf-8", "surrogatepass")) for message in change.messages)
    return {
        "of": change.owner,
        "named": change.thread_id,
        "before": change.events[0].seq - 1,
        "last": change.events[-1].seq,
        "under": None if fence is None else fence.node,
        "token": None if fence is None else fence.token,
        "grown": sum(len(event.body) for event in change.events) + messages + raw,
    }


def _event_row(change: Change, event: LoggedEvent) -> Row:
    return {
        "owner": change.owner,
        "thread_id": change.thread_id,
        "seq": event.seq,
        "type": event.type,
        "run_id": event.run_id,
        "body": event.body,
    }
