"""Makes a call at an MCP server: directly, or as a task, which is found again by its handle after a crash.

1. The handle of a task is committed before the task is awaited.
2. A task is cancelled only if its call was cancelled. If this server stops, the task continues.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import trio

from understudy.extensions.mcp.definitions import Definition
from understudy.extensions.mcp.errors import ConnectionLost, SignedOut
from understudy.tools.context import CallHandle, ToolContext
from understudy.tools.errors import EffectUnknown, ToolError

if TYPE_CHECKING:
    from understudy.extensions.mcp.connection import McpSession
    from understudy.extensions.mcp.link import McpLink

AWAY_S: Final = 5.0
"""Seconds between two attempts to reach a server that makes a task and is unavailable."""
AGAIN_S: Final = 1.0
"""Seconds between a failed poll of a task and the next."""
CANCEL_S: Final = 1.0
"""Seconds allowed for cancelling a task at its server."""


async def make_call(
    link: "McpLink",
    connection: "McpSession",
    definition: Definition,
    arguments: Mapping[str, Any],
    context: ToolContext,
) -> Mapping[str, Any]:
    """Call a tool, as a task if the server supports that, or resume the task of an interrupted call. Return the result.

    Raises `ConnectionLost`, `SignedOut`, `TaskLost` and `ToolError`.
    """
    handle = context.means.handle
    if handle is None or not (handle.value or (definition.by_task and connection.has_tasks)):
        return await connection.call(definition.remote, arguments, context, definition.name)
    task_id = handle.value
    if task_id is None:
        started = await connection.begin_task(definition.remote, arguments, context, definition.name)
        if not isinstance(started, str):
            return started
        task_id = started
    try:
        if handle.value is None:
            await _keep(handle, link, task_id)
        return await _finish(link, task_id, definition, context)
    except trio.Cancelled:
        if handle.given_up():
            await _cancel(link, task_id)
        raise


async def _keep(handle: CallHandle, link: "McpLink", task_id: str) -> None:
    """Commit the handle of a task. If that fails, cancel the task and raise `EffectUnknown`."""
    try:
        await handle.keep(task_id)
    except ToolError as error:
        await _cancel(link, task_id)
        raise EffectUnknown(error.code, error.message) from None
    handle.value = task_id


async def _finish(link: "McpLink", task_id: str, definition: Definition, context: ToolContext) -> Mapping[str, Any]:
    """Wait for the end of a task, also while the server is unavailable; the call's own time limit applies."""
    while True:
        try:
            connection = await link.connected()
        except ToolError:
            context.progress(0.0, None, f"{definition.name} waits for {link.name}, which cannot be reached")
            await trio.sleep(AWAY_S)
            continue
        try:
            return await connection.finish_task(task_id, context, definition.name)
        except ConnectionLost:
            await link.report(connection)
            await trio.sleep(AGAIN_S)


async def _cancel(link: "McpLink", task_id: str) -> None:
    with (
        trio.CancelScope(deadline=trio.current_time() + CANCEL_S, shield=True),
        suppress(ConnectionLost, SignedOut, ToolError),
    ):
        await (await link.connected()).cancel_task(task_id)
