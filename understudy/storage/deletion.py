"""How what is stored is removed: in pieces, each a transaction that other writes hardly wait for.

1. What depends on a row goes before it, so that being cut off leaves nothing that names what is not there; and the last
   row of a thread or a user is its own, so that asking again goes on where it was.
2. A user's own row stays while they have threads: with it, the database would remove these too.
"""

from typing import Any, Final, TypeAlias

from attrs import frozen
from sqlalchemy import Connection, Table, delete, exists, func, select, text, tuple_

from . import schema

_t = schema.threads.c
_m = schema.messages.c
_r = schema.runs.c
_s = schema.steps.c
_e = schema.events.c
_w = schema.raw_texts.c
_f = schema.files.c
_c = schema.contexts.c
_u = schema.users.c

EVENTS: Final = 200
"""Events, steps or runs removed in one transaction: some ten milliseconds."""
MESSAGES: Final = 25
"""Messages removed in one: their words leave the index with them."""
MERGED_PAGES: Final = 32
"""Pages of SQLite's index of words that are written anew in one transaction: some ten milliseconds."""
GONE, MORE = 1, 2
"""What a removal answers when all of it is gone now, and when there is more of it; 0: there was nothing."""


@frozen
class RemoveFiles:
    """Remove the rows of files, whose bytes are gone. The answer is how many there were."""

    owner: str
    ids: tuple[str, ...]


@frozen
class RemoveUser:
    """Remove what is left of a user who has no files and no threads: what agents remember of them, and their row.

    The answer is GONE, MORE, or 0 where there is none, or one that has files or threads.
    """

    owner: str


@frozen
class MergeFulltext:
    """Write a piece of the index of words anew: what was removed is in it until then. `begin`: from its start.

    The answer is whether there is more; PostgreSQL does it by itself.
    """

    begin: bool = False


DeletionWrite: TypeAlias = RemoveFiles | RemoveUser | MergeFulltext


def write(connection: Connection, work: DeletionWrite) -> int:
    """Do one piece of work; the answer is the one its class names."""
    match work:
        case RemoveFiles(owner, ids):
            return connection.execute(delete(schema.files).where(_f.owner == owner, _f.id.in_(ids))).rowcount
        case RemoveUser(owner):
            return _remove_user(connection, owner)
        case MergeFulltext(begin):
            return _tidy_words(connection, begin)


def remove_thread(connection: Connection, owner: str, thread_id: str) -> int:
    """Remove a piece of a thread, of a small one all: GONE, MORE, or 0 where there is no such thread."""
    this = (_t.owner == owner, _t.id == thread_id)
    if connection.execute(select(_t.id).where(*this)).one_or_none() is None:
        return 0
    first = connection.execute(
        select(func.min(_e.seq)).where(_e.owner == owner, _e.thread_id == thread_id)
    ).scalar_one()
    if first is not None:
        oldest = delete(schema.events).where(_e.owner == owner, _e.thread_id == thread_id, _e.seq < first + EVENTS)
        if connection.execute(oldest).rowcount >= EVENTS:
            return MORE
    of_runs = select(_s.run_id, _s.number).join(schema.runs, _r.id == _s.run_id)
    for table, rows, most in (
        (schema.steps, of_runs.where(_r.owner == owner, _r.thread_id == thread_id), EVENTS),
        (schema.raw_texts, select(_w.owner, _w.message_id).where(_w.owner == owner, _w.thread_id == thread_id), EVENTS),
        (schema.messages, select(_m.number).where(_m.owner == owner, _m.thread_id == thread_id), MESSAGES),
        (schema.runs, select(_r.id).where(_r.owner == owner, _r.thread_id == thread_id), EVENTS),
    ):
        if _some(connection, table, rows, most) >= most:
            return MORE
    connection.execute(delete(schema.threads).where(*this))
    return GONE


def _some(connection: Connection, table: Table, rows: Any, most: int) -> int:
    """Remove at most so many of these rows, which are named by the table's key; gives how many."""
    key = [table.c[column.name] for column in rows.selected_columns]
    named = key[0] if len(key) == 1 else tuple_(*key)
    return connection.execute(delete(table).where(named.in_(rows.limit(most)))).rowcount


def _remove_user(connection: Connection, owner: str) -> int:
    threads = exists().where(_t.owner == owner)
    files = exists().where(_f.owner == owner)
    if connection.execute(select(_u.id).where(_u.id == owner, ~threads, ~files)).one_or_none() is None:
        return 0
    if _some(connection, schema.contexts, select(*_key_of_context()).where(_c.owner == owner), EVENTS) >= EVENTS:
        return MORE
    return GONE if connection.execute(delete(schema.users).where(_u.id == owner, ~threads, ~files)).rowcount else MORE


def _key_of_context() -> tuple[Any, ...]:
    return _c.owner, _c.agent, _c.name


def _tidy_words(connection: Connection, begin: bool) -> bool:
    """FTS5's `merge`: a negative number begins an optimisation, a positive one goes on until nothing is written."""
    if connection.dialect.name != "sqlite":
        return False
    merge = text("INSERT INTO words_index (words_index, rank) VALUES ('merge', :pages)")
    changes = text("SELECT total_changes()")
    before = connection.execute(changes).scalar_one()
    connection.execute(merge, {"pages": -MERGED_PAGES if begin else MERGED_PAGES})
    return bool(connection.execute(changes).scalar_one() - before >= 2)
