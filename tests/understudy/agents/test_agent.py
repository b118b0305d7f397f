"""Declaring an `Agent`, and its representation on the wire and for a model."""

import re
from typing import Any

import pytest

from understudy.agents.agent import Agent
from understudy.agents.budget import Budget
from understudy.agents.builtin import guide
from understudy.agents.registry import all_agents
from understudy.models.model import AgentCard, ModelSettings, ToolCard
from understudy.tools.arithmetic import calculate
from understudy.tools.mcp_server import mcp
from understudy.tools.offers import Starter
from understudy.tools.server import system_health
from understudy.tools.tool import tool


@tool
def lookup(order_id: str) -> str:
    """Look up an order."""
    return order_id


def test_an_agent_needs_only_a_name() -> None:
    agent = Agent("order-desk")
    assert (agent.tools, agent.colleagues, agent.starters, agent.timeout_s) == ((), (), (), None)
    assert agent.display_title == "Order desk"
    assert agent.model is None
    agent = Agent("support", tools=[lookup], colleagues=["guide"], starters=["Where is A-17?"])
    assert (agent.tools, agent.colleagues) == ((lookup,), ("guide",))
    assert (agent.tool("lookup"), agent.tool("nothing")) == (lookup, None)


@pytest.mark.parametrize(
    ("agent", "on_the_wire"),
    [
        (Agent("guide"), ("guide", None)),
        (Agent("insights", pillar="insights"), ("liaison", "insights")),
        (Agent("support"), ("support", None)),
    ],
)
def test_the_name_of_an_agent_on_the_wire(agent: Agent, on_the_wire: tuple[str, str | None]) -> None:
    assert (agent.agent_type, agent.pillar) == on_the_wire


def test_a_card_says_what_a_model_may_know() -> None:
    agent = Agent("support", "Secret.", tools=[lookup], title="Support", description="Looks up orders.")
    tools = (ToolCard("lookup", "Look up an order.", lookup.parameters),)
    assert agent.card == AgentCard("support", "Support", "Looks up orders.", tools)
    assert "Secret" not in repr(agent)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": ""}, "cannot be an agent's name"),
        ({"name": "two words"}, "cannot be an agent's name"),
        ({"name": "x" * 65}, "cannot be an agent's name"),
        ({"name": "line\n"}, "cannot be an agent's name"),
        ({"name": "liaison"}, "another name or a pillar"),
        ({"pillar": "two words"}, "cannot be an agent's pillar"),
        ({"name": "guide", "pillar": "insights"}, "the guide has no pillar"),
        ({"timeout_s": 0}, "more than 0 seconds"),
        ({"timeout_s": float("nan")}, "more than 0 seconds"),
        ({"tools": [lookup, lookup]}, "two tools are called 'lookup'"),
        ({"tools": [len]}, "put @tool above its definition"),
        ({"model": object()}, "is not a model"),
        ({"run": print}, "async function of one AgentTurn"),
        ({"starters": "one text"}, "a list is needed"),
        ({"colleagues": "guide"}, "a list is needed"),
        ({"allow": "group:support"}, "list of texts"),
        *(({"allow": rules}, "allow") for rules in ([], ["support"], ["team:support"], ["group:"])),
        ({"starters": [Starter("Bake", "bake")]}, "agent 'a' has the starter 'Bake', but no tool 'bake'"),
        ({"settings": ModelSettings(tool_choice="look"), "tools": [lookup]}, "no tool 'look' (did you mean 'lookup'?)"),
        ({"translations": {"de": {"instructions": "x"}}}, "has title, description and starters alone"),
        ({"timeout_s": 30, "budget": Budget(wall_s=60)}, "budget of wall_s=60, but timeout_s=30 ends its runs before"),
    ],
)
def test_a_wrong_agent_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises((ValueError, TypeError), match=re.escape(says)):
        Agent(**{"name": "a", **fields})


def test_the_guide_knows_its_colleagues_by_name() -> None:
    agent = guide([Agent("support"), Agent("insights", pillar="insights")], [calculate, system_health])
    assert agent.name == agent.agent_type == "guide"
    assert agent.pillar is None
    assert agent.colleagues == ("support", "insights")
    assert agent.tools == (calculate, system_health)


@pytest.mark.parametrize("agent", [agent for agent in all_agents().values() if agent.pillar])
def test_a_liaison_is_complete(agent: Agent) -> None:
    assert agent.name == agent.pillar
    assert agent.agent_type == "liaison"
    assert agent.tools
    assert agent.title
    assert agent.description
    assert agent.instructions
    assert 1 <= len(agent.starters) <= 6
    assert all(starter.tool for starter in agent.starters)


def test_a_starter_calls_a_tool_of_its_agent_or_none() -> None:
    """Texts are starters without a call. Tools of MCP servers are known by the name of their server."""
    server = mcp("http://127.0.0.1:1/mcp", name="shop")
    agent = Agent(
        "desk", tools=[lookup, server], starters=["Hello", Starter("Look", "lookup"), Starter("Buy", "shop_buy")]
    )
    assert agent.starters[0] == Starter("Hello")
    assert agent.card.starters == agent.starters


def test_an_agent_without_some_of_its_tools_has_nothing_that_needs_them() -> None:
    """As it is for a user who may not have them called."""
    settings = ModelSettings(effort="low", tool_choice="lookup")
    agent = Agent("desk", tools=[lookup, calculate], starters=["Hello", Starter("Look", "lookup")], settings=settings)
    assert agent.with_tools(agent.tools) == agent
    fewer = agent.with_tools([calculate])
    assert (fewer.tools, fewer.starters) == ((calculate,), (Starter("Hello"),))
    assert fewer.settings == ModelSettings(effort="low")


def test_starters_of_translations_are_starters_too() -> None:
    agent = Agent(
        "desk", tools=[lookup], starters=["Look"], translations={"de": {"starters": [Starter("Schau", "lookup")]}}
    )
    assert Agent("a", translations={"de": {"title": "Töpfe"}}).translations["de"] == {"title": "Töpfe"}
    assert [starter.text for starter in agent.card.starters] == ["Look", "Schau"]


def test_an_agent_works_as_long_as_it_says_or_the_server_lets_it() -> None:
    assert Agent("a").run_limit_s(40.0) == 40.0
    assert Agent("a", timeout_s=12.5).run_limit_s(40.0) == 12.5
    assert Agent("a", timeout_s=40).run_limit_s(40.0) == 40
