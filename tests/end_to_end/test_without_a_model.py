"""A server without a language model, as its users meet it: starters, arithmetic, forms, next steps, other texts."""

from typing import Any

import pytest
from attrs import evolve

from tests.rigs.chat_client import ChatClient, check_arc
from tests.rigs.http import get
from tests.rigs.model_provider import Provider, port_of
from tests.rigs.scripted_model import Say, ScriptedModel
from understudy import Agent, NextStep, Starter, ToolResult, tool
from understudy.extensions.openai import local

SEVEN = [
    "message_accepted", "agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed",
    "final_response",
]  # fmt: skip


@tool
async def weigh(grams: int, express: bool = False) -> ToolResult:
    """Work out the postage of a parcel."""
    price, steps = 390 + grams, [NextStep("As express", "weigh", {"grams": grams, "express": True})]
    return ToolResult({"cents": price}, f"{price} cents", next_steps=steps)


parcels = Agent("parcels", tools=[weigh], starters=[Starter("What does a letter cost?", "weigh", {"grams": 20})])
desk = Agent("desk", colleagues=["parcels"])


async def called(client: ChatClient, content: str, **payload: Any) -> tuple[list[str], dict[str, Any], dict[str, Any]]:
    """Send a message. Return the types of its durable events, the data of the first result, and of the end."""
    client.seen.clear()
    end = await client.ask(content, **payload)
    events = client.durable(end["run_id"])
    result = next((event["data"] for event in events if event["type"] == "tool_completed"), {})
    return [event["type"] for event in events], result, end["data"]


async def test_a_first_message_has_its_seven_events(serve_client: Any) -> None:
    async with serve_client() as client:
        for text, tool_name in (
            ("Test agent execution", "system_health"), ("what is 15% of 80", "calculate"),
            ("How is the server doing", "system_health"), ("Tell me a joke", "abilities"),
        ):  # fmt: skip
            kinds, result, end = await called(client, text, thread_id=text.partition(" ")[0])
            check_arc(client.durable())
            assert kinds == SEVEN, text
            assert (result["tool_name"], result["status"]) == (tool_name, "ok")
            assert end["message"]


async def test_the_guide_passes_a_starter_of_a_colleague_on(serve_client: Any) -> None:
    async with serve_client() as client:
        for text, agent, tool_name in (
            ("Analyze my database performance", "operations", "server_performance"),
            ("analyze my code performance.", "operations", "server_performance"),
            ("How could we reduce costs by 35 %?", "business_outcomes", "reduce_costs"),
            ("how could we reduce costs by 35%", "business_outcomes", "reduce_costs"),
        ):
            kinds, result, end = await called(client, text)
            assert [event["data"]["to"] for event in client.seen if event["type"] == "agent_handoff"] == [agent], text
            assert kinds[-3:] == ["tool_completed", "agent_completed", "final_response"]
            assert (result["tool_name"], result["status"]) == (tool_name, "ok")
            assert end["message"]


async def test_every_other_text_gets_forms_and_how_to_connect_a_model(
    serve_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the agent and of its colleagues, each with its schema. Nothing in it is taken for a finding."""
    monkeypatch.setattr(local, "PORTS", {})
    async with serve_client(desk, parcels, builtin_agents=()) as client:
        _, result, end = await called(client, "How heavy is it?", agent_type="desk")
        assert "sanitization_summary" not in [event["type"] for event in client.seen]
    (form,) = result["result"]["abilities"]
    assert form == {
        "tool": "weigh", "title": "Weigh", "description": "Work out the postage of a parcel.", "agent": "parcels",
        "parameters": weigh.parameters,
    }  # fmt: skip
    assert "No language model is connected" in end["message"]
    assert "`--model openai:NAME`" in end["message"]
    assert "“What does a letter cost?”" in end["message"]
    assert end["data"]["results"][0]["next_steps"] == [{"label": "Weigh", "tool": "weigh", "arguments": {}}]


async def test_a_model_of_this_machine_is_named(serve_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with Provider() as program:
        program.models = {"qwen3:8b": {}}
        monkeypatch.setattr(local, "PORTS", {port_of(program): "Ollama"})
        async with serve_client() as client:
            _, _, end = await called(client, "Hello?")
    assert "qwen3:8b of Ollama" in end["message"]


async def test_a_form_and_a_next_step_make_their_call_with_and_without_a_model(serve_client: Any) -> None:
    modelled = evolve(desk, name="modelled", model=ScriptedModel(Say("I am asked.")))
    async with serve_client(desk, modelled, parcels, builtin_agents=()) as client:
        for agent in ("desk", "modelled", "parcels"):
            form = {"agent_type": agent, "settings": {"tool": "weigh"}, "thread_id": agent}
            kinds, result, end = await called(client, "Weigh", context={"grams": 5}, **form)
            assert (result["result"], end["message"]) == ({"cents": 395}, "395 cents.")
            (step,) = end["data"]["results"][0]["next_steps"]
            form["settings"] = {"tool": step["tool"]}
            _, result, _ = await called(client, step["label"], context=step["arguments"], **form)
            assert result["result"] == {"cents": 395}
            accepted = next(event for event in client.seen if event["type"] == "message_accepted")
            assert accepted["agent_type"] == "parcels"
            _, result, end = await called(client, "Weigh", context={"grams": "much"}, **form)
            assert (result["status"], "grams" in end["message"]) == ("failed", True)
            assert "agent_handoff" not in kinds


async def test_a_tool_that_no_agent_has_is_refused(serve_client: Any) -> None:
    async with serve_client(desk, parcels, builtin_agents=()) as client:
        refused = await client.ask("Weigh", agent_type="desk", settings={"tool": "bake"}, until="error")
    assert (refused["data"]["code"], "settings.tool" in refused["data"]["message"]) == ("invalid_command", True)


async def test_a_starter_is_listed_as_a_call(serve_guest: Any) -> None:
    running, token = await serve_guest(parcels, builtin_agents=())
    starter = {"text": "What does a letter cost?", "tool": "weigh", "arguments": {"grams": 20}}
    assert (await get(running, "/api/agents", token))["agents"][0]["starters"] == [starter]
