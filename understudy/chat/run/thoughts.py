"""The thoughts of a run: each is published once, from the model's own thoughts or from its reasoning."""

import math

import trio
from attrs import define, field

from transport.wire.events import AgentThinking
from understudy.chat.run.recorder import Recorder
from understudy.chat.services import Services

MAX_REASONING_THOUGHTS = 40
REASONING_S = 3.0
MAX_REASONING_TEXT = 600
"""Thoughts of a run from its model's reasoning, seconds between two, and characters of one."""


@define(eq=False)
class Thoughts:
    """Publishes the thoughts of the agent at work, whose id is `agent_id`.

    `count` is their number so far, `logged` has those of an interrupted turn that are in the log already.
    """

    recorder: Recorder
    services: Services
    agent_id: str = ""
    count: int = 0
    logged: list[str] = field(factory=list, repr=False)
    _reasoning: str = field(default="", init=False, repr=False)  # not published yet
    _reasoned: int = field(default=0, init=False)
    _reasoned_at: float = field(default=-math.inf, init=False)

    async def reason(self, text: str) -> None:
        """Take the next text of the model's reasoning."""
        self._reasoning += text
        await self.flush_reasoning()

    async def flush_reasoning(self, *, whole: bool = False) -> None:
        """Publish the model's reasoning so far as a thought, if it is time for one; `whole`: also the rest.

        A thought is logged, so there are few: one per `REASONING_S`, at most `MAX_REASONING_THOUGHTS` a run, each cut
        at `MAX_REASONING_TEXT` characters.
        """
        now, text = trio.current_time(), self._reasoning.strip()
        if not whole and (now < self._reasoned_at + REASONING_S or not text.endswith((".", "!", "?", ":"))):
            if len(self._reasoning) > 8 * MAX_REASONING_TEXT:
                self._reasoning = self._reasoning[-4 * MAX_REASONING_TEXT :]
            return
        self._reasoning = ""
        if not text or self._reasoned >= MAX_REASONING_THOUGHTS:
            return
        self._reasoned, self._reasoned_at = self._reasoned + 1, now
        shown = text if len(text) <= MAX_REASONING_TEXT else f"… {text[-MAX_REASONING_TEXT:]}"
        await self.publish(await self.services.content_filter.filter_output(shown))

    async def ensure(self) -> None:
        """Publish a stock thought if the run has published none, because its model emits none."""
        if not self.count:
            await self.publish(f"{self.recorder.speaker.display_title} is working out an answer")

    async def publish(self, thought: str, notice: str | None = None) -> None:
        """Record a thought, unless the log has it; `notice` as in `AgentThinking`."""
        if thought in self.logged:
            self.logged.remove(thought)
            return
        self.count += 1
        await self.recorder.record(AgentThinking(self.agent_id, thought, self.services.clock(), notice))
