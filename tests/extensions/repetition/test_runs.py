"""Runs whose model repeats a call: it is told beside the third result, and the run closes with the fourth."""

from understudy import Agent, Budget, tool
from understudy.models.model import NoteItem
from understudy.testing import AgentRun, Call, Say, ScriptedModel, open_session

TOLD = "This is call number"
AGAIN = Call([("look", {"at": 1})])


@tool(retry_safe=True)
async def look(at: int) -> str:
    """Look at a place, where nothing ever changes."""
    return f"nothing at {at}"


async def run_of(model: ScriptedModel, *extensions: str) -> AgentRun:
    agent = Agent("seeker", model=model, tools=[look], budget=Budget(turns=7))
    async with open_session(agent, extensions=extensions) as session:
        return await session.say("Find it")


def turns_told(model: ScriptedModel) -> list[int]:
    """Return how many notes about a repeated call each turn of the model was given."""
    return [
        sum(isinstance(item, NoteItem) and item.content.startswith(TOLD) for item in turn.items)
        for turn in model.inputs
    ]


async def test_the_run_closes_with_a_turn_without_tools() -> None:
    model = ScriptedModel(*[AGAIN] * 4, Say("I found nothing."))
    run = await run_of(model)
    assert turns_told(model) == [0, 0, 0, 1, 2]
    assert [bool(turn.tools) for turn in model.inputs] == [True, True, True, True, False]
    assert run.text.startswith("I found nothing.\n\nStopped: look was called 4 times")
    assert (run.data or {})["budget"]["ended_by"] == "repetition"


async def test_three_calls_at_once_are_told_of_after_the_next_turn() -> None:
    model = ScriptedModel(Call(AGAIN.tools * 3), AGAIN, AGAIN, Say("Nothing."))
    run = await run_of(model)
    assert turns_told(model) == [0, 0, 2, 3]
    assert (run.data or {})["budget"]["ended_by"] == "repetition"


async def test_a_run_goes_on_with_an_answer_of_which_the_calls_do_not_count() -> None:
    model = ScriptedModel(*[AGAIN] * 9)
    agent = Agent("seeker", model=model, tools=[look], budget=Budget(turns=3))
    async with open_session(agent) as session:
        first = await session.say("Find it")
        model.inputs.clear()
        second = await session.continue_answer(first)
    assert (first.data or {})["budget"]["ended_by"] == "turns"
    assert turns_told(model) == [0, 0, 0]
    assert (second.data or {})["budget"]["ended_by"] == "turns"


async def test_without_the_extension_the_budget_closes_the_run() -> None:
    model = ScriptedModel(AGAIN)
    run = await run_of(model, "-repetition")
    assert turns_told(model) == [0] * 7
    assert (run.data or {})["budget"]["ended_by"] == "turns"
