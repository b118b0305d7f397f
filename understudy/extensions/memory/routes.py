"""`/api/memory`: the caller lists, changes and deletes the values that agents remember about them, by notebook."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attrs import frozen
from msgspec import Struct
from quart import request

from transport.wire.errors import CommandRejected
from understudy.extensions.memory.agent_memory import AgentMemories, AgentMemory
from understudy.extensions.memory.storage import PAGE, forget_all, memories
from understudy.tools.errors import ToolError
from understudy.tools.memory import DAY_S, LONGEST_S, TTL_S, VALUE_BYTES
from understudy.web.context import agents_of_caller, identity, read_json, web_context
from understudy.web.routes import OF_ONE, STORED, Routes

blueprint = Routes("memory", __name__, url_prefix="/api/memory")

_CODES = {"busy": "quota_exceeded", "tool_failed": "invalid_command", "invalid_arguments": "invalid_command"}
"""The code of the refusal for each code of a `ToolError` that differs."""


@frozen
class MemoryChange:
    """The body of a change. Without `days` an existing value keeps its time of expiry, and a new one has 30 days.

    `if_updated_at` is the `updated_at` of the value that the user has seen: if it was changed since, it stays.
    """

    value: Any
    days: float | None = None
    if_updated_at: float | None = None


class RememberedValue(Struct):
    """A value that agents remember, in a notebook of theirs."""

    notebook: str
    name: str
    value: Any
    updated_at: float
    expires_at: float


class MemoryPage(Struct):
    """Values by notebook and name, the titles of the agents that write in each notebook, and the next cursor."""

    memory: list[RememberedValue]
    notebooks: dict[str, list[str]]
    next_cursor: str | None


@blueprint.get("", query={"cursor": str}, errors=STORED)
async def listing() -> MemoryPage:
    """List what agents remember of the caller."""
    notebook, _, name = request.args.get("cursor", "").partition("/")
    rows = await web_context().store.archive.read(memories, identity().user, (notebook, name))
    now = time.time()
    last = rows[-1] if len(rows) == PAGE else None
    unexpired = [
        RememberedValue(row.agent, row.name, row.value, row.updated_at, row.expires_at)
        for row in rows
        if row.expires_at > now
    ]
    return MemoryPage(unexpired, _notebooks(), None if last is None else f"{last.agent}/{last.name}")


@blueprint.put(
    "/<notebook>/<name>", body=MemoryChange, errors=(*OF_ONE, "changed_meanwhile", "content_blocked", "quota_exceeded")
)
async def change(notebook: str, name: str) -> RememberedValue:
    """Set a value: `{"value": …, "days"?, "if_updated_at"?}`."""
    body = await read_json(MemoryChange, '{"value": …, "days"?, "if_updated_at"?}', 2 * VALUE_BYTES)
    if body.days is not None and not 0 < body.days <= LONGEST_S / DAY_S:
        raise CommandRejected("invalid_command", f"A value is remembered for up to {LONGEST_S / DAY_S:g} days.")
    ttl_s = None if body.days is None else body.days * DAY_S
    memory = _memory(notebook)
    with _refusals():
        entries = {entry.name: entry for entry in await memory.entries()}
        seen = entries[name].updated_at if body.if_updated_at is None and name in entries else body.if_updated_at
        if seen is None:
            if not entries and notebook not in _notebooks():
                raise CommandRejected("not_found", "None of your agents has a memory of that name.")
            await memory.remember(name, body.value, TTL_S if ttl_s is None else ttl_s, by_user=True)
        elif not await memory.amend(name, body.value, seen, ttl_s):
            raise _changed(name in entries)
        stored = next((entry for entry in await memory.entries() if entry.name == name), None)
    if stored is None:
        raise _changed(False)
    return RememberedValue(notebook, stored.name, stored.value, stored.updated_at, stored.expires_at)


@blueprint.delete("/<notebook>/<name>", query={"if_updated_at": float}, errors=(*OF_ONE, "changed_meanwhile"))
async def delete(notebook: str, name: str) -> None:
    """Delete a value; with `if_updated_at`, only if it was not changed since."""
    seen_at = request.args.get("if_updated_at", type=float)
    memory = _memory(notebook)
    with _refusals():
        if not await memory.forget(name, seen_at):
            raise _changed(any(entry.name == name for entry in await memory.entries()))


@blueprint.delete("/<notebook>", errors=STORED)
async def delete_notebook(notebook: str) -> None:
    """Delete everything in a notebook."""
    await web_context().store.commit(forget_all(identity().user, notebook))


@blueprint.delete("", errors=STORED)
async def delete_all() -> None:
    """Delete everything that agents remember of the caller."""
    await web_context().store.commit(forget_all(identity().user))


def _memory(notebook: str) -> AgentMemory:
    return web_context().parts[AgentMemories].of(identity().user, notebook)


def _notebooks() -> dict[str, list[str]]:
    """Return the titles of the agents that the caller may use, by the name of their notebook."""
    notebooks: dict[str, list[str]] = {}
    for agent in agents_of_caller().values():
        notebooks.setdefault(agent.notebook, []).append(agent.display_title)
    return notebooks


def _changed(exists: bool) -> CommandRejected:
    """Return the refusal for a value that was changed, or deleted (`exists` is False), since the user saw it."""
    return CommandRejected("changed_meanwhile") if exists else CommandRejected("not_found", "That is not remembered.")


@contextmanager
def _refusals() -> Iterator[None]:
    """Raise a CommandRejected for each `ToolError` of a memory."""
    try:
        yield
    except ToolError as error:
        raise CommandRejected(_CODES.get(error.code, error.code), error.message) from None
