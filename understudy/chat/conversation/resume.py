"""A run that lost its server and is taken up: how often that may be, and after how long. Pure."""

import random
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import define, field

from transport.wire.errors import CommandRejected
from understudy.agents.agent import Agent
from understudy.chat.routing import find_agent
from understudy.chat.run.replay import Replay
from understudy.storage.rows import RunRecord

MAX_ATTEMPTS: Final = 5
"""How often work on a run is taken up that gets no further; then it is set aside, for it may be what kills servers."""
BACKOFF_S: Final = 1.0
BACKOFF_FACTOR: Final = 4.0
MAX_BACKOFF_S: Final = 16.0
"""The first attempt is made at once, the second after this time, each later one after so many times that, and so on."""
JITTER: Final = 0.25
"""Of the rest before an attempt: all runs of a server lose it at the same moment."""
INTERRUPTED: Final = "The work on this message was interrupted"


@define(eq=False)
class ResumeAttempt:
    """One run's attempts. `number` is the one that is to be made now, from 1; `rested` says that it may begin.

    `progress` is how many steps are finished, `replay` None where the steps cannot be read. `agent_type` and `pillar`
    are those that the message went to.
    """

    number: int
    progress: int
    replay: Replay | None = field(repr=False)
    agent_type: str
    pillar: str | None = None
    due: bool = field(init=False)
    recorded: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.due = self.number <= 1

    @classmethod
    def next_of(cls, run: RunRecord, replay: Replay | None) -> "ResumeAttempt":
        """The next attempt at a run; steps that it finished since the last one begin the count again."""
        progress = run.progress if replay is None else replay.finished_steps
        number = 1 if progress > run.progress else run.attempts + 1
        return cls(number, progress, replay, run.agent_type, run.pillar)

    def agent(self, agents: Mapping[str, Agent]) -> str | None:
        """The name of the run's first agent; None where there is no such agent any more."""
        if self.replay is not None and self.replay.agents:
            name = self.replay.agents[0][1]
            return name if name in agents else None
        try:
            return find_agent(self.agent_type, self.pillar, {name: agent.pillar for name, agent in agents.items()})
        except CommandRejected:
            return None

    def backoff_s(self, chance: random.Random) -> float:
        """How long to wait before this attempt."""
        if self.due:
            return 0.0
        rest_s = min(BACKOFF_S * BACKOFF_FACTOR ** (self.number - 2), MAX_BACKOFF_S)
        return rest_s * chance.uniform(1 - JITTER, 1 + JITTER)

    def unresumable_reason(self, agents: Mapping[str, Agent]) -> tuple[str, str] | None:
        """Why it cannot go on, in a word for the log and a sentence for the user; None when it can."""
        replay = self.replay
        if self.number > MAX_ATTEMPTS:
            return "set_aside", f"The work on this message was given up: it did not get on in {MAX_ATTEMPTS} attempts."
        if replay is None:
            return "unreadable", f"{INTERRUPTED}, and what was done of it cannot be read any more."
        if self.agent(agents) is None or any(name not in agents for _, name in replay.agents):
            return "no_agent", f"{INTERRUPTED}, and the agent that was at work is not here any more."
        if unknown := replay.calls_in_doubt(agents.get(replay.speaker or "")):
            return (
                "unknown",
                f"{INTERRUPTED} while {_named(unknown)} at work: whether {_it(unknown)} effect is unknown.",
            )
        return None


def _named(tools: Sequence[str]) -> str:
    names = list(dict.fromkeys(tools))
    return f"{', '.join(names)} {'was' if len(tools) == 1 else 'were'}"


def _it(tools: Sequence[str]) -> str:
    return "it took" if len(tools) == 1 else "they took"
