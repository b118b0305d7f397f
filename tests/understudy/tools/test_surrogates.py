"""Halves of surrogate pairs, as `os.listdir` gives for names that are not UTF-8: one is replaced, the rest is kept."""

from typing import Any

import pytest

from understudy import Agent, AgentTurn, ToolContext, ToolError, ToolResult, tool
from understudy.testing import Call, Say, ScriptedModel, run_agent
from understudy.tools.errors import MAX_MESSAGE
from understudy.tools.tool import NextStep

HALF, WHOLE = "caf\udce9", "caf\ufffd"


@tool
def value(name: str) -> Any:
    return {HALF: [name, HALF]}


@tool
def pieces(name: str) -> Any:
    yield name
    yield HALF


@tool
def result(name: str) -> ToolResult:
    chart = {"spec": {HALF: HALF}, "title": HALF}
    steps = [NextStep("Again", "result", {"name": HALF})]
    return ToolResult(name, HALF, chart, answer=HALF, next_steps=steps)


@tool
def refused(name: str) -> str:
    raise ToolError("not_found", ValueError(name + "x" * MAX_MESSAGE))


@tool
async def saved(name: str, context: ToolContext) -> Any:
    await context.files.save(name, "text/plain", b"x")
    await context.remember("name", {HALF: HALF})
    return await context.recall("name")


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (value, {WHOLE: [WHOLE, WHOLE]}),
        (pieces, [WHOLE, WHOLE]),
        (result, WHOLE),
        (refused, {"error": {"code": "not_found", "message": WHOLE + "x" * (MAX_MESSAGE - 4)}}),
        (saved, {WHOLE: WHOLE}),
    ],
)
async def test_a_result_is_kept(made: Any, shown: Any) -> None:
    model = ScriptedModel(Call([(made.name, {"name": HALF})]), Say(f"Said {HALF}"))
    run = await run_agent(Agent("x", tools=[made], model=model), "go")
    assert (run.error, [call.result for call in run.calls]) == (None, [shown])
    assert run.text in (WHOLE, f"Said {WHOLE}")


async def test_a_hand_written_agent_goes_on() -> None:
    async def work(turn: AgentTurn) -> None:
        step = await turn.step(f"load {HALF}", lambda: {HALF: 1})
        with pytest.raises(ToolError, match="There is no tool"):
            await turn.call(HALF)
        await turn.say(f"{HALF} {step} {await turn.call('pieces', name=HALF)}")

    run = await run_agent(Agent("x", tools=[pieces], run=work), "go")
    assert (run.text, run.error) == (f"{WHOLE} {{'{WHOLE}': 1}} ['{WHOLE}', '{WHOLE}']", None)
