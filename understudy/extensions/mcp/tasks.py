"""Starts calls as tasks at an MCP server (protocol 2025-11-25), and polls these by their handles.

The SDK has the types of tasks but refuses the answer that starts one, so such a call is sent below its typed layer.
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
"""The only protocol version whose core has tasks; later ones have them as an extension, which is not supported here."""
MAX_HANDLE: Final = 512
"""Limit of a task's id in characters; the call fails beyond it."""
KEEP_S: Final = 3600.0
"""Seconds beyond a call's time limit for which a server should keep its task, in case this server is down."""
POLL_S: Final = (0.2, 10.0)
"""The shortest and the longest pause between two polls, whatever the server suggests."""
ANSWER_S: Final = 10.0
"""Seconds that a server has to answer a poll."""


async def begin(session: "McpSession", params: types.CallToolRequestParams, limit_s: float) -> str | Mapping[str, Any]:
    """Call a tool as a task. Return the task's id, or the result if the server made the call directly.

    Raises the errors of `McpSession.request`.
    """
    ttl = int((limit_s + KEEP_S) * 1000)
    task_params = params.model_copy(update={"task": types.TaskMetadata(ttl=ttl)})
    result: Mapping[str, Any] = await session.request(
        partial(session.send_raw, types.CallToolRequest(params=task_params)), limit_s
    )
    task = result.get("task")
    if not isinstance(task, Mapping):
        return result
    task_id = task.get("taskId")
    if not isinstance(task_id, str) or not 0 < len(task_id) <= MAX_HANDLE:
        raise ToolError("tool_failed", f"{session.server.name} gave its task no id that can be kept.")
    return task_id


async def finish(session: "McpSession", task_id: str, call: "ServerCall", label: str) -> Mapping[str, Any]:
    """Poll a task until it has ended or needs input; the server asks for this while the result is awaited.

    Return the result of the call as plain JSON. Raises `TaskLost` if the server does not know the task, `ToolError` if
    it was cancelled there, and the errors of `McpSession.request`.
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
