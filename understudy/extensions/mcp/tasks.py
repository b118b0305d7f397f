"""Calls that a server makes as tasks (protocol 2025-11-25): begun, and polled by their handles.

The SDK has the types of tasks, and refuses the answer that begins one: such a call is sent below its typed layer.
"""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import mcp_types as types
import trio

from understudy.extensions.mcp.errors import TaskLost, Throttled
from understudy.tools.errors import ToolError

if TYPE_CHECKING:
    from understudy.extensions.mcp.connection import McpSession
    from understudy.extensions.mcp.open_calls import ServerCall

PROTOCOL: Final = "2025-11-25"
"""The only version of the protocol whose core has tasks; later ones have them as an extension, which is not spoken."""
MAX_HANDLE: Final = 512
"""Characters of a task's id."""
KEEP_S: Final = 3600.0
"""Seconds beyond a call's time limit that a server is to keep its task: this server may be away so long."""
POLL_S: Final = (0.2, 10.0)
"""The shortest and the longest pause between two polls, whatever the server suggests."""
ANSWER_S: Final = 10.0
"""Seconds that a server has for the answer to a poll."""


async def begin(session: "McpSession", params: types.CallToolRequestParams, limit_s: float) -> str | Mapping[str, Any]:
    """Call a tool as a task. Return the task's id, or the result if the server made the call at once.

    Raises what `McpSession.request` raises.
    """
    ttl = int((limit_s + KEEP_S) * 1000)
    augmented = params.model_copy(update={"task": types.TaskMetadata(ttl=ttl)})
    made: Mapping[str, Any] = await session.request(
        partial(session.send_raw, types.CallToolRequest(params=augmented)), limit_s
    )
    task = made.get("task")
    if not isinstance(task, Mapping):
        return made
    task_id = task.get("taskId")
    if not isinstance(task_id, str) or not 0 < len(task_id) <= MAX_HANDLE:
        raise ToolError("tool_failed", f"{session.server.name} gave its task no id that can be kept.")
    return task_id


async def finish(session: "McpSession", task_id: str, call: "ServerCall", label: str) -> Mapping[str, Any]:
    """Poll a task until it has ended. Return the result of the call as plain JSON.

    A task that needs its user's input asks while its result is waited for.

    Raises `TaskLost` if the server does not know it, `ToolError` if it was cancelled there, and what
    `McpSession.request` raises.
    """
    status, noted = "", 0
    get = types.GetTaskRequest(params=types.GetTaskRequestParams(task_id=task_id))
    while True:
        try:
            state = await session.request(partial(session.send_raw, get), ANSWER_S)
        except Throttled as throttled:
            await trio.sleep(throttled.wait_s)
            continue
        except ToolError as error:
            raise TaskLost(error.message) from None
        if state.get("status") == "cancelled":
            raise ToolError("tool_failed", f"{session.server.name} has cancelled {label}.")
        if state.get("status") != "working":
            break
        note, pause_ms = str(state.get("statusMessage") or ""), state.get("pollInterval")
        if note and note != status:
            status, noted = note, noted + 1
            await call.progress(label, noted, None, status)
        shortest, longest = POLL_S
        pause_s = pause_ms / 1000 if isinstance(pause_ms, int | float) else 1.0
        await trio.sleep(min(max(shortest, pause_s), longest))
    payload = types.GetTaskPayloadRequest(params=types.GetTaskPayloadRequestParams(task_id=task_id))
    result: Mapping[str, Any] = await session.request(partial(session.send_raw, payload), float("inf"))
    return result
