"""A model that plays one step per call."""

import math
from typing import Any

import trio

from understudy.models.model import AgentCard, Emit, MessageItem, ModelFault, ModelUnavailable, Reply, TextDelta, Turn

TURN = Turn(AgentCard("guide"), (MessageItem("user", "Hello"),))
GONE = ModelUnavailable("The connection to the language model was lost.", True, "gone", None, ModelFault.AWAY)
SILENCE = math.inf


class Scripted:
    """A model that plays one step per call, and the last one again and again. A step is a text, an error, seconds of
    silence, another event, or a list of these."""

    name, notice = "scripted", "A notice."

    def __init__(self, *steps: Any) -> None:
        self.steps = list(steps)
        self.turns: list[Turn] = []

    @property
    def asked(self) -> int:
        return len(self.turns)

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        step = self.steps[min(self.asked, len(self.steps) - 1)]
        self.turns.append(turn)
        text = ""
        for part in step if isinstance(step, list) else [step]:
            match part:
                case str():
                    text += part
                    await emit(TextDelta(part))
                case int() | float():
                    await trio.sleep(part)
                case ModelUnavailable():
                    raise part
                case _:
                    await emit(part)
        return Reply(text)


REFUSED_KEY = ModelUnavailable("refused", False, "a refused key")
