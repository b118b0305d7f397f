"""Reads and writes of the MCP servers that a user has switched off in a thread."""

from typing import Final

from sqlalchemy import Connection, delete, select

from understudy.extensions.mcp.tables import servers_off as _table
from understudy.storage import schema
from understudy.storage.errors import NotStored
from understudy.storage.write import put, write

_c = _table.c

MOST: Final = 500
"""Limit of the servers that are read of a thread; agents name fewer."""


@write
def set_server_on(connection: Connection, owner: str, thread_id: str, server: str, on: bool) -> bool:
    """Switch an MCP server off in a thread, or on again. Return True. Raises NotStored without such a thread."""
    thread = select(schema.threads.c.id).where(schema.threads.c.owner == owner, schema.threads.c.id == thread_id)
    if connection.execute(thread).first() is None:
        raise NotStored("thread", thread_id)
    values = {"owner": owner, "thread_id": thread_id, "server": server}
    if on:
        row = (_c.owner == owner, _c.thread_id == thread_id, _c.server == server)
        connection.execute(delete(_table).where(*row))
    else:
        connection.execute(put(connection, _table).on_conflict_do_nothing(), values)
    return True


def servers_off(connection: Connection, owner: str, thread_id: str) -> list[str]:
    """Return the names of the servers that are switched off in a thread."""
    query = select(_c.server).where(_c.owner == owner, _c.thread_id == thread_id)
    return [str(name) for (name,) in connection.execute(query.order_by(_c.server).limit(MOST))]
