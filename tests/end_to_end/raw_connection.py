"""A raw connection to a server, and a client beside it that has to be answered."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio.testing

from tests.rigs.chat_client import connected
from tests.rigs.raw_websocket import CLOSE, RawWebSocket
from understudy.app.server import Running

PONG_ASKED = b'{"type":"ping"}'


def port_of(running: Running) -> int:
    return int(running.address.rpartition(":")[2])


@asynccontextmanager
async def beside_another(running: Running, token: str | None = None) -> AsyncIterator[None]:
    """Check that another client is answered during the block, and after it."""
    answered = trio.Event()

    async def talk(task_status: trio.TaskStatus[None]) -> None:
        nonlocal answered
        async with connected(running.address, token) as other:
            task_status.started()
            while True:
                await other.send({"type": "ping"})
                assert (await other.read())["type"] == "pong"
                answered.set()
                await trio.sleep(0.005)

    async with trio.open_nursery() as nursery:
        await nursery.start(talk)
        yield
        answered = trio.Event()
        await answered.wait()
        nursery.cancel_scope.cancel()


async def end_of(raw: RawWebSocket) -> int | None:
    """Return the code of the close frame; frames before it are skipped."""
    with trio.fail_after(60):
        ends = await raw.frames_to_the_end()
    assert ends[-1].opcode == CLOSE
    return ends[-1].code
