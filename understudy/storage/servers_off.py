"""Reads and writes of the MCP servers that a user has switched off in a thread."""

from collections.abc import Callable
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Connection, Table, delete, select

from . import schema
from .errors import NotStored

_c = schema.servers_off.c

MOST: Final = 500
"""Servers of a thread that are read; agents name fewer."""


@frozen
class SetServerOn:
    """Switch an MCP server off in a thread, or on again. The answer is True."""

    owner: str
    thread_id: str
    server: str
    on: bool


def write(connection: Connection, work: SetServerOn, put: Callable[[Table], Any]) -> bool:
    """Execute a write. `put` makes the database's own insert, with its upsert clauses.

    Raises NotStored if there is no such thread.
    """
    this = select(schema.threads.c.id).where(
        schema.threads.c.owner == work.owner, schema.threads.c.id == work.thread_id
    )
    if connection.execute(this).first() is None:
        raise NotStored("thread", work.thread_id)
    values = {"owner": work.owner, "thread_id": work.thread_id, "server": work.server}
    if work.on:
        mine = (_c.owner == work.owner, _c.thread_id == work.thread_id, _c.server == work.server)
        connection.execute(delete(schema.servers_off).where(*mine))
    else:
        connection.execute(put(schema.servers_off).on_conflict_do_nothing(), values)
    return True


def servers_off(connection: Connection, owner: str, thread_id: str) -> list[str]:
    """Return the names of the servers that are switched off in a thread."""
    mine = select(_c.server).where(_c.owner == owner, _c.thread_id == thread_id)
    return [str(name) for (name,) in connection.execute(mine.order_by(_c.server).limit(MOST))]
