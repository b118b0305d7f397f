"""Remembered consents: the tools that a user has allowed always in one thread."""

from collections.abc import Callable
from functools import partial
from typing import Final

from attrs import frozen
from sqlalchemy import Connection, delete, select

from transport.wire.errors import CommandRejected
from understudy.chat.consents import Consents
from understudy.extensions.permissions.tables import consents
from understudy.storage import schema
from understudy.storage.acts import Act, Deed, say
from understudy.storage.errors import NotStored, StorageUnavailable
from understudy.storage.store import Store
from understudy.storage.write import put, write
from understudy.tools.tool import Tool

_c = consents.c
WITHDRAWN: Final = Act("consent.withdrawn", "tool")

MOST: Final = 500
"""Limit of consents of a thread that are read; agents have fewer tools."""


@write
def allow_tool(
    connection: Connection, owner: str, thread_id: str, tool_name: str, given_at: float, definition: str = ""
) -> bool:
    """Allow a tool in a thread until it is disallowed. `given_at` is in Unix seconds. Return True.

    `definition` is the digest of the definition of an MCP server's tool, to which the consent is limited. A consent to
    another definition is replaced. Raises NotStored if there is no such thread.
    """
    this = select(schema.threads.c.id).where(schema.threads.c.owner == owner, schema.threads.c.id == thread_id)
    if connection.execute(this).first() is None:
        raise NotStored("thread", thread_id)
    values = {"owner": owner, "thread_id": thread_id, "tool_name": tool_name}
    columns = {"given_at": given_at, "definition": definition}
    insert = put(connection, consents).values(**values, **columns)
    other = _c.definition != definition
    connection.execute(insert.on_conflict_do_update(index_elements=list(values), set_=columns, where=other))
    return True


@write
def disallow_tool(connection: Connection, owner: str, thread_id: str, tool_name: str) -> bool:
    """Withdraw the consent to a tool in a thread. Return whether there was one."""
    removal = delete(consents).where(_c.owner == owner, _c.thread_id == thread_id, _c.tool_name == tool_name)
    return connection.execute(removal).rowcount > 0


@frozen
class Consent:
    """The consent to a tool in a thread, since `given_at` (Unix seconds), for the definition with that digest."""

    tool_name: str
    given_at: float
    definition: str = ""


def of_thread(connection: Connection, owner: str, thread_id: str) -> list[Consent]:
    """Return the consents to tools in a thread, by the tools' names."""
    mine = select(_c.tool_name, _c.given_at, _c.definition).where(_c.owner == owner, _c.thread_id == thread_id)
    return [Consent(*row) for row in connection.execute(mine.order_by(_c.tool_name).limit(MOST))]


def remembering(store: Store, clock: Callable[[], float]) -> Consents:
    """Return the functions by which a server looks up, stores and withdraws consents. `clock` gives Unix seconds."""
    return Consents(partial(_covers, store), partial(_add, store, clock), partial(_withdraw, store))


async def _covers(store: Store, owner: str, thread_id: str, tool: Tool) -> bool:
    try:
        allowed = await store.read(of_thread, owner, thread_id)
    except StorageUnavailable:
        return False
    return any((consent.tool_name, consent.definition) == (tool.name, tool.digest) for consent in allowed)


async def _add(store: Store, clock: Callable[[], float], owner: str, thread_id: str, tool: Tool) -> None:
    await store.commit(allow_tool(owner, thread_id, tool.name, clock(), tool.digest))


async def _withdraw(store: Store, owner: str, thread_id: str, tool_name: str, door: str) -> None:
    if all(consent.tool_name != tool_name for consent in await store.read(of_thread, owner, thread_id)):
        raise CommandRejected("not_found", "That tool is not allowed always in this conversation.")
    await say(store, Deed(WITHDRAWN, owner, door, owner, detail={"tool": tool_name}))
    await store.commit(disallow_tool(owner, thread_id, tool_name))
