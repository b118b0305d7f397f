"""The doors by which a message of text comes to an agent."""

import json
from collections.abc import Callable
from typing import Any

from tests.rigs.http import request
from understudy.app.server import Running


def rpc(text: str) -> Any:
    """Return a message as JSON-RPC of A2A."""
    message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": text}]}
    return {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": message}}


DOORS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "a2a": ("/a2a/desk", rpc),
    "agui": (
        "/api/agui?agent=desk",
        lambda text: {"threadId": "t", "runId": "r", "messages": [{"id": "m", "role": "user", "content": text}]},
    ),
    "chat completions": (
        "/v1/chat/completions",
        lambda text: {"model": "desk", "messages": [{"role": "user", "content": text}]},
    ),
    "responses": ("/v1/responses", lambda text: {"model": "desk", "input": text}),
    "ui": (
        "/api/ui?agent=desk",
        lambda text: {
            "id": "t",
            "messages": [{"id": "m", "role": "user", "parts": [{"type": "text", "text": text}]}],
        },
    ),
}


async def say(running: Running, token: str, door: str, text: str = "go") -> tuple[int, dict[str, str], str]:
    """Send the agent desk a message by this door. Return status, headers and body of the answer."""
    path, body = DOORS[door]
    status, headers, answer = await request(
        running.address, "POST", path, token=token, body=body(text), headers={"A2A-Version": "1.0"}
    )
    return status, headers, answer.decode() if isinstance(answer, bytes) else json.dumps(answer)
