"""How long one user's tool delays another user's event: `neighbour_ms`.

One user sends small messages to the guide, one after the other, and waits for each answer. Another user's agent has a
tool that misbehaves, several calls at a time, as often as the limit of a user's messages allows by default. The delay
is the time from sending a message to its first event, less the median of that without a neighbour.

neighbour_ms          the worst p99 of the delay over all kinds of tools
neighbour_KIND_ms     the p99 with one kind: hang, crash, block (time.sleep), block_asyncio, spin (a loop in Python),
                      eat (300 MB), flood (progress notes and a result of 20 MB)
neighbour_none_ms     the p99 without any, which is the noise of the machine

The server runs in a process of its own, on SQLite and on every core; the clients have one core together.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import trio
from trio_websocket import WebSocketConnection, open_websocket_url

from benchmarks.agents.progress import Extent, Progress
from benchmarks.figure import Figure, all_cores
from transport.connection.limits import Limits
from understudy import Agent, ToolContext, serve, tool
from understudy.models.model import Emit, Reply, ToolRequest, Turn

CALLS: Final = 4
"""Runs of the misbehaving agent at a time."""
MESSAGES: Final = 200
PACE_S: Final = CALLS * 60.0 / Limits().messages_per_minute
"""Seconds between two messages of one of the misbehaving clients."""
QUESTION: Final = "What is 15% of 80?"
TIMEOUT_S: Final = 240.0
HOLDS_S: Final = 2.0
"""Seconds for which a tool misbehaves."""


@tool(timeout_s=HOLDS_S)
async def hang() -> None:
    """Never end."""
    await trio.sleep_forever()


@tool
async def crash() -> None:
    """Raise."""
    raise ZeroDivisionError


@tool
async def block() -> None:
    """Sleep, and hold the loop meanwhile."""
    time.sleep(HOLDS_S)  # noqa: ASYNC251 - that is the point


@tool
async def block_asyncio() -> None:
    """Sleep, and hold asyncio's loop meanwhile."""
    await asyncio.sleep(0)
    time.sleep(HOLDS_S)  # noqa: ASYNC251 - that is the point


@tool
async def spin() -> None:
    """Compute in pure Python, and share the interpreter with the server meanwhile."""
    end = time.monotonic() + HOLDS_S
    while time.monotonic() < end:
        pass


@tool
async def eat() -> int:
    """Take 300 MB."""
    eaten = [b"x" * 2**20 for _ in range(300)]  # zeros would not take memory
    await trio.sleep(HOLDS_S)
    return len(eaten)


@tool
async def flood(context: ToolContext) -> str:
    """Tell of progress as fast as possible, and return 20 MB."""
    end = time.monotonic() + HOLDS_S
    number = 0
    while time.monotonic() < end:
        number += 1
        context.progress(number, None, f"note {number} " * 20)
        await trio.lowlevel.checkpoint()
    return "x" * 20_000_000


TOOLS: Final = (hang, crash, block, block_asyncio, spin, eat, flood)


class CallsOnce:
    """A model that calls the tool that the message names, and then answers."""

    name = "calls-once"
    notice = "A model for measurements."

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Call the tool if the newest item is the message."""
        if getattr(turn.items[-1], "role", "") == "user":
            return Reply(calls=(ToolRequest("call", turn.request, {}),))
        return Reply("done")


def serve_neighbours() -> int:
    """Serve the misbehaving agent until a signal. Return the exit code."""

    limits = Limits(messages_per_minute=1_000_000)
    agent = Agent("bad", tools=TOOLS, model=CallsOnce())
    return serve(agent, port=0, data_dir=Path(sys.argv[1]), log_level="error", limits=limits)


def figures(extent: Extent) -> Iterator[Figure]:
    """Measure each kind beside a server without a neighbour."""
    messages = 10 if extent.small else MESSAGES
    kinds = ("block", "flood") if extent.small else tuple(each.name for each in TOOLS)
    progress = Progress("neighbour", len(kinds), extent.limit_s)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", "from benchmarks.agents.neighbour import *; serve_neighbours()", folder]
        with all_cores():
            server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        with server:
            try:
                assert server.stdout is not None
                address = server.stdout.readline().split()[-1].replace("http", "ws", 1) + "/ws"
                trio.run(_times_ms, address, None, messages // 5)  # the first ones load modules
                times = trio.run(_times_ms, address, None, messages)
                alone, worst = median(times), 0.0
                yield Figure("neighbour_none_ms", f"ms beyond {alone:.1f}", round(_p99(times) - alone, 2))
                for kind in progress.each(kinds):
                    times = trio.run(_times_ms, address, kind, messages)
                    worst = max(worst, _p99(times) - alone)
                    half, p99 = median(times) - alone, max(0.0, _p99(times) - alone)
                    yield Figure(f"neighbour_{kind}_ms", f"ms, half of them {half:.1f}", round(p99, 2))
                unit = f"ms, {progress.done} of {progress.wanted} kinds"
                yield Figure("neighbour_ms", unit, round(max(0.0, worst), 2))
            finally:
                server.terminate()
                server.wait(TIMEOUT_S)


def _p99(times: list[float]) -> float:
    return quantiles(times, n=100, method="inclusive")[-1]


async def _times_ms(address: str, kind: str | None, messages: int) -> list[float]:
    """Return the milliseconds from each message to its first event, with calls of the tool `kind` beside it."""
    found: list[float] = []
    with trio.fail_after(TIMEOUT_S):
        async with trio.open_nursery() as nursery:
            if kind is not None:
                for number in range(CALLS):
                    nursery.start_soon(_misbehave, address, kind, number)
                await trio.sleep(0.3)
            async with open_websocket_url(address) as socket:
                for number in range(messages):
                    await trio.sleep(0.02)
                    sent = time.perf_counter()
                    message_id = f"{kind}-{number}-{sent}"
                    await _say(socket, message_id, QUESTION, f"calm-{kind}", "guide")
                    first = await _until(socket, message_id, lambda _: True)
                    found.append((first - sent) * 1000)
                    await _until(socket, message_id, lambda event: event["type"] in ("final_response", "error"))
            nursery.cancel_scope.cancel()
    return found


async def _misbehave(address: str, kind: str, number: int) -> None:
    async with open_websocket_url(address) as socket:
        for turn in range(1_000_000):
            again = trio.current_time() + PACE_S
            message_id = f"bad-{kind}-{number}-{turn}-{time.time()}"
            await _say(socket, message_id, kind, f"bad-{kind}-{number}", "bad")
            await _until(socket, message_id, lambda event: event["type"] in ("final_response", "error"))
            await trio.sleep_until(again)


async def _say(socket: WebSocketConnection, message_id: str, content: str, thread_id: str, agent_type: str) -> None:
    payload = {"content": content, "thread_id": thread_id, "message_id": message_id, "agent_type": agent_type}
    await socket.send_message(json.dumps({"type": "user_message", "payload": payload}))


async def _until(socket: WebSocketConnection, message_id: str, is_it: Callable[[dict[str, Any]], bool]) -> float:
    """Read until an event of the message, and return when it came."""
    while True:
        received = json.loads(await socket.get_message())
        if received.get("message_id") == message_id and is_it(received):
            return time.perf_counter()
