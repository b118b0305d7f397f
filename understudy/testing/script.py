"""`ScriptedModel`: a model that plays the turns of a script, for tests that must not depend on a real model."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import trio
from attrs import define, field

from understudy.models.model import Emit, Handoff, MessageItem, Reply, TextDelta, Thought, ToolRequest, Turn
from understudy.wire.events import Usage

_WORDS: Final = re.compile(r"[^ ]+ *| +")


@define
class Gate:
    """Lets `open_after` callers through, and then holds them until the test sets `opened`. `reached` is set when the
    first one waits."""

    reached: trio.Event = field(factory=trio.Event)
    opened: trio.Event = field(factory=trio.Event)
    open_after: int = 0

    async def passed(self) -> None:
        """Return at once while `open_after` is above 0, counting it down; then wait until the test opens the gate."""
        if self.open_after > 0:
            self.open_after -= 1
            return
        self.reached.set()
        await self.opened.wait()


@define
class Say:
    """A turn that ends in text, streamed word by word. If there is a `gate`, it is passed before each word."""

    text: str
    gate: Gate | None = None


@define
class Call:
    """A turn that calls tools, all at once: pairs of a tool's name and its arguments."""

    tools: Sequence[tuple[str, Mapping[str, Any]]]


@define
class Hand:
    """A turn that hands the run over to another agent."""

    to: str


@define
class Raise:
    """A turn in which the model raises."""

    error: Exception


class ScriptedModel:
    """Plays its turns in order, from the first one for every message; the last one is repeated if a run needs more.

    An answer that does not fit the agent's output type is a turn too, and the next turn is the second attempt. `inputs`
    are the requests that a real model would have been sent.
    """

    name = "script"
    notice = "A script for tests."

    def __init__(self, *turns: Say | Call | Hand | Raise) -> None:
        self.turns = turns
        self.inputs: list[Turn] = []

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Play the next turn of the run."""
        self.inputs.append(turn)
        match self.turns[min(turn.rounds + _attempts(turn), len(self.turns) - 1)]:
            case Raise(error):
                raise error
            case Hand(to):
                return Reply(handoff=Handoff(to, "the script says so"))
            case Call(tools):
                await emit(Thought(f"Calling {', '.join(name for name, _ in tools)}"))
                return Reply(calls=tuple(ToolRequest(f"c{n}", name, args) for n, (name, args) in enumerate(tools)))
            case Say(text, gate):
                for word in _WORDS.findall(text):
                    if gate is not None:
                        await gate.passed()
                    await emit(TextDelta(word))
                return Reply(text=text, usage=Usage(1, len(text.split()), 1))


def _attempts(turn: Turn) -> int:
    """Return the number of rejected answers: 1 if the last one did not fit the agent's output type, else 0."""
    last = turn.items[-1] if turn.items else None
    return int(turn.output is not None and isinstance(last, MessageItem) and last.role == "assistant")
