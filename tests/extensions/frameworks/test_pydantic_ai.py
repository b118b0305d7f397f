"""Agents of Pydantic AI: what is shown of them, what they ask, and what they know of the conversation."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai import ModelRetry, NativeOutput, PromptedOutput, TextOutput, ToolOutput
from pydantic_ai.agent import AbstractAgent, WrapperAgent
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.models.function import DeltaToolCall, FunctionModel

from tests.extensions.frameworks.notes import noted
from tests.extensions.frameworks.pydantic_ai_agent import agent, planner, tried, typed
from understudy import Agent, Budget
from understudy.extensions.frameworks.pydantic_ai import pydantic_ai
from understudy.testing import run_agent


async def test_an_output_that_is_an_object_is_json() -> None:
    assert '{"city":"Oslo","days":2}' in (await run_agent(typed, "hello")).text


@pytest.mark.parametrize(("allow", "status"), [(True, "ok"), (False, "failed")])
async def test_a_tool_that_asks_for_approval_as_it_works_asks_a_question(allow: bool, status: str) -> None:
    run = await run_agent(agent, "ask", answers=[{"allow": allow}])
    assert [(call.tool, call.status) for call in run.calls] == [("first", "ok"), ("second", status)]


async def test_a_call_that_is_made_elsewhere_asks_for_its_result() -> None:
    run = await run_agent(agent, "elsewhere", answers=[{"answer": "from afar"}])
    assert "from afar" in run.text


async def test_a_tool_that_wants_to_be_called_again_is() -> None:
    tried.clear()
    run = await run_agent(agent, "retry")
    assert [(call.tool, call.status) for call in run.calls] == [("first", "ok"), ("second", "failed"), ("second", "ok")]


async def test_a_tool_that_crashes_ends_the_run_without_its_reason(calls: Path) -> None:
    run = await run_agent(agent, "crash", timeout_s=60)
    assert (run.error.code, run.error.message) == ("agent_failed", "Planner failed.")
    assert "secret" not in str(run.events)
    assert noted(calls).count("second") == 1


async def test_a_budget_ends_an_agent() -> None:
    run = await run_agent(Agent("planner", run=pydantic_ai(planner), budget=Budget(calls=1)), "hello")
    assert (run.data or {})["budget"]["ended_by"] == "calls"
    assert len(run.calls) == 1


def test_what_is_no_agent_is_refused() -> None:
    with pytest.raises(TypeError, match="no agent of Pydantic AI"):
        pydantic_ai("openai:gpt")  # type: ignore[arg-type]


def model_that(*replies: list[Any]) -> FunctionModel:
    """Return a model that streams these replies in turn: texts, and calls as (name, arguments, id)."""
    left = [list(reply) for reply in replies]

    async def stream(messages: Any, info: Any) -> AsyncIterator[Any]:
        for place, part in enumerate(left.pop(0)):
            if isinstance(part, str):
                yield part
            else:
                name, arguments, call_id = part
                yield {place: DeltaToolCall(name=name, json_args=json.dumps(arguments), tool_call_id=call_id)}

    return FunctionModel(stream_function=stream)


@pytest.mark.parametrize(
    "replies",
    [
        ([("weather", {"city": "Rome"}, "call_0")], [("weather", {"city": "Oslo"}, "call_0")], ["Fine."]),
        ([("weather", {"city": "Rome"}, "call_0"), ("weather", {"city": "Oslo"}, "call_0")], ["Fine."]),
    ],
)
async def test_calls_with_one_id_are_each_made(replies: tuple[list[Any], ...]) -> None:
    """Local servers number calls so. Those of one reply are made side by side, in any order."""
    cities: list[str] = []
    inner = PydanticAgent(model_that(*replies))

    @inner.tool_plain
    def weather(city: str) -> str:
        """Tell the weather."""
        cities.append(city)
        return f"weather of {city}"

    run = await run_agent(Agent("clerk", run=pydantic_ai(inner)), "go")
    assert (sorted(cities), run.text) == (["Oslo", "Rome"], "Fine.")
    results = sorted((call.arguments["city"], call.result) for call in run.calls)
    assert results == [("Oslo", "weather of Oslo"), ("Rome", "weather of Rome")]


def refuse(output: Any) -> Any:
    if "bad" in str(output):
        raise ModelRetry("not that")
    return output


def refusing(*replies: list[Any], wrapped: bool = False, **options: Any) -> AbstractAgent[Any, Any]:
    inner = PydanticAgent(model_that(*replies), retries=3, **options)
    inner.output_validator(refuse)
    return WrapperAgent(inner) if wrapped else inner


class Guard(AbstractCapability[Any]):
    async def after_output_process(self, ctx: Any, *, output_context: Any, output: Any) -> Any:
        return refuse(output)


class Trip(BaseModel):
    """A trip."""

    city: str


def book(city: str) -> str:
    """Book a trip."""
    return f"booked {city}"


def shout(text: str) -> str:
    return text.upper()


ROME = {"city": "Rome"}


@pytest.mark.parametrize(
    ("output", "reply", "text"),
    [
        (ToolOutput(Trip), [("final_result", ROME, "c")], '{"city":"Rome"}'),
        (ToolOutput(Trip), ["I book it. ", ("final_result", ROME, "c")], 'I book it. \n\n{"city":"Rome"}'),
        (book, [("final_result", ROME, "c")], "booked Rome"),
        (NativeOutput(Trip), ['{"city":', '"Rome"}'], '{"city":"Rome"}'),
        (PromptedOutput(Trip), ['{"city":', '"Rome"}'], '{"city":"Rome"}'),
        (TextOutput(shout), ["fine"], "FINE"),
        ([str, ToolOutput(Trip)], ["fine"], "fine"),
        ([str, ToolOutput(Trip)], [("final_result", ROME, "c")], '{"city":"Rome"}'),
    ],
    ids=["tool", "tool and words", "function", "native", "prompted", "text", "text of a union", "object of a union"],
)
async def test_the_output_is_the_answer_and_shown_once(output: Any, reply: list[Any], text: str) -> None:
    inner = PydanticAgent(model_that(reply), output_type=output)
    run = await run_agent(Agent("clerk", run=pydantic_ai(inner)), "go")
    assert (run.text, run.error) == (text, None)


BAD = [("final_result", {"city": "bad"}, "c")]
GOOD = [("final_result", ROME, "c")]


@pytest.mark.parametrize(
    ("inner", "text"),
    [
        (refusing(["a bad answer"], ["bad again"], ["a good answer"]), "a good answer"),
        (refusing(["a bad answer"], ["a good answer"], wrapped=True), "a good answer"),
        (PydanticAgent(model_that(["a bad answer"], ["a good answer"]), capabilities=[Guard()]), "a good answer"),
        (refusing(BAD, GOOD, output_type=ToolOutput(Trip)), '{"city":"Rome"}'),
        (refusing(["I book.", *BAD], ["I book. ", *GOOD], output_type=ToolOutput(Trip)), 'I book. \n\n{"city":"Rome"}'),
        (refusing(['{"city":"bad"}'], ['{"city":"Rome"}'], output_type=PromptedOutput(Trip)), '{"city":"Rome"}'),
        (refusing(BAD, GOOD, output_type=book), "booked Rome"),
        (refusing(["caf\udce9"]), "caf\ufffd"),
    ],
    ids=["several", "wrapped", "capability", "object", "object and words", "prompted", "function", "surrogate"],
)
async def test_a_reply_that_is_refused_is_not_shown(inner: Any, text: str) -> None:
    run = await run_agent(Agent("clerk", run=pydantic_ai(inner)), "go")
    assert (run.text, run.error) == (text, None)
