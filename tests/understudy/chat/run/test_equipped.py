"""An agent is described to its model once for all turns of its run."""

import pytest

from tests.understudy.chat.run.test_replay import Thinking, again, played
from understudy.agents.agent import Agent
from understudy.chat.run import work
from understudy.chat.run.equipped import Equipped, equip
from understudy.testing import Call, Say


async def test_the_card_is_made_once_for_each_agent_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Equipped] = []

    def noting(*args: object, **options: object) -> Equipped:
        made.append(equip(*args, **options))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(work, "equip", noting)
    calls = [Call([("again", {"text": str(number)})]) for number in range(3)]
    await played([Agent("a", tools=[again], model=Thinking(*calls, Say("one two")))])
    assert [([*each.tools], [tool.name for tool in each.card.tools]) for each in made] == [(["again"], ["again"])]
    assert made[0].tool_tokens > 20
