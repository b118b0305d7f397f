"""Calls that a server makes as tasks (protocol 2025-11-25): begun, polled by their handles, and cancelled.

The SDK has the types of tasks, and refuses the answer that begins one: such a call is sent below its typed layer.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import mcp_types as types
import trio

from understudy.tools.errors import ToolError
from understudy.tools.mcp.errors import TaskLost, Throttled

if TYPE_CHECKING:
    from understudy.tools.mcp.connection import McpSession
    from understudy.tools.mcp.open_calls import ServerCall

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


def has_tasks(session: "McpSession") -> bool:
    """Return whether tools of a server can be called as tasks."""
    tasks = session.client.server_capabilities.tasks
    requests = None if tasks is None else tasks.requests
    return session.protocol == PROTOCOL and requests is not None and requests.tools is not None


async def begin(session: "McpSession", params: types.CallToolRequestParams, limit_s: float) -> str | dict[str, Any]:
    """Call a tool as a task. Return the task's id, or the result if the server made the call at once.

    Raises what `McpSession.request` raises.
    """
    ttl = int((limit_s + KEEP_S) * 1000)
    augmented = params.model_copy(update={"task": types.TaskMetadata(ttl=ttl)})

    async def send() -> types.CreateTaskResult | types.CallToolResult:
        raw = await session.send_raw(types.CallToolRequest(params=augmented))
        kind = types.CreateTaskResult if "task" in raw else types.CallToolResult
        return kind.model_validate(raw, by_name=False)

    made = await session.request(send, limit_s)
    if isinstance(made, types.CreateTaskResult):
        if len(made.task.task_id) > MAX_HANDLE:
            raise ToolError("tool_failed", f"{session.server.name} gave its task an id that is too long.")
        return made.task.task_id
    result: dict[str, Any] = made.model_dump(by_alias=True, mode="json", exclude_none=True)
    return result


async def finish(session: "McpSession", task_id: str, call: "ServerCall", label: str) -> Mapping[str, Any]:
    """Poll a task until it has ended. Return the result of the call as plain JSON.

    A task that needs its user's input asks while its result is waited for.

    Raises `TaskLost` if the server does not know it, `ToolError` if it was cancelled there, and what
    `McpSession.request` raises.
    """
    inner, said, noted = session.client.session, "", 0
    get = types.GetTaskRequest(params=types.GetTaskRequestParams(task_id=task_id))
    while True:
        try:
            state = await session.request(lambda: inner.send_request(get, types.GetTaskResult), ANSWER_S)
        except Throttled as throttled:
            await trio.sleep(throttled.wait_s)
            continue
        except ToolError as error:
            raise TaskLost(error.message) from None
        if state.status == "cancelled":
            raise ToolError("tool_failed", f"{session.server.name} has cancelled {label}.")
        if state.status != "working":
            break
        if state.status_message and state.status_message != said:
            said, noted = state.status_message, noted + 1
            await call.progress(label, noted, None, said)
        shortest, longest = POLL_S
        await trio.sleep(min(max((state.poll_interval or 1000) / 1000, shortest), longest))
    payload = types.GetTaskPayloadRequest(params=types.GetTaskPayloadRequestParams(task_id=task_id))
    result = await session.request(lambda: inner.send_request(payload, types.CallToolResult), float("inf"))
    plain: dict[str, Any] = result.model_dump(by_alias=True, mode="json", exclude_none=True)
    return plain


async def cancel(session: "McpSession", task_id: str) -> None:
    """Cancel a task. Raises what `McpSession.request` raises."""
    request = types.CancelTaskRequest(params=types.CancelTaskRequestParams(task_id=task_id))
    await session.request(lambda: session.client.session.send_request(request, types.CancelTaskResult), ANSWER_S)
