"""The thoughts of a run: each is published once, from the model's own thoughts or from its reasoning."""

import math

import trio
from attrs import define, field

from understudy.chat.run.recorder import Recorder
from understudy.chat.services import Services
from understudy.wire.events import AgentThinking

MAX_REASONING_THOUGHTS = 40
REASONING_S = 3.0
MAX_REASONING_TEXT = 600
"""Thoughts of a run from its model's reasoning, seconds between two, and characters of one."""


@define(eq=False)
class Thoughts:
    """Publishes the thoughts of the agent at work, whose id is `agent_id`.

    `count` is their number so far, `logged` has those of an interrupted turn that are in the log already. `reasoning`
    is the model's, as far as it is not published.
    """

    recorder: Recorder
    services: Services
    agent_id: str = ""
    count: int = 0
    logged: list[str] = field(factory=list, repr=False)
    reasoning: str = field(default="", init=False, repr=False)
    _reasoned: int = field(default=0, init=False)
    _reasoned_at: float = field(default=-math.inf, init=False)
    _told: set[str] = field(factory=set, init=False, repr=False)

    async def reason(self, text: str) -> None:
        """Take the next text of the model's reasoning."""
        self.reasoning += text
        await self.flush_reasoning()

    async def flush_reasoning(self, *, whole: bool = False) -> None:
        """Publish the model's reasoning so far as a thought, if it is time for one; `whole`: also the rest.

        A thought is logged, so there are few: one per `REASONING_S`, at most `MAX_REASONING_THOUGHTS` a run, each cut
        at `MAX_REASONING_TEXT` characters.
        """
        if not self.reasoning:
            return
        now, text = trio.current_time(), self.reasoning.strip()
        if not whole and (now < self._reasoned_at + REASONING_S or not text.endswith((".", "!", "?", ":"))):
            if len(self.reasoning) > 8 * MAX_REASONING_TEXT:
                self.reasoning = self.reasoning[-4 * MAX_REASONING_TEXT :]
            return
        self.reasoning = ""
        if not text or self._reasoned >= MAX_REASONING_THOUGHTS:
            return
        self._reasoned, self._reasoned_at = self._reasoned + 1, now
        shown = text if len(text) <= MAX_REASONING_TEXT else f"… {text[-MAX_REASONING_TEXT:]}"
        self.publish(await self.services.content_filter.filter_output(shown))

    async def ensure(self) -> None:
        """Publish a stock thought if the run has published none, because its model emits none."""
        if not self.count and (thought := self._take(self._stock)) is not None:
            await self.recorder.record(thought)

    def ensure_with_next(self) -> None:
        """Have a stock thought published in front of the next event, if the run has published none."""
        if not self.count and (thought := self._take(self._stock)) is not None:
            self.recorder.gather(thought)

    @property
    def _stock(self) -> str:
        return f"{self.recorder.speaker.display_title} is working out an answer"

    def publish(self, thought: str, notice: str | None = None) -> None:
        """Have a thought recorded, unless the log has it; `notice` as in `AgentThinking`."""
        if (event := self._take(thought, notice)) is not None:
            self.recorder.gather(event)

    def publish_once(self, thought: str, notice: str) -> None:
        """Record a thought with a notice, unless this run has done so."""
        if thought not in self._told:
            self._told.add(thought)
            self.publish(thought, notice)

    def _take(self, thought: str, notice: str | None = None) -> AgentThinking | None:
        """Count a thought and return its event; None if the log has it."""
        if thought in self.logged:
            self.logged.remove(thought)
            return None
        self.count += 1
        return AgentThinking(self.agent_id, thought, self.services.clock(), notice)
