"""The parts of a run are asked for with its agent, and called at the hooks that they have."""

from attrs import define, field

from understudy.agents.agent import Agent
from understudy.chat.messages import RunRequest
from understudy.chat.run.part import NO_PARTS, RunPart, parts_of
from understudy.chat.run.work import RunWork

JOB = RunRequest("r", "ada", "t", "m", "go", (), "a")


@define(eq=False)
class Noting(RunPart):
    """Notes the turns that end."""

    agent: str
    ended: list[str] = field(factory=list)

    async def after_turn(self, work: RunWork) -> None:
        self.ended.append(work.agent.name)


@define(eq=False)
class Telling(RunPart):
    async def note(self, work: RunWork) -> str:
        return "one thing"


def test_a_run_has_the_parts_that_its_agent_asks_for() -> None:
    makers = [
        lambda job, agent: Noting(f"{job.run_id}.{agent.name}") if agent.remembers else None,
        lambda job, agent: Telling(),
    ]
    parts = parts_of(makers, JOB, Agent("a", remembers=True))
    assert [each.agent for each in parts.after_turn if isinstance(each, Noting)] == ["r.a"]
    assert [type(each) for each in parts.note] == [Telling]
    assert (parts.begin, parts.before_turn, parts.end) == ((), (), ())
    assert parts_of(makers[:1], JOB, Agent("b", remembers=False)) is NO_PARTS
