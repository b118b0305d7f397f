"""A server in a folder, which another one may take up after it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio

from sanitization import Detector
from understudy import Agent
from understudy.app.server import Running, serve_app
from understudy.app.settings import Settings, with_values


@asynccontextmanager
async def serving(
    folder: Path, *agents: Agent, detectors: Sequence[Detector] = (), **settings: Any
) -> AsyncIterator[Running]:
    """Yield a server, which is stopped in order at the end of the block."""
    chosen = with_values(Settings(), port=0, data_dir=folder, **settings)
    async with trio.open_nursery() as nursery:
        running: Running = await nursery.start(partial(serve_app, chosen, agents, detectors))
        yield running
        await running.stop()
        nursery.cancel_scope.cancel()
