"""What a call of an MCP server's tool costs through our connection, beside the bare SDK's: `mcp_call_ms`.

mcp_call_ms_TRANSPORT   milliseconds of one call of a tool that adds two numbers, over stdio and over HTTP

Ours is what a run does for it: the arguments are checked, a place among the server's calls is taken, and the result is
converted to ours. Both sides have a connection of their own to a server of the stock SDK in a process of its own (over
HTTP, the same process). They take turns; medians.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from subprocess import PIPE
from typing import Any, Final

import trio
from mcp import Client, StdioServerParameters

from actors import ActorSystem
from benchmarks.agents.progress import Extent
from benchmarks.figure import Figure, all_cores
from understudy import Agent, McpServer, mcp
from understudy.tools.context import ToolContext
from understudy.tools.mcp.catalogue import McpCatalogue

ROUNDS: Final = 40
EACH: Final = 25
"""Calls of one side in a round."""
WARM: Final = 2
READY_S: Final = 60.0
ARGUMENTS: Final = {"a": 2, "b": 3}
DEMO: Final = Path(__file__).parents[2] / "tests" / "servers" / "mcp_demo.py"
COMMAND: Final = (sys.executable, str(DEMO))

Call = Callable[[], Awaitable[object]]


def figures(extent: Extent) -> Iterator[Figure]:
    """Measure calls over both transports."""
    with tempfile.TemporaryDirectory() as folder, all_cores():
        os.environ["DEMO_NOTES"] = str(Path(folder) / "notes")
        for name, (ours, bare) in trio.run(_measure, 2 if extent.small else ROUNDS).items():
            yield Figure(f"mcp_call_ms_{name}", "ms", ours, {"sdk": bare})


async def _measure(rounds: int) -> dict[str, tuple[float, float]]:
    found: dict[str, tuple[float, float]] = {}
    command = mcp(list(COMMAND), name="demo", env=["DEMO_NOTES"])
    parameters = StdioServerParameters(command=COMMAND[0], args=list(COMMAND[1:]), env=dict(os.environ))
    async with _ours(command) as ours, _bare(parameters) as bare:
        found["stdio"] = await _take_turns(ours, bare, rounds)
    async with _served() as url, _ours(mcp(url, name="demo")) as ours, _bare(url) as bare:
        found["http"] = await _take_turns(ours, bare, rounds)
    return found


async def _take_turns(ours: Call, bare: Call, rounds: int) -> tuple[float, float]:
    """Return the median milliseconds of a call of each."""
    took: tuple[list[float], list[float]] = [], []
    for number in range(WARM + rounds):
        sides = ((ours, took[0]), (bare, took[1]))
        for call, into in sides if number % 2 else reversed(sides):
            for _ in range(EACH):
                began = time.perf_counter()
                await call()
                if number >= WARM:
                    into.append((time.perf_counter() - began) * 1000)
    return median(took[0]), median(took[1])


@asynccontextmanager
async def _ours(server: McpServer) -> AsyncIterator[Call]:
    catalogue = McpCatalogue.of([server])
    async with ActorSystem("calls", catalogue.children()) as system:
        link = catalogue.links[server.name]
        await link.settled(READY_S)
        tools = {each.name: each for each in catalogue.with_tools(Agent("caller", tools=[server])).tools}
        nobody: Any = None
        context = ToolContext("ada", "t", "r", "c", (), nobody, nobody, lambda *_: None)
        yield lambda: tools["demo_add"].call(ARGUMENTS, context)
        await system.stop(grace_s=10)


@asynccontextmanager
async def _bare(server: StdioServerParameters | str) -> AsyncIterator[Call]:
    async with Client(server) as client:
        yield lambda: client.call_tool("add", ARGUMENTS)


@asynccontextmanager
async def _served() -> AsyncIterator[str]:
    """Start the server with HTTP. Yield its address."""
    process = await trio.lowlevel.open_process([*COMMAND, "http"], stdout=PIPE)
    try:
        assert process.stdout is not None
        with trio.fail_after(READY_S):
            port = bytes(await process.stdout.receive_some(100)).decode().strip()
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        with trio.CancelScope(shield=True):
            await process.wait()
