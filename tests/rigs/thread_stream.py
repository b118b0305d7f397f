"""The event stream of a thread, and messages to the thread over HTTP."""

from typing import Any

import trio

from tests.rigs.http import request
from tests.rigs.sse import streaming
from understudy.app.server import Running


async def say(running: Running, token: str, content: str = "go", thread: str = "t", **fields: Any) -> dict[str, Any]:
    """Send a message to the thread. Return the answer to the command."""
    payload = {"content": content, "thread_id": thread, "agent_type": "script", **fields}
    command = {"type": "user_message", "payload": payload}
    status, _, body = await request(running.address, "POST", "/api/commands", token=token, body=command)
    assert status == 202, body
    assert isinstance(body, dict)
    return body


def opened(running: Running, token: str | None, thread: str = "t", query: str = "", **headers: str) -> Any:
    """Open the event stream of the thread."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return streaming(running.address, f"/api/threads/{thread}/stream{query}", token, headers=named)


async def gone(running: Running) -> None:
    """Wait until all connections of a server have stopped."""
    connections = running.system.find("/system/connections")
    assert connections is not None
    with trio.fail_after(60):
        for connection in connections.children():
            await connection.wait_stopped()
