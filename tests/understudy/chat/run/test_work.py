"""The parts of a run are asked for with its agent, and called at the hooks that they have."""

import pytest
from attrs import define, field

from understudy.agents.agent import Agent
from understudy.agents.turn import AgentTurn
from understudy.chat.messages import RunRequest
from understudy.chat.run.part import NO_PARTS, AgentDone, Done, RunPart, RunParts, parts_of
from understudy.chat.run.thoughts import MAX_SENTENCE
from understudy.chat.run.tool_outcome import ToolOutcome
from understudy.chat.run.work import MAX_RESULTS_BYTES, Gathered, RunWork
from understudy.models.model import ToolRequest
from understudy.testing import run_agent
from understudy.wire.events import NO_USAGE, AgentThinking, ToolStatus

JOB = RunRequest("r", "ada", "t", "m", "go", (), "a")


@define(eq=False)
class Noting(RunPart):
    """Notes the turns that end."""

    agent: str
    turns: list[str] = field(factory=list)

    async def after_turn(self, work: RunWork) -> None:
        self.turns.append(work.agent.name)


@define(eq=False)
class Telling(RunPart):
    async def note(self, work: RunWork) -> str:
        return "one thing"


@define(eq=False)
class Ending(RunPart):
    """Raises this error when something ends, or keeps what has."""

    error: Exception | None = None
    done: list[Done] = field(factory=list)

    async def ended(self, done: Done) -> None:
        if self.error is not None:
            raise self.error
        self.done.append(done)


async def test_each_part_is_told_of_an_end_whatever_another_raises(caplog: pytest.LogCaptureFixture) -> None:
    parts, done = [Ending(ValueError("damaged")), last := Ending()], AgentDone(NO_USAGE, "42")
    await RunParts(ended=tuple(parts)).tell_ended(done)
    assert last.done == [done]
    assert [(record.message, record.levelname) for record in caplog.records] == [("run.part_failed", "ERROR")]


def test_a_run_has_the_parts_that_its_agent_asks_for() -> None:
    makers = [
        lambda request, agent: Noting(f"{request.run_id}.{agent.name}") if agent.remembers else None,
        lambda request, agent: Telling(),
        lambda request, agent: Telling(),
    ]
    parts = parts_of(makers, JOB, Agent("a", remembers=True))
    assert [part.agent for part in parts.after_turn if isinstance(part, Noting)] == ["r.a"]
    assert [type(part) for part in parts.note] == [Telling, Telling]
    assert (parts.begin, parts.before_turn, parts.ended) == ((), (), ())
    assert parts_of(makers[:1], JOB, Agent("b", remembers=False)) is NO_PARTS


def test_an_answer_has_the_last_results_and_charts_that_fit_into_a_frame() -> None:
    big, request = "x" * (MAX_RESULTS_BYTES // 4), ToolRequest("c", "draw", {})
    drawn = [ToolOutcome(request, "c", ToolStatus.OK, [n, big], visualization={"title": big, "n": n}) for n in range(6)]
    data = Gathered(drawn).data()
    assert [result["result"][0] for result in data["results"]] == [3, 4, 5]
    assert [chart["n"] for chart in data["visualizations"]] == [3, 4, 5]


async def test_a_long_thought_is_cut() -> None:
    async def work(turn: AgentTurn) -> None:
        await turn.think("Hm. " * MAX_SENTENCE)

    run = await run_agent(Agent("a", run=work), "go")
    assert [len(event.thought) for event in run.of(AgentThinking)] == [MAX_SENTENCE]
