"""The thoughts of a run: each is published once, from the model's own thoughts or from its reasoning."""

import math

import trio
from attrs import define, field

from understudy.chat.conversation.run_log import RunLog
from understudy.chat.services import Services
from understudy.wire.events import AgentThinking

MAX_REASONING_THOUGHTS = 40
REASONING_S = 3.0
MAX_REASONING_TEXT = 600
"""Thoughts of a run from its model's reasoning, seconds between two, and characters of one."""

MAX_SENTENCE = 10_000
"""Characters of any other thought, the reason of a handoff and the sentence of an error; the rest is cut off."""


@define(eq=False)
class Thoughts:
    """Publishes the thoughts of the agent at work, whose id is `agent_id`.

    `count` is their number so far, `logged` has those of an interrupted turn that are in the log already. `reasoning`
    is the model's, as far as it is not published.
    """

    log: RunLog
    services: Services
    agent_id: str = ""
    count: int = 0
    logged: list[str] = field(factory=list, repr=False)
    reasoning: str = field(default="", init=False, repr=False)
    _reasoned: int = field(default=0, init=False)
    _reasoned_at: float = field(default=-math.inf, init=False)
    _told: set[str] = field(factory=set, init=False, repr=False)

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
        excerpt = text if len(text) <= MAX_REASONING_TEXT else f"… {text[-MAX_REASONING_TEXT:]}"
        self.publish(await self.services.content_filter.filter_output(excerpt))

    def publish(self, thought: str = "", notice: str | None = None) -> None:
        """Have a thought recorded in front of what follows, unless the log has it; `notice` as in `AgentThinking`.

        By default it is a stock thought, for a run whose model emits none.
        """
        thought = thought[:MAX_SENTENCE] or f"{self.log.speaker.display_title} is working out an answer"
        if thought in self.logged:
            self.logged.remove(thought)
            return
        self.count += 1
        self.log.gather(AgentThinking(self.agent_id, thought, self.services.clock(), notice))

    def publish_once(self, thought: str, notice: str) -> None:
        """Record a thought with a notice, unless this run has done so."""
        if thought not in self._told:
            self._told.add(thought)
            self.publish(thought, notice)
