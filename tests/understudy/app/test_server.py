"""How a server lets its clients go."""

from functools import partial
from typing import Any

import trio

from actors import Actor, ActorSystem, ChildSpec, Context, Exit, Restart
from transport.wire.messages import Close
from understudy.app.server import drain
from understudy.chat.registry import ConversationRegistry


class Connection(Actor):
    """Stops when it is told to close, and closes for as long as its client takes."""

    def __init__(self, closes_s: float) -> None:
        self.closes_s = closes_s

    async def receive(self, message: object, context: Context) -> None:
        if isinstance(message, Close):
            context.stop()

    async def on_stop(self, context: Context, reason: Exit) -> None:
        await trio.sleep(self.closes_s)


async def test_a_client_that_does_not_answer_the_close_holds_no_shutdown(autojump_clock: object) -> None:
    """The drain kills its connection at the end of its time, so the stop of the tree takes none."""
    nothing: Any = None
    threads = ConversationRegistry(nothing, nothing)
    async with ActorSystem("s") as system:
        connections = [
            await system.spawn(ChildSpec(f"c{closes_s}", partial(Connection, closes_s), Restart.TEMPORARY))
            for closes_s in (0.0, 0.5, 60.0)
        ]
        began = trio.current_time()
        await drain(connections, threads, 2.5)
        assert trio.current_time() - began == 1.0
        await system.stop()
        assert trio.current_time() - began == 1.0
