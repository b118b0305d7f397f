"""`python -m tests.deploy.incidents.node`: a server whose agents get into trouble.

INCIDENT names what is broken in it, of what no agent can cause: see `BROKEN_PROMISES`, `go_silent` and `get_stuck`.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import trio

from actors import Context
from tests.rigs.detectors import BROKEN
from transport.outbox.outbox import Outbox
from transport.wire.events import PartialResult
from transport.wire.messages import Deliver
from understudy import Agent, serve, tool
from understudy.models.model import Emit, Reply, TextDelta, ToolRequest, Turn
from understudy.observe import run_watchdog
from understudy.observe.run_metrics import RunMetrics
from understudy.wire.events import AgentStarted, Envelope, FinalResponse, ToolCompleted

OVER: Final = "INCIDENT_OVER"
"""Environment: a file; once it is there, what hangs goes on."""
HELD_S: Final = 0.4
"""How long the loop is held at a time, with pauses in which Prometheus is answered."""
LEAK: Final = 200_000
"""Bytes that are leaked at a time, ten times a second."""


class Calls:
    """A model that calls one tool, and tells that it is done."""

    notice = ""

    def __init__(self, name: str) -> None:
        self.name = name

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        if not turn.rounds:
            return Reply(calls=(ToolRequest("call", self.name, {}),))
        await emit(TextDelta("Done."))
        return Reply(text="Done.")


class Writes:
    """A model that writes some words at a time, with a pause before each; it fails at the end if there are none."""

    notice = ""

    def __init__(self, name: str, pieces: int, pause_s: float, words: int = 1) -> None:
        self.name, self.pieces, self.pause_s, self.text = name, pieces, pause_s, "word. " * words

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        for _ in range(self.pieces):
            await trio.sleep(self.pause_s)
            await emit(TextDelta(self.text))
        if not self.pieces:
            raise RuntimeError("this model always fails")
        return Reply(text=self.text * self.pieces)


def is_over() -> bool:
    return Path(os.environ[OVER]).exists()


@tool(timeout_s=120.0, on_server_loop=True)
async def hold() -> str:
    """Hold the event loop, again and again, until the incident is over."""
    while not is_over():
        time.sleep(HELD_S)  # noqa: ASYNC251 - that is the incident
        await trio.sleep(HELD_S / 8)
    return "held"


@tool(timeout_s=600.0)
async def leak() -> str:
    """Take more and more memory until the incident is over."""
    leaked = []
    while not is_over():
        leaked.append(os.urandom(LEAK))
        await trio.sleep(0.1)
    return f"{len(leaked)} pieces"


@tool(retry_safe=True)
async def die() -> str:
    """Kill the server."""
    os.kill(os.getpid(), signal.SIGKILL)
    await trio.sleep_forever()
    return ""


@tool(timeout_s=300.0, on_server_loop=True)
async def linger() -> str:
    """Go on though the run was stopped, until the incident is over."""
    with trio.CancelScope(shield=True):
        while not is_over():  # noqa: ASYNC110 - another process makes the file
            await trio.sleep(0.1)
    return "lingered"


@tool(timeout_s=1.0)
def stay() -> str:
    """Work in a thread for longer than there is time, until the incident is over."""
    while not is_over():
        time.sleep(0.1)
    return "stayed"


@tool(timeout_s=300.0)
async def hang() -> str:
    """Say nothing until the incident is over."""
    while not is_over():  # noqa: ASYNC110 - another process makes the file
        await trio.sleep(0.1)
    return "hung"


def end_twice(record: Callable[[Envelope], Any], envelope: Envelope) -> None:
    if isinstance(envelope.event, FinalResponse):
        record(envelope)
    record(envelope)


def lose_results(record: Callable[[Envelope], Any], envelope: Envelope) -> None:
    if not isinstance(envelope.event, ToolCompleted):
        record(envelope)


def misplace(record: Callable[[Envelope], Any], envelope: Envelope) -> None:
    """Let the beginning of each run name another thread."""
    record(envelope.replace(thread_id="elsewhere") if isinstance(envelope.event, AgentStarted) else envelope)


BROKEN_PROMISES: Final = {"twice": end_twice, "unpaired": lose_results, "misplaced": misplace}
"""What must never be, and is therefore made up: how the events of runs reach the watchdog of the metrics."""


def break_promise(wrong: Callable[[Callable[[Envelope], Any], Envelope], None]) -> None:
    right = RunMetrics.event

    def event(self: RunMetrics, envelope: Envelope, *rest: Any, **more: Any) -> float | None:
        if is_over():
            return right(self, envelope, *rest, **more)
        wrong(lambda each: right(self, each, *rest, **more), envelope)
        return None

    RunMetrics.event = event  # type: ignore[method-assign]


def go_silent() -> None:
    """Let runs send no sign of life, and be silent after seconds instead of a minute."""
    run_watchdog.RunWatchdog.record_passing = lambda *_: None  # type: ignore[method-assign]
    run_watchdog.SILENT_S = 3.0  # type: ignore[misc]


def get_stuck() -> None:
    """Let outboxes take no text until the incident is over."""
    take = Outbox.receive

    async def receive(self: Outbox, message: object, context: Context) -> None:
        text = isinstance(message, Deliver) and isinstance(message.envelopes[0].event, PartialResult)
        while text and not is_over():  # noqa: ASYNC110 - another process makes the file
            await trio.sleep(0.1)
        await take(self, message, context)

    Outbox.receive = receive  # type: ignore[method-assign]


if __name__ == "__main__":
    incident = os.environ.get("INCIDENT", "")
    if incident in BROKEN_PROMISES:
        break_promise(BROKEN_PROMISES[incident])
    elif incident == "silent":
        go_silent()
    elif incident == "stuck":
        get_stuck()
    sys.exit(
        serve(
            Agent("asks", model=os.environ.get("INCIDENT_MODEL") or Writes("asks", 1, 0.0)),
            Agent("fails", model=Writes("fails", 0, 0.0)),
            Agent("floods", model=Writes("floods", 60_000, 0.0005)),
            Agent("long", model=Writes("long", 60, 0.0, 1_000)),
            Agent("writes", model=Writes("writes", 3, 0.05)),
            Agent("slow", model=Writes("slow", 30, 0.1)),
            *(Agent(each.name, model=Calls(each.name), tools=[each]) for each in (hold, leak, die, linger, stay, hang)),
            detectors=[BROKEN],
        )
    )
