"""Reads and writes of remembered consents: the tools that a user has allowed always in one thread."""

from typing import Final

from attrs import frozen
from sqlalchemy import Connection, delete, select

from . import schema
from .errors import NotStored
from .write import put, write

_c = schema.consents.c

MOST: Final = 500
"""Consents of a thread that are read; there are no more tools."""


@write
def allow_tool(
    connection: Connection, owner: str, thread_id: str, tool_name: str, given_at: float, definition: str = ""
) -> bool:
    """Allow a tool in a thread until it is disallowed. `given_at` is in Unix seconds. Return True.

    `definition` stands for the definition of an MCP server's tool: consent is given to that one only. A consent to
    another definition is replaced. NotStored refuses it if there is no such thread.
    """
    this = select(schema.threads.c.id).where(schema.threads.c.owner == owner, schema.threads.c.id == thread_id)
    if connection.execute(this).first() is None:
        raise NotStored("thread", thread_id)
    values = {"owner": owner, "thread_id": thread_id, "tool_name": tool_name}
    given = {"given_at": given_at, "definition": definition}
    insert = put(connection, schema.consents).values(**values, **given)
    other = _c.definition != definition
    connection.execute(insert.on_conflict_do_update(index_elements=list(values), set_=given, where=other))
    return True


@write
def disallow_tool(connection: Connection, owner: str, thread_id: str, tool_name: str) -> bool:
    """Take back the consent to a tool in a thread. Return whether there was one."""
    gone = delete(schema.consents).where(_c.owner == owner, _c.thread_id == thread_id, _c.tool_name == tool_name)
    return connection.execute(gone).rowcount > 0


@frozen
class Consent:
    """A tool that is allowed in a thread, since `given_at` (Unix seconds), as `definition` stands for it."""

    tool_name: str
    given_at: float
    definition: str = ""


def consents(connection: Connection, owner: str, thread_id: str) -> list[Consent]:
    """Return the tools that are allowed in a thread, by name."""
    mine = select(_c.tool_name, _c.given_at, _c.definition).where(_c.owner == owner, _c.thread_id == thread_id)
    return [Consent(*row) for row in connection.execute(mine.order_by(_c.tool_name).limit(MOST))]
