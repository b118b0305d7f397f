"""The resume policy of a run that lost its server: how often it is resumed, and after which backoff. Pure."""

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
"""Attempts at a run without progress; then it is abandoned, as it may be the cause of its servers' crashes."""
BACKOFF_S: Final = 1.0
BACKOFF_FACTOR: Final = 4.0
MAX_BACKOFF_S: Final = 16.0
"""Seconds before the second attempt, the factor for each further one, and the longest backoff. The first has none."""
JITTER: Final = 0.25
"""Fraction by which a backoff varies at random, as all runs of a server lose it at the same moment."""
INTERRUPTED: Final = "The work on this message was interrupted"


@define(eq=False)
class ResumeAttempt:
    """The next attempt at a run. `number` counts from 1; `due`: its backoff is over; `recorded`: it is in the database.

    `progress` is the number of finished steps, `replay` is None if the steps cannot be read. `agent_type` and `pillar`
    are those that the message was addressed to.
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
        """Return the next attempt at a run; a step finished since the last attempt restarts the count."""
        progress = run.progress if replay is None else replay.finished_steps
        number = 1 if progress > run.progress else run.attempts + 1
        return cls(number, progress, replay, run.agent_type, run.pillar)

    def agent(self, agents: Mapping[str, Agent]) -> str | None:
        """Return the name of the run's first agent; None if that agent does not exist any more."""
        if self.replay is not None and self.replay.agents:
            name = self.replay.agents[0][1]
            return name if name in agents else None
        try:
            return find_agent(self.agent_type, self.pillar, {name: agent.pillar for name, agent in agents.items()})
        except CommandRejected:
            return None

    def backoff_s(self, chance: random.Random) -> float:
        """Return the seconds to wait before this attempt."""
        if self.due:
            return 0.0
        rest_s = min(BACKOFF_S * BACKOFF_FACTOR ** (self.number - 2), MAX_BACKOFF_S)
        return rest_s * chance.uniform(1 - JITTER, 1 + JITTER)

    def unresumable_reason(self, agents: Mapping[str, Agent]) -> tuple[str, str] | None:
        """Return why the run cannot be resumed: a word for the log and a sentence for the user. None if it can."""
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
