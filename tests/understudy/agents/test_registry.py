"""Which agents a server has, and which of them answers by default."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from understudy.agents.agent import BUILTIN, Agent
from understudy.agents.framework import of_framework
from understudy.agents.registry import all_agents
from understudy.agents.turn import AgentTurn
from understudy.extension import Extension

OWN = (Agent("support"), Agent("ledger", pillar="finance"))


@pytest.mark.parametrize(
    ("builtin", "default", "names"),
    [
        ((*BUILTIN, "content"), "", ["guide", "content", "support", "ledger", "story"]),
        ([], "", ["support", "ledger"]),
        ([], "ledger", ["ledger", "support"]),
        (["content"], "", ["support", "content", "ledger"]),
        (["guide"], "support", ["support", "ledger", "guide"]),
    ],
)
def test_the_default_agent_comes_first(builtin: Sequence[str], default: str, names: list[str]) -> None:
    """It is the named one, else the guide, else the first of the user's own."""
    assert list(all_agents(OWN, builtin, default)) == names


def test_a_guide_hands_over_to_the_agents_that_are_there() -> None:
    assert set(all_agents(OWN, ["guide", "content"])["guide"].colleagues) == {"content", "support", "ledger"}


@pytest.fixture
def brings(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that makes an installed extension with these agents."""
    extensions: dict[str, Extension] = {}
    monkeypatch.setattr("understudy.installed.installed", lambda: extensions)

    def bring(name: str, *agents: Agent) -> None:
        extensions[name] = type("Other", (Extension,), {"name": name, "agents": lambda self: agents})()

    return bring


def test_agents_of_extensions_count_as_built_in(brings: Callable[..., None]) -> None:
    brings("theirs", Agent("oracle"), Agent("sibyl"))
    agents = all_agents()
    assert {"guide", "oracle", "sibyl"} <= agents.keys()
    assert {"oracle", "sibyl"} <= set(agents["guide"].colleagues)
    assert list(all_agents([], ["guide", "sibyl"])) == ["guide", "sibyl"]
    oracle = Agent("oracle", "Mine.")
    assert all_agents([oracle])["oracle"] is oracle
    assert "oracle" not in all_agents(extensions=["-theirs"])


def test_agents_of_one_name_are_an_error(brings: Callable[..., None]) -> None:
    brings("theirs", Agent("oracle"))
    brings("others", Agent("oracle"))
    with pytest.raises(ValueError, match="the extension others brings an agent 'oracle', as the extension theirs does"):
        all_agents()
    brings("others", Agent("guide"))
    with pytest.raises(ValueError, match="the extension others brings an agent 'guide', as this server does"):
        all_agents()


def test_an_agent_of_the_same_name_replaces_a_built_in_one() -> None:
    content = Agent("content", "Mine.", pillar="content")
    assert all_agents([content])["content"] is content
    assert all_agents([Agent("guide", "Mine.")], [])["guide"].instructions == "Mine."


def test_agents_share_a_notebook_by_its_name_and_never_by_chance() -> None:
    both = all_agents([Agent("a", memory="a"), Agent("b", memory="a"), Agent("c")], ["guide", "content"])
    assert [agent.notebook for agent in both.values()] == ["household", "household", "a", "a", "c"]
    for agents in ([Agent("a"), Agent("b", memory="a")], [Agent("a", memory="x"), Agent("b", memory="a")]):
        with pytest.raises(ValueError, match="agent 'b' has memory='a', which is the name of another agent"):
            all_agents(agents)


@pytest.mark.parametrize(
    ("agents", "builtin", "default", "sentence"),
    [
        ([], [], "", "there is no agent: name one of yours"),
        ([], ["oracle"], "", "there is no built-in agent 'oracle'; there are: guide, story, content"),
        ([], ["giude"], "", "there is no built-in agent 'giude' (did you mean 'guide'?); there are"),
        (OWN, [], "suport", "the default agent 'suport' does not exist (did you mean 'support'?); there are"),
        (OWN, [], "guide", "the default agent 'guide' does not exist; there are: ledger, support"),
        ([Agent("a", colleagues=["b"])], [], "", "colleague 'b', which is no other agent here; there are: none"),
        (
            [Agent("a", colleagues=["a"])],
            ["guide"],
            "",
            "colleague 'a', which is no other agent here; there are: guide",
        ),
        ([Agent("a"), Agent("a")], [], "", "two agents are called 'a'"),
        ([Agent("a", pillar="p"), Agent("b", pillar="p")], [], "", "agents 'a' and 'b' have the same pillar 'p'"),
    ],
)
def test_an_agent_that_cannot_be_served_is_named_in_the_error(
    agents: Sequence[Agent], builtin: Sequence[str], default: str, sentence: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        all_agents(agents, builtin, default)


async def _run(turn: AgentTurn) -> None: ...


class Elsewhere:
    """Asks an agent of another server, as the `Remote` of the extension does."""

    async def run(self, turn: AgentTurn) -> None: ...


@pytest.mark.parametrize(
    ("fields", "off"),
    [
        ({"remote": Elsewhere()}, "remote"),
        ({"run": of_framework(_run)}, "frameworks"),
        ({"tools": [Agent("near").as_tool()]}, "subagents"),
    ],
)
def test_an_agent_that_needs_an_extension_that_is_off_is_refused_with_both_names(
    fields: dict[str, Any], off: str
) -> None:
    agent = Agent("far", **fields)
    for served in (agent, Agent("asking", tools=[agent.as_tool()])):
        assert all_agents([served])[served.name] is served
        with pytest.raises(ValueError, match=f"'far' needs the extension {off}, which is off: have it on"):
            all_agents([served], extensions=[f"-{off}"])
