"""Deletes threads, users and files in parts, each a short transaction that hardly delays other writes.

1. Dependent rows are deleted first, so that an interrupted deletion leaves no dangling references; the row of the
   thread or user itself is deleted last, so that a repeated call continues.
2. A user's own row stays while they have threads: the database would cascade to these.
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen
from sqlalchemy import Connection, Table, delete, exists, func, select, text, tuple_

from understudy.extension import kept_of_users

from . import schema
from .write import Write

if TYPE_CHECKING:
    from .store import Store

_t = schema.threads.c
_m = schema.messages.c
_r = schema.runs.c
_s = schema.steps.c
_e = schema.events.c
_f = schema.files.c
_c = schema.contexts.c
_u = schema.users.c

EVENTS: Final = 200
"""Limit of events, steps or runs deleted per transaction: about 10 ms."""
MESSAGES: Final = 25
"""Limit of messages deleted per transaction: their words are deleted from the full-text index, too."""
MERGED_PAGES: Final = 32
"""Pages of SQLite's full-text index merged per transaction: about 10 ms."""
GONE, MORE = 1, 2
"""Answers of a deletion: everything is deleted, or there is more to delete; 0: there was nothing."""


@frozen
class RemoveUser(Write):
    """Delete a user who has no files and no threads: the memories of agents, then the user's row.

    The answer is GONE, MORE, or 0 if there is no such user, or the user has files or threads.
    """

    owner: str

    def apply(self, connection: Connection) -> int:
        """As `Write.apply`."""
        threads = exists().where(_t.owner == self.owner)
        files = exists().where(_f.owner == self.owner)
        if connection.execute(select(_u.id).where(_u.id == self.owner, ~threads, ~files)).one_or_none() is None:
            return 0
        memories = select(_c.owner, _c.agent, _c.name).where(_c.owner == self.owner)
        if delete_some(connection, schema.contexts, memories, EVENTS) >= EVENTS:
            return MORE
        turns = select(schema.spending.c.run_id, schema.spending.c.number).where(schema.spending.c.owner == self.owner)
        if delete_some(connection, schema.spending, turns, EVENTS) >= EVENTS:
            return MORE
        return (
            GONE
            if connection.execute(delete(schema.users).where(_u.id == self.owner, ~threads, ~files)).rowcount
            else MORE
        )


async def remove_user(store: "Store", owner: str) -> bool:
    """Delete the rest of a user who has no threads and no files. Return False if they have, or do not exist."""
    while (left := await store.commit(RemoveUser(owner))) == MORE:
        pass
    return left == GONE


@frozen
class MergeFulltext(Write):
    """Merge a part of SQLite's full-text index, which purges deleted words. `begin`: from its start.

    The answer is whether there is more; PostgreSQL purges by itself.
    """

    begin: bool = False

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        if connection.dialect.name != "sqlite":
            return False
        merge = text("INSERT INTO words_index (words_index, rank) VALUES ('merge', :pages)")
        changes = text("SELECT total_changes()")
        before = connection.execute(changes).scalar_one()
        connection.execute(merge, {"pages": -MERGED_PAGES if self.begin else MERGED_PAGES})
        return bool(connection.execute(changes).scalar_one() - before >= 2)


@cache
def _of_extensions() -> Sequence[Table]:
    """Return the tables of extensions whose rows are of a thread."""
    tables = [kept.table for kept in kept_of_users()]
    return [
        each for each in tables if any(key.referred_table is schema.threads for key in each.foreign_key_constraints)
    ]


def remove_thread(connection: Connection, owner: str, thread_id: str) -> int:
    """Delete a part of a thread, or all of a small one. Return GONE, MORE, or 0 if there is no such thread."""
    this = (_t.owner == owner, _t.id == thread_id)
    if connection.execute(select(_t.id).where(*this)).one_or_none() is None:
        return 0
    for table in _of_extensions():  # first: a link to the thread must not outlive the beginning of its deletion
        connection.execute(delete(table).where(table.c.owner == owner, table.c.thread_id == thread_id))
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
        (schema.messages, select(_m.number).where(_m.owner == owner, _m.thread_id == thread_id), MESSAGES),
        (schema.runs, select(_r.id).where(_r.owner == owner, _r.thread_id == thread_id), EVENTS),
    ):
        if delete_some(connection, table, rows, most) >= most:
            return MORE
    connection.execute(delete(schema.threads).where(*this))
    return GONE


def delete_some(connection: Connection, table: Table, rows: Any, most: int) -> int:
    """Delete at most `most` of these rows, given by the table's key. Return the number of deleted rows."""
    key = [table.c[column.name] for column in rows.selected_columns]
    named = key[0] if len(key) == 1 else tuple_(*key)
    return connection.execute(delete(table).where(named.in_(rows.limit(most)))).rowcount
