"""An agent is described to its model once for all turns of its run."""

from typing import Any

import pytest

from tests.rigs.played_run import Thinking, again, played
from tests.understudy.chat.run.stored import tool_step
from understudy.agents.agent import Agent
from understudy.chat.run import work
from understudy.chat.run.equipped import PART, Equipped, equip, recall_tool
from understudy.storage import queries
from understudy.storage.records import RunRecord, StepRecord
from understudy.testing import Call, Say
from understudy.tools.errors import ToolError
from understudy.tools.tool import ToolContext


async def test_the_card_is_made_once_for_each_agent_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Equipped] = []

    def noting(*args: object, **options: object) -> Equipped:
        made.append(equip(*args, **options))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(work, "equip", noting)
    calls = [Call([("again", {"text": str(number)})]) for number in range(3)]
    await played([Agent("a", tools=[again], model=Thinking(*calls, Say("one two")))])
    assert [([*ready.tools], [tool.name for tool in ready.card.tools]) for ready in made] == [(["again"], ["again"])]
    assert made[0].tokens > 20


RUN = RunRecord("r1", "ann", "t", "m", None, "guide", None, "success", 1.0)


class StoreWithOneCall:
    def __init__(self, step: StepRecord) -> None:
        self.step = step

    async def read(self, query: object, call_id: str) -> Any:
        assert query is queries.step_of_call
        return (self.step, RUN) if call_id == self.step.call_id else None


async def recall(step: StepRecord, owner: str = "ann", thread_id: str = "t", **arguments: Any) -> Any:
    context = ToolContext(owner, thread_id, "r2", "c", (), None, None, lambda done, total, note: None)  # type: ignore[arg-type]
    tool = recall_tool(StoreWithOneCall(step))  # type: ignore[arg-type]
    return (await tool.call({"call_id": "s1", **arguments}, context)).value


async def test_a_long_result_is_read_in_parts() -> None:
    step = tool_step(1, "s1", "x" * (PART + 10))
    first = await recall(step)
    assert (len(first["part"]), first["more_characters"], first["tool"]) == (PART, 12, "lookup")
    assert await recall(step, offset=PART) == {**first, "part": "x" * 11 + '"', "offset": PART, "more_characters": 0}


@pytest.mark.parametrize(
    ("owner", "thread_id", "finished", "says"),
    [("bob", "t", True, "no result"), ("ann", "other", True, "no result"), ("ann", "t", False, "has no result")],
)
async def test_a_call_of_another_user_or_thread_or_at_work_has_no_result(
    owner: str, thread_id: str, finished: bool, says: str
) -> None:
    with pytest.raises(ToolError, match=says):
        await recall(tool_step(1, "s1", "secret", finished=finished), owner, thread_id)
