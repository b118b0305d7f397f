"""Memory: what has ended is freed at once. The garbage collector comes late to a server, which has many objects."""

import gc
from collections import Counter
from typing import Any

from tests.rigs.chat_client import connected
from tests.rigs.http import request
from tests.rigs.scripted_model import Call, Say, scripted
from understudy.app.server import Running
from understudy.observe.paths import CONNECTIONS, CONVERSATIONS

OURS = (
    "actors", "understudy", "transport.server", "transport.connection", "transport.outbox", "hypercorn", "websockets",
)  # fmt: skip


async def visit(running: Running, thread: str) -> None:
    """Have a message answered, with a tool; leave without a close frame; send a request; end the conversation."""
    async with connected(running.address) as client:
        await client.ask("go", agent_type="script", thread_id=thread)
        await client.socket._stream.aclose()
    await request(running.address, "GET", "/healthz")
    for connection in running.system.get(CONNECTIONS).children():
        await connection.wait_stopped()
    for conversation in running.system.get(CONVERSATIONS).children():
        await conversation.stop()


def ours(objects: list[Any]) -> list[Any]:
    """Return those that are of the product, or of the libraries that serve its connections."""
    return [item for item in objects if type(item).__module__.startswith(OURS)]


async def test_runs_connections_and_requests_leave_no_garbage(serve: Any) -> None:
    calls = Call([("echo", {"text": "x"}), ("tell_progress", {"steps": 2})])
    running = await serve(scripted(calls, Say("a few words")))
    await visit(running, "first")  # makes what is made once
    gc.collect()
    gc.disable()
    earlier = ours(gc.get_objects())  # held: what only a thread of an earlier test refers to becomes no garbage here
    try:
        for number in range(3):
            await visit(running, f"thread-{number}")
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        assert Counter(type(our).__qualname__ for our in ours(gc.garbage)) == Counter()
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
        earlier.clear()
