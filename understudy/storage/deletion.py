"""Deletes threads, users and files in parts, each a short transaction that hardly delays other writes.

1. Dependent rows are deleted first, so that an interrupted deletion leaves no dangling references; the row of the
   thread or user itself is deleted last, so that a repeated call continues.
2. A user's own row stays while they have threads: the database would cascade to these.
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Protocol

from sqlalchemy import Connection, Table, delete, exists, func, select, tuple_

from understudy.extension import UserData
from understudy.installed import kept_of_users

from . import queries, schema
from .write import write

if TYPE_CHECKING:
    from .store import Store

_t = schema.threads.c
_m = schema.messages.c
_r = schema.runs.c
_s = schema.steps.c
_e = schema.events.c
_u = schema.users.c

EVENTS: Final = 200
"""Limit of events, steps or runs deleted per transaction: about 10 ms."""
MESSAGES: Final = 25
"""Limit of messages deleted per transaction: their words are deleted from the full-text index, too."""
GONE, MORE = 1, 2
"""Answers of a deletion: everything is deleted, or there is more to delete; 0: there was nothing."""


@write
def remove_user_rows(connection: Connection, owner: str) -> int:
    """Delete a user who has no threads, and nothing outside of the database.

    Return GONE, MORE, or 0 if there is no such user, or the user has threads, or rows that stand for what is
    outside.
    """
    outside = [kept.table for kept in kept_of_users() if kept.outside is not None]
    empty = [~exists().where(table.c.owner == owner) for table in (schema.threads, *outside)]
    if connection.execute(select(_u.id).where(_u.id == owner, *empty)).one_or_none() is None:
        return 0
    for table in (schema.spending, *(kept.table for kept in kept_of_users() if not kept.of_thread)):
        rows = select(*table.primary_key).where(table.c.owner == owner)
        if delete_some(connection, table, rows, EVENTS) >= EVENTS:
            return MORE
    return GONE if connection.execute(delete(schema.users).where(_u.id == owner, *empty)).rowcount else MORE


async def remove_user(store: "Store", owner: str) -> bool:
    """Delete the rest of a user, as `remove_user_rows` does. Return False if it refuses, or there is no such user."""
    while (outcome := await store.commit(remove_user_rows(owner))) == MORE:
        pass
    return outcome == GONE


@write
def remove_rows(connection: Connection, table: Table, keys: tuple[Any, ...]) -> int:
    """Delete rows by their primary keys. Return how many there were."""
    return connection.execute(delete(table).where(tuple_(*table.primary_key).in_(keys))).rowcount


@cache
def kept_of_threads() -> Sequence[UserData]:
    """Return what the extensions keep of threads. Raises ExtensionFault."""
    return [kept for kept in kept_of_users() if kept.of_thread]


def remove_thread(connection: Connection, owner: str, thread_id: str) -> int:
    """Delete a part of a thread, or all of a small one. Return GONE, MORE, or 0 if there is no such thread."""
    of_thread = (_t.owner == owner, _t.id == thread_id)
    if connection.execute(select(_t.id).where(*of_thread)).one_or_none() is None:
        return 0
    for table in (kept.table for kept in kept_of_threads()):  # first: a link must not outlive the beginning
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
    connection.execute(delete(schema.threads).where(*of_thread))
    return GONE


def delete_some(connection: Connection, table: Table, rows: Any, most: int) -> int:
    """Delete at most `most` of these rows, given by the table's key. Return the number of deleted rows."""
    key = [table.c[column.name] for column in rows.selected_columns]
    named = key[0] if len(key) == 1 else tuple_(*key)
    return connection.execute(delete(table).where(named.in_(rows.limit(most)))).rowcount


class ThreadDeleter(Protocol):
    """Stops a thread's conversation and deletes the thread. Returns whether it did.

    With `unless_since` (Unix seconds) only if the thread was not used since.
    """

    async def __call__(self, owner: str, thread_id: str, /, *, unless_since: float | None = None) -> bool:
        """Delete the thread."""


async def delete_whole(
    store: "Store",
    delete: ThreadDeleter,
    owner: str,
    thread_id: str,
    *,
    rests: float = 1.0,
    unless_since: float | None = None,
) -> bool:
    """Delete a thread by `delete`; after each part of a long log pause for `rests` times its duration.

    The log is trimmed first, for as long as it takes; the conversation is asked to delete only the rest, as a request
    to it has a short timeout. `unless_since` (Unix seconds): if the thread was used since then, also meanwhile, it
    stays with its messages; return False then.
    """
    if (row := await store.archive.read(queries.thread, owner, thread_id)) is not None:
        await store.trim(owner, thread_id, row.last_seq + 1, rests=rests)
    return await delete(owner, thread_id, unless_since=unless_since)
