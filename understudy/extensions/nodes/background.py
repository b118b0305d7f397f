"""The actor that runs the endless loops of a node."""

from collections.abc import Awaitable, Callable
from typing import NoReturn

from actors import Actor, Context


class Background(Actor):
    """Runs loops, each in a task of its own; the server does not wait for them."""

    def __init__(self, *loops: Callable[[], Awaitable[NoReturn]]) -> None:
        self.loops = loops

    async def on_start(self, context: Context) -> None:
        """Start the loops."""
        for loop in self.loops:
            context.start_soon(loop, name=loop.__name__)
