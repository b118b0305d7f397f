"""The kinds of messages whose path is counted: the plain one, and one for each feature that it does without.

To add a kind is one entry in `KINDS`, and one in `OF_FEATURES` for the modules that its feature has for itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar, Final

import trio
from attrs import evolve, frozen

from understudy import Agent, mcp
from understudy.agents.agent import Budget
from understudy.models.model import Emit, Reply, ResultItem, Turn
from understudy.models.offline import OfflineModel
from understudy.tools.arithmetic import calculate
from understudy.tools.offers import Starter
from understudy.tools.remembering import remember

PLAIN: Final = "plain"
AGENT: Final = "asked"
QUESTION: Final = "What is 15% of 80?"
ANSWER: Final = "15% of 80 is 12."
"""What models answer that cannot write what the tool says: as many pieces as that has."""
FACT: Final = "My favourite colour is blue."
MCP_SERVER: Final = Path(__file__).resolve().parent.parent / "tests" / "servers" / "mcp_demo.py"

OF_FEATURES: Final = (
    "understudy/extensions/",
    "understudy/agents/budget.py",
    "understudy/agents/output.py",
    "understudy/chat/commands/answer.py",
    "understudy/chat/consents.py",
    "understudy/chat/run/equipped.py recall_",
    "understudy/chat/run/compaction.py",
    "understudy/chat/run/hand_written.py",
    "understudy/chat/run/output.py",
    "understudy/chat/run/patience.py",
    "understudy/chat/run/questions.py",
    "understudy/chat/run/steers.py",
    "understudy/chat/spending.py",
    "understudy/models/prices.py",
    "understudy/tools/memory.py",
    "understudy/tools/remembering.py",
)
"""Folders and modules that belong to a feature: no function of theirs is on the way of a plain message."""
NOT_YET: Final[Mapping[str, str]] = {
    "understudy/extensions/files/attachments.py Attachments.__init__": "files are looked for, also if there are none",
    "understudy/extensions/memory/agent_memory.py AgentMemories.of": "a tool's context has the memory, used or not",
    "understudy/extensions/memory/memory_of_run.py memory_of_run": "it is asked whether an agent remembers",
    "understudy/extensions/steering/steering.py Steering.run_ends": "it is told of each run, also without a steer",
    "understudy/extensions/steering/steering.py Steering.run_starts": "it is told of each run, also without a steer",
    "understudy/extensions/titles/titling.py Titling.run_answered": "it is told of each run, also without titles",
    "understudy/extensions/titles/titling.py Titling.run_starts": "it is told of each run, also without titles",
}
"""Functions in `OF_FEATURES` that a plain message enters all the same, each with the reason. It only gets shorter."""


class Steered(OfflineModel):
    """Calls the tool when its run has been sent a steer, which the run takes before the next turn. That answers it."""

    def __init__(self) -> None:
        super().__init__()
        self.accepted = trio.Event()

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Wait for the steer in the first turn; answer in the one that has it."""
        if turn.request == QUESTION:
            await self.accepted.wait()
            self.accepted = trio.Event()
            return await super().respond(turn, emit)
        return await self._say(ANSWER, turn, emit)


class Typed(OfflineModel):
    """Answers in the form that is asked for."""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Call the tool, then write the answer as JSON."""
        if not any(isinstance(item, ResultItem) for item in turn.work):
            return await super().respond(evolve(turn, output=None), emit)
        return await self._say(f'{{"text": "{ANSWER}"}}', turn, emit)


@frozen
class Written:
    """The form of a typed answer."""

    text: str


@frozen
class Kind:
    """A kind of message: who is asked, what is asked before, and what the client sends upon an event, by its type.

    `answers` have the envelope of the event and return a command, or None. `traced`: the server sends traces.
    """

    agent: Agent
    before: str = QUESTION
    answers: Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, Any] | None]] = {}
    traced: bool = False


def kinds(folder: Path) -> dict[str, Kind]:
    """Return the kinds by name, the plain one first. A server's files go into the folder."""
    steered = Steered()

    def steer(event: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"type": "steer", "payload": {"run_id": event["run_id"], "content": "In euros, please."}}

    def approve(event: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"type": "approve", "payload": {"call_id": event["data"]["call_id"], "decision": "allow"}}

    demo = mcp([sys.executable, str(MCP_SERVER)], name="demo", env={"DEMO_NOTES": str(folder / "notes")})
    adds = Starter(QUESTION, "demo_add", {"a": 5, "b": 7})
    remembers = Starter(FACT, "remember", {"fact": FACT})
    plenty = Budget(turns=9, calls=9, tokens=1_000_000, wall_s=60.0)
    return {
        PLAIN: Kind(Agent(AGENT, tools=[calculate])),
        "memory": Kind(Agent(AGENT, tools=[calculate, remember], remembers=True, starters=[remembers]), FACT),
        "budget": Kind(Agent(AGENT, tools=[calculate], budget=plenty)),
        "steer": Kind(
            Agent(AGENT, tools=[calculate], model=steered),
            answers={"agent_started": steer, "steer_accepted": lambda _: steered.accepted.set()},
        ),
        "consent": Kind(Agent(AGENT, tools=[evolve(calculate, approval=True)]), answers={"approval_required": approve}),
        "mcp": Kind(Agent(AGENT, tools=[demo], starters=[adds])),
        "output": Kind(Agent(AGENT, tools=[calculate], model=Typed(), output_type=Written)),
        "trace": Kind(Agent(AGENT, tools=[calculate]), traced=True),
    }


KINDS: Final = tuple(kinds(Path()))


class Collected(BaseHTTPRequestHandler):
    """A collector of traces that keeps nothing: it takes each request of OTLP, in a thread of its own."""

    protocol_version: ClassVar[str] = "HTTP/1.1"

    def do_POST(self) -> None:
        """Read the spans, and say that they are taken."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Print nothing."""
