"""Commands about a thread over an open socket, and the thread as the server then has it."""

from typing import Any

from tests.rigs.chat_client import ChatClient
from tests.rigs.http import request
from understudy.app.server import Running


async def history(running: Running, token: str, thread: str = "t") -> Any:
    status, _, body = await request(running.address, "GET", f"/api/threads/{thread}/messages", token=token)
    assert status == 200
    return body


async def ended(client: ChatClient) -> dict[str, Any]:
    end = await client.until_end()
    assert end["type"] == "final_response", end
    return next(e for e in client.seen if e["type"] == "message_accepted" and e["run_id"] == end["run_id"])


async def send(client: ChatClient, kind: str, **payload: Any) -> None:
    await client.send({"type": kind, "payload": payload})


async def refused(client: ChatClient) -> str:
    return str((await client.until("error"))["data"]["code"])
