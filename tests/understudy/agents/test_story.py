"""The agent that tells a long answer."""

import pytest

from understudy.agents import story
from understudy.agents.story import STORY
from understudy.testing import run_agent


async def test_the_story_is_told_whole_and_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story, "PAUSE_S", 0.0)
    run = await run_agent(STORY, "Tell me the story of the understudy")
    assert run.agent == STORY.name
    assert run.text.startswith("The theatre in Harbour Street")
    assert run.text.rstrip().endswith("and when you do not know, ask.")
    assert run.text.count("\n\n") > 15
