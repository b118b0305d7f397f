"""The server of these figures, as a process: `python -m benchmarks.doors.server FOLDER`. It prints its address."""

from __future__ import annotations

import logging
import sys
from functools import partial
from pathlib import Path
from typing import Final

import trio

from transport.connection.limits import Limits
from understudy import Agent, tool
from understudy.app.server import Running, serve_app
from understudy.app.settings import Settings
from understudy.models.model import Emit, Reply, TextDelta, ToolRequest, Turn

DELTAS: Final = 200
DELTA: Final = "twenty characters…  "
READY: Final = "ready on "
WORDS: Final = tuple(f"word {number} " for number in range(12))
PACE_S: Final = 0.03
"""Seconds between two words of the slow agent, so that there is time to kill something in between."""
_LIMITS: Final = Limits(messages_per_minute=10**6, operations_per_minute=10**6, requests_per_minute=10**6)


class Fast:
    """Answers with DELTAS pieces of text as fast as they are taken."""

    name, notice = "fast", None

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Emit the pieces."""
        for _ in range(DELTAS):
            await emit(TextDelta(DELTA))
        return Reply(DELTA * DELTAS)


class Slow:
    """Calls a tool, and then answers word by word; continues where an answer was interrupted."""

    name, notice = "slow", None

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Call, or emit the words."""
        if turn.rounds == 0:
            return Reply(calls=(ToolRequest("c", "look", {}),))
        whole = "".join(WORDS)
        rest = whole.removeprefix(turn.partial_text)
        for start in range(0, len(rest), len(WORDS[0])):
            await emit(TextDelta(rest[start : start + len(WORDS[0])]))
            await trio.sleep(PACE_S)
        return Reply(rest)


@tool(retry_safe=True)
async def look() -> str:
    """Look it up."""
    await trio.sleep(PACE_S)
    return "found"


AGENTS: Final = (Agent("fast", model=Fast()), Agent("slow", tools=[look], model=Slow()))


async def main(folder: Path) -> None:
    """Serve until the process is killed."""
    logging.disable()
    async with trio.open_nursery() as nursery:
        settings = Settings(port=0, data_dir=folder, limits=_LIMITS)
        running: Running = await nursery.start(partial(serve_app, settings, AGENTS))
        print(f"{READY}{running.address}", flush=True)


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]))
