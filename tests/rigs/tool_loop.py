"""The loop of asyncio for tools, open during a block."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio.lowlevel

from understudy.tools.lifespan import Lifespan
from understudy.tools.loop import ToolLoop, ToolThread


@asynccontextmanager
async def opened(
    lifespans: dict[str, Lifespan] | None = None, *, asyncio: bool = True, thread: type[ToolThread] = ToolThread
) -> AsyncIterator[ToolLoop]:
    """Yield a loop that is watched. It is closed at the end of the block."""
    loop = ToolLoop(lifespans or {}, asyncio=asyncio, thread=thread)
    with trio.fail_after(60):
        await loop.open()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(loop.watch)
            try:
                yield loop
            finally:
                nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True):
                    await loop.close()
