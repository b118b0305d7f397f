"""Declaring an `Agent`, and its representation on the wire and for a model."""

import re
from pathlib import Path
from typing import Any

import pytest

from transport.connection.limits import Limits
from understudy.agents.agent import Agent
from understudy.agents.builtin import business_outcomes, content, guide, insights, operations
from understudy.app.server import serve_app
from understudy.app.settings import Settings
from understudy.models.model import AgentCard, ToolCard
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


def test_lists_are_taken_for_tuples() -> None:
    """Lists given for `tools`, `colleagues` and `starters` become tuples."""
    agent = Agent("support", tools=[lookup], colleagues=["guide"], starters=["Where is A-17?"])
    assert agent.tools == (lookup,)
    assert agent.colleagues == ("guide",)
    assert agent.tool("lookup") is lookup
    assert agent.tool("nothing") is None


@pytest.mark.parametrize("allow", [[], ["support"], ["team:support"], ["group:"], "group:support"])
def test_an_agent_that_allows_nobody_or_in_other_words_is_refused(allow: list[str]) -> None:
    with pytest.raises((ValueError, TypeError), match=r"allow|list of texts"):
        Agent("support", allow=allow)


def test_a_model_is_a_name_or_answers() -> None:
    with pytest.raises(TypeError, match="is not a model"):
        Agent("support", model=object())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("agent", "on_the_wire"),
    [
        (Agent("guide"), ("guide", None)),
        (Agent("insights", pillar="insights"), ("liaison", "insights")),
        (Agent("support"), ("support", None)),
    ],
)
def test_what_an_agent_is_called_on_the_wire(agent: Agent, on_the_wire: tuple[str, str | None]) -> None:
    """The wire type is `guide`, `liaison` for an agent with a pillar, or the agent's own name."""
    assert (agent.agent_type, agent.pillar) == on_the_wire


def test_a_card_says_what_a_model_may_know() -> None:
    """The card has name, title, description and tools, but not the instructions."""
    agent = Agent("support", "Secret.", tools=[lookup], title="Support", description="Looks up orders.")
    tools = (ToolCard("lookup", "Look up an order.", lookup.parameters),)
    assert agent.card() == AgentCard("support", "Support", "Looks up orders.", tools)
    assert "Secret" not in repr(agent)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": ""}, "cannot be an agent's name"),
        ({"name": "two words"}, "cannot be an agent's name"),
        ({"name": "x" * 65}, "cannot be an agent's name"),
        ({"name": "line\n"}, "cannot be an agent's name"),
        ({"name": "liaison"}, "another name or a pillar"),
        ({"name": "a", "pillar": "two words"}, "cannot be an agent's pillar"),
        ({"name": "guide", "pillar": "insights"}, "the guide has no pillar"),
        ({"name": "a", "timeout_s": 0}, "more than 0 seconds"),
        ({"name": "a", "timeout_s": float("nan")}, "more than 0 seconds"),
        ({"name": "a", "tools": [lookup, lookup]}, "two tools are called 'lookup'"),
    ],
)
def test_a_wrong_value_is_refused(fields: dict[str, Any], says: str) -> None:
    """A wrong value raises ValueError at declaration."""
    with pytest.raises(ValueError, match=re.escape(says)):
        Agent(**fields)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"tools": [len]}, "put @tool above its definition"),
        ({"starters": "one text"}, "a list of texts"),
        ({"colleagues": "guide"}, "a list of texts"),
    ],
)
def test_a_wrong_type_is_refused(fields: dict[str, Any], says: str) -> None:
    """A wrong type raises TypeError, also a single text for a list of texts."""
    with pytest.raises(TypeError, match=says):
        Agent("a", **fields)


def test_the_guide_knows_its_colleagues_by_name() -> None:
    """The guide hands over to the names of the given agents, and has no pillar."""
    agent = guide([Agent("support"), insights([])], [lookup])
    assert agent.name == agent.agent_type == "guide"
    assert agent.pillar is None
    assert agent.colleagues == ("support", "insights")
    assert agent.tools == (lookup,)


@pytest.mark.parametrize("make", [content, insights, operations, business_outcomes])
def test_a_liaison_is_complete(make: Any) -> None:
    """A liaison is named after its pillar, and has a title, a description, starters and the given tools."""
    agent = make([lookup])
    assert agent.name == agent.pillar == make.__name__
    assert agent.agent_type == "liaison"
    assert agent.tools == (lookup,)
    assert agent.title
    assert agent.description
    assert agent.instructions
    assert 3 <= len(agent.starters) <= 6


def test_a_translation_is_of_what_users_read() -> None:
    with pytest.raises(ValueError, match="has title, description and starters alone"):
        Agent("a", translations={"de": {"instructions": "x"}})
    assert Agent("a", translations={"de": {"title": "Töpfe"}}).translations["de"] == {"title": "Töpfe"}


def test_an_agent_works_as_long_as_it_says_or_the_server_lets_it() -> None:
    assert Agent("a").run_limit_s(40.0) == 40.0
    assert Agent("a", timeout_s=12.5).run_limit_s(40.0) == 12.5
    assert Agent("a", timeout_s=40).run_limit_s(40.0) == 40


async def test_a_server_does_not_start_with_an_agent_whose_limit_it_would_cut(tmp_path: Path) -> None:
    """A limit above the server's is an error that names the agent and both limits."""
    settings = Settings(port=0, data_dir=tmp_path, limits=Limits(run_s=30.0))
    with pytest.raises(ValueError, match=r"'slow' is given timeout_s=120, but limits\.run_s ends every run after 30 s"):
        await serve_app(settings, [Agent("slow", timeout_s=120)])
