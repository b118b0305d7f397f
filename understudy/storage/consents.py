"""Reads and writes of remembered consents: the tools that a user has allowed always in one thread."""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from attrs import frozen
from sqlalchemy import Connection, Table, delete, select

from . import schema
from .errors import NotStored

_c = schema.consents.c

MOST: Final = 500
"""Consents of a thread that are read; there are no more tools."""


@frozen
class AllowTool:
    """Allow a tool in a thread until it is disallowed. `given_at` is in Unix seconds. The answer is True.

    `definition` stands for the definition of an MCP server's tool: consent is given to that one only. A consent to
    another definition is replaced.
    """

    owner: str
    thread_id: str
    tool_name: str
    given_at: float
    definition: str = ""


@frozen
class DisallowTool:
    """Take back the consent to a tool in a thread. The answer is whether there was one."""

    owner: str
    thread_id: str
    tool_name: str


@frozen
class Consent:
    """A tool that is allowed in a thread, since `given_at` (Unix seconds), as `definition` stands for it."""

    tool_name: str
    given_at: float
    definition: str = ""


ConsentWrite: TypeAlias = AllowTool | DisallowTool


def write(connection: Connection, work: ConsentWrite, put: Callable[[Table], Any]) -> bool:
    """Execute a write; return the answer that its class documents.

    `put` makes the database's own insert, with its upsert clauses. Raises NotStored if there is no such thread.
    """
    match work:
        case AllowTool(owner, thread_id, tool_name, given_at, definition):
            this = select(schema.threads.c.id).where(schema.threads.c.owner == owner, schema.threads.c.id == thread_id)
            if connection.execute(this).first() is None:
                raise NotStored("thread", thread_id)
            values = {"owner": owner, "thread_id": thread_id, "tool_name": tool_name}
            given = {"given_at": given_at, "definition": definition}
            insert = put(schema.consents).values(**values, **given)
            other = _c.definition != definition
            connection.execute(insert.on_conflict_do_update(index_elements=list(values), set_=given, where=other))
            return True
        case DisallowTool(owner, thread_id, tool_name):
            gone = delete(schema.consents).where(
                _c.owner == owner, _c.thread_id == thread_id, _c.tool_name == tool_name
            )
            return connection.execute(gone).rowcount > 0


def consents(connection: Connection, owner: str, thread_id: str) -> list[Consent]:
    """Return the tools that are allowed in a thread, by name."""
    mine = select(_c.tool_name, _c.given_at, _c.definition).where(_c.owner == owner, _c.thread_id == thread_id)
    return [Consent(*row) for row in connection.execute(mine.order_by(_c.tool_name).limit(MOST))]
