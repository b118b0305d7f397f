"""Events of many changes, appended at once: SQLite takes row after row, PostgreSQL all of them in one statement.

As nothing may be prepared on a server of PostgreSQL, it would parse and plan a statement for each row anew, which
takes it several times as long as the row itself.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    TableValuedAlias,
    Text,
    and_,
    bindparam,
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


def _moving(given: Any) -> Any:
    """Have threads end where `given` says, if they are where it says, and under the fence it says, if it does."""
    under = and_(_t.node == given["under"], _t.fence == given["token"])
    this = (_t.owner == given["of"], _t.id == given["named"], _t.last_seq == given["before"])
    return (
        update(schema.threads)
        .where(*this, or_(given["under"].is_(None), under))
        .values(last_seq=given["last"], stored_bytes=_t.stored_bytes + given["grown"])
    )


def _rows(**columns: TypeEngine[Any]) -> TableValuedAlias:
    """A table whose rows are given, each column as an array of its name."""
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
_move = Prepared(_moving({name: bindparam(name, type_=kind) for name, kind in _MOVED.items()}))
_insert = Prepared(insert(schema.events))

_moves = _moving(_rows(**_MOVED).c).returning(_t.id).cte("moved")
_given = _rows(**{each.name: each.type for each in _e})
_added = insert(schema.events).from_select([each.name for each in _e], select(*_given.c)).cte("added")
_append = Prepared(select(func.count()).select_from(_moves).add_cte(_added))


def append_all(connection: Connection, changes: Sequence[Change]) -> bool:
    """Append the events of changes, in two statements or one; False when one of them does not fit.

    Then, as when this raises, some may be written: the caller rolls back to before it. PostgreSQL takes one change of a
    thread at a time: where there are two, one of them does not fit.
    """
    moves = [moved(change) for change in changes]
    events = [event_row(change, event) for change in changes for event in change.events]
    if connection.dialect.name == "postgresql":
        return bool(_append.run(connection, _columns(moves) | _columns(events)).scalar_one() == len(moves))
    if _move.run(connection, moves).rowcount != len(moves):
        return False
    _insert.run(connection, events)
    return True


def _columns(rows: Sequence[Row]) -> Row:
    return {name: [row[name] for row in rows] for name in rows[0]}


def moved(change: Change) -> Row:
    """Where a change finds its thread, and where it leaves it; `under` and `token` are None for one without a fence."""
    fence = change.fence
    return {
        "of": change.owner,
        "named": change.thread_id,
        "before": change.events[0].seq - 1,
        "last": change.events[-1].seq,
        "under": None if fence is None else fence.node,
        "token": None if fence is None else fence.token,
        "grown": grown(change),
    }


def grown(change: Change) -> int:
    """Return how many bytes a change adds to its thread: events, messages and a raw text."""
    raw = 0 if change.raw is None else len(change.raw.sealed)
    said = sum(len(message.content.encode("utf-8", "surrogatepass")) for message in change.messages)
    return sum(len(event.body) for event in change.events) + said + raw


def event_row(change: Change, event: LoggedEvent) -> Row:
    """An event of a change as the table has it."""
    return {
        "owner": change.owner,
        "thread_id": change.thread_id,
        "seq": event.seq,
        "type": event.type,
        "run_id": event.run_id,
        "body": event.body,
    }
