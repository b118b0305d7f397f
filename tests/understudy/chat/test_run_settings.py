"""The settings that a client sends with a message."""

from typing import Any

import pytest

from transport.wire.errors import CommandRejected
from understudy.agents.agent import Agent
from understudy.agents.budget import Budget
from understudy.chat.run_settings import MAX_BYTES, MAX_EARLIER, MAX_TOOLS, check_settings, tool_names, unknown_settings
from understudy.extensions.remote.remote import Remote
from understudy.tools.tool import tool


@tool
def own() -> str:
    """Be here already."""
    return ""


AGENT = Agent("a", tools=[own])


async def by_hand(_: Any) -> None:
    """Do nothing."""


def checked(agent: Agent = AGENT, **settings: Any) -> Any:
    return check_settings(settings, 60.0, Budget(turns=5), agent)


def test_settings_of_a_client_for_a_run_are_kept() -> None:
    settings = {
        "instructions": "Rhyme.",
        "tools": [{"name": "weather", "description": "It.", "parameters": {"type": "object"}}],
        "history": [{"role": "user", "content": "before"}],
        "metadata": {"a": 1},
    }
    assert checked(**settings, timeout_s=None) == settings
    assert tool_names(settings) == {"weather"}
    assert tool_names({}) == frozenset()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"instructions": 1}, "instructions"),
        ({"instructions": "x" * MAX_BYTES["instructions"]}, "instructions"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"a": "x" * MAX_BYTES["metadata"]}}, "metadata"),
        ({"history": {}}, "history"),
        ({"history": [{"role": "user", "content": ""}] * (MAX_EARLIER + 1)}, "history"),
        ({"history": [{"role": "system", "content": ""}]}, "history.0"),
        ({"history": [{"role": "user", "content": 1}]}, "history.0"),
        ({"tools": "x"}, "tools"),
        ({"tools": [{"name": f"t{number}"} for number in range(MAX_TOOLS + 1)]}, "tools"),
        ({"tools": [{"name": "no name"}]}, "tools.0"),
        ({"tools": [{"name": "a"}, {"name": "a"}]}, "tools.1"),
        ({"tools": [{"name": "own"}]}, "tools.0"),
        ({"tools": [{"name": "recall_result"}]}, "tools.0"),
        ({"tools": [{"name": "a", "description": 1}]}, "tools.0"),
        ({"tools": [{"name": "a", "parameters": {"type": "string"}}]}, "tools.0"),
        ({"tools": ["a"]}, "tools.0"),
        ({"timeout_s": 61}, "timeout_s"),
        ({"max_turns": 6}, "max_turns"),
        ({"budget": {"turns": 0}}, "budget.turns"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused_by_name(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(CommandRejected, match=rf"settings\.{named}` ") as refused:
        checked(**settings)
    assert refused.value.code == "invalid_command"


def test_unknown_settings_are_left_out_and_named() -> None:
    """The name may come from anybody, and there may be many; that of a widget's server is not for clients."""
    assert checked(model="x", widget={"server": "dice"}, max_turns=2, tool=None) == {"max_turns": 2}
    assert unknown_settings({"max_turns": 2, "tool": None}) == ""
    assert unknown_settings({"mo\ndel": 1, "widget": {}, "webhook": "x"}) == "mo?del, widget, webhook"
    many = {f"s{number}": 1 for number in range(12)}
    assert unknown_settings(many).endswith("s9, 2 more")


def test_an_agent_of_another_server_takes_no_tools_of_its_client() -> None:
    tools = [{"name": "a"}]
    checked(Agent("hand", run=by_hand), tools=tools)
    with pytest.raises(CommandRejected, match="calls the tools that it has"):
        checked(Agent("away", remote=Remote("https://agents.example/api/agui")), tools=tools)
