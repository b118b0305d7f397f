"""Which agents a server has, and which of them answers by default."""

import re
from collections.abc import Sequence

import pytest

from understudy.agents import registry
from understudy.agents.agent import BUILTIN, Agent
from understudy.agents.registry import all_agents

OWN = (Agent("support"), Agent("ledger", pillar="finance"))


@pytest.mark.parametrize(
    ("builtin", "default", "names"),
    [
        (BUILTIN, "", [*BUILTIN, "support", "ledger"]),
        ([], "", ["support", "ledger"]),
        ([], "ledger", ["ledger", "support"]),
        (["insights"], "", ["support", "insights", "ledger"]),
        (["guide"], "support", ["support", "ledger", "guide"]),
    ],
)
def test_the_default_agent_comes_first(builtin: Sequence[str], default: str, names: list[str]) -> None:
    """It is the named one, else the guide, else the first of the user's own."""
    assert list(all_agents(OWN, builtin, default)) == names


def test_a_guide_hands_over_to_the_agents_that_are_there() -> None:
    assert set(all_agents(OWN, ["guide", "content"])["guide"].colleagues) == {"content", "support", "ledger"}


def test_without_the_extra_for_tables_their_agent_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "tables_installed", lambda: False)
    agents = all_agents()
    assert "insights" not in agents
    assert agents["guide"].colleagues == ("content", "operations", "business_outcomes")
    own = Agent("insights", "You read tables.")
    assert all_agents([own])["insights"] is own


def test_an_agent_of_the_same_name_replaces_a_built_in_one() -> None:
    own = Agent("insights", "Mine.", pillar="insights")
    assert all_agents([own])["insights"] is own
    assert all_agents([Agent("guide", "Mine.")], [])["guide"].instructions == "Mine."


def test_agents_share_a_notebook_by_its_name_and_never_by_chance() -> None:
    """The name of an agent that does not share its own memory is refused."""
    both = all_agents([Agent("a", memory="a"), Agent("b", memory="a"), Agent("c")], ["guide", "content"])
    assert [each.notebook for each in both.values()] == ["household", "household", "a", "a", "c"]
    for own in ([Agent("a"), Agent("b", memory="a")], [Agent("a", memory="x"), Agent("b", memory="a")]):
        with pytest.raises(ValueError, match="agent 'b' has memory='a', which is the name of another agent"):
            all_agents(own)


@pytest.mark.parametrize(
    ("own", "builtin", "default", "sentence"),
    [
        ([], [], "", "there is no agent: name one of yours"),
        ([], ["oracle"], "", "there is no built-in agent 'oracle'; there are: guide, content"),
        (OWN, [], "guide", "the default agent 'guide' does not exist; there are: ledger, support"),
        (
            [Agent("a", colleagues=["b"])],
            [],
            "",
            "agent 'a' has the colleague 'b', which is no other agent here; there are: none",
        ),
        (
            [Agent("a", colleagues=["a"])],
            ["guide"],
            "",
            "has the colleague 'a', which is no other agent here; there are: guide",
        ),
        ([Agent("a"), Agent("a")], [], "", "two agents are called 'a'"),
        ([Agent("a", pillar="p"), Agent("b", pillar="p")], [], "", "agents 'a' and 'b' have the same pillar 'p'"),
    ],
)
def test_what_cannot_be_served_is_an_error_that_names_the_agent(
    own: Sequence[Agent], builtin: Sequence[str], default: str, sentence: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        all_agents(own, builtin, default)
