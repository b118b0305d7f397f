"""Agents with an output type: the answer is an object, checked, and asked for once more if it does not fit."""

import json

import pytest
from attrs import asdict, field, frozen

from understudy import Agent, Budget, tool
from understudy.agents.output import InvalidOutput, OutputType
from understudy.chat.run.meter import Ended
from understudy.chat.run.output import read_output
from understudy.testing import AgentRun, Call, Hand, Say, ScriptedModel, run_agent
from understudy.wire.events import ToolStatus

KEY = "ghp_" + "a1B2c3D4" * 4 + "e5F6"


@frozen
class Parcel:
    """Where a parcel is."""

    carrier: str
    days: int = field(default=0)

    @days.validator
    def _check_days(self, _: object, value: int) -> None:
        if value > 30:
            raise ValueError("no parcel takes so long")


@tool
async def find(order_id: str) -> str:
    """Find the parcel of an order."""
    return f"{order_id} is with northmail"


FIND = Call([("find", {"order_id": "A-17"})])
FITS = Say('{"carrier": "northmail", "days": 2}')


def clerk(*turns: Say | Call | Hand, **more: object) -> Agent:
    return Agent("clerk", tools=[find], model=ScriptedModel(*turns), output_type=Parcel, **more)  # type: ignore[arg-type]


def shown(run: AgentRun) -> str:
    return json.dumps([asdict(event) for event in run.events], default=str)


async def test_the_answer_is_an_object() -> None:
    agent = clerk(FIND, Say('```json\n{"carrier": "northmail", "days": null}\n```'))
    run = await run_agent(agent, "Where is A-17?")
    assert run.output == {"carrier": "northmail", "days": 0}
    assert json.loads(run.text) == {"carrier": "northmail"}
    assert [turn.output and turn.output.name for turn in agent.model.inputs] == ["Parcel", "Parcel"]


async def test_an_answer_that_does_not_fit_is_asked_for_once_more() -> None:
    model = ScriptedModel(Say('{"carrier": "northmail", "days": 31}'), FITS)
    run = await run_agent(Agent("clerk", model=model, output_type=Parcel), "Where is A-17?")
    assert run.output == {"carrier": "northmail", "days": 2}
    assert ": 31" not in shown(run)
    assert run.usage.turns == 2
    _, again = model.inputs
    assert again.items[-1].content == '{"carrier": "northmail", "days": 31}'
    note = again.notes[-1].content
    assert "no parcel takes so long" in note
    assert '"carrier":{"type":"string"}' in note


@pytest.mark.promise("wire.error-invalid-output")
async def test_a_second_answer_that_does_not_fit_ends_the_run() -> None:
    run = await run_agent(clerk(Say("At northmail."), Say("{}")), "Where is A-17?")
    assert (run.error.code, run.output) == ("invalid_output", None)
    assert "carrier is missing" in run.error.message


async def test_an_agent_that_asks_another_gets_the_object() -> None:
    for turns, status, result in (
        ((FITS,), ToolStatus.OK, {"carrier": "northmail", "days": 2}),
        ((Say("No."),), ToolStatus.FAILED, None),
    ):
        asking = ScriptedModel(Call([("ask_clerk", {"request": "Where is A-17?"})]), Say("Done."))
        run = await run_agent(Agent("boss", tools=[clerk(*turns).as_tool()], model=asking), "Go")
        (call,) = run.calls
        assert call.status is status
        if result is None:
            assert call.result["error"]["code"] == "invalid_output"
        else:
            assert call.result == result
        assert (run.text, run.output) == ("Done.", None)


async def test_a_handoff_to_an_agent_with_an_output_type() -> None:
    guide = Agent("guide", model=ScriptedModel(Hand("clerk")), colleagues=["clerk"])
    run = await run_agent(guide, "Where is A-17?", others=[clerk(FITS)])
    assert (run.agent, run.output) == ("clerk", {"carrier": "northmail", "days": 2})


async def test_a_secret_in_an_object_is_redacted() -> None:
    run = await run_agent(clerk(Say(json.dumps({"carrier": f"key {KEY}"}))), "Go")
    assert KEY not in shown(run)
    assert run.output["carrier"].startswith("key ")


async def test_the_last_turn_of_a_budget_has_the_form_too() -> None:
    run = await run_agent(clerk(FIND, FITS, budget=Budget(turns=2)), "Where is A-17?")
    assert run.output == json.loads(run.text) == {"carrier": "northmail", "days": 2}
    assert run.data["budget"]["ended_by"] == "turns"


async def test_without_a_model_no_form_is_filled() -> None:
    run = await run_agent(Agent("clerk", tools=[find], output_type=Parcel), "Find the parcel of order A-17")
    assert (run.error.code, run.output) == ("model_unavailable", None)
    assert "No language model is connected" in run.error.message


async def test_a_recorded_answer_that_does_not_fit_any_more_is_an_error() -> None:
    """The content policy may have changed it, or the turn was cut."""
    with pytest.raises(InvalidOutput, match="ended without an answer in the form"):
        await read_output(clerk(FITS), OutputType(Parcel), "ada", "")
    with pytest.raises(InvalidOutput, match=r"needed: Stopped at 2 turns\."):
        await read_output(clerk(FITS), OutputType(Parcel), "ada", "", Ended("turns", 2, 2, "Stopped at 2 turns."))
