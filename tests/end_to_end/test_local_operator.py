"""A server on a loopback address without a secret takes who runs it for its operator."""

import sys
from typing import Any

import pytest

from tests.end_to_end.chat_client import connected
from tests.end_to_end.http import request


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says who owns a socket")
async def test_who_runs_the_server_may_ask_for_everything(serve: Any) -> None:
    """By both ways to get a session, and still after its renewal; a proxy's visitor may not."""
    running = await serve(local_operator=True)
    async with connected(running.address) as client:
        await client.send({"agent_type": "liaison", "pillar": "operations", "message": "Show the supervision tree"})
        await client.until_end()
        token = client.seen[0]["data"]["session_token"]
    results = [each["data"]["result"] for each in client.durable() if each["type"] == "tool_completed"]
    assert len(results) == 1
    assert "error" not in results[0]
    status, _, _ = await request(running.address, "GET", "/api/admin/users", token=token)
    assert status == 200
    _, _, session = await request(running.address, "POST", "/api/sessions")
    status, _, _ = await request(running.address, "GET", "/api/admin/users", token=session["session_token"])
    assert status == 200
    forwarded = {"X-Forwarded-For": "192.0.2.7"}
    _, _, session = await request(running.address, "POST", "/api/sessions", headers=forwarded)
    status, _, _ = await request(running.address, "GET", "/api/admin/users", token=session["session_token"])
    assert status == 403
