"""Which agents a server has, and which of them answers by default."""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from understudy.agents.agent import BUILTIN, Agent
from understudy.agents.registry import all_agents

THEIRS = """
from understudy import Agent

ORACLE = Agent("oracle", "You foresee.")


def made():
    return Agent("sibyl")


def broken():
    raise RuntimeError("no library")
"""

OWN = (Agent("support"), Agent("ledger", pillar="finance"))


@pytest.mark.parametrize(
    ("builtin", "default", "names"),
    [
        (BUILTIN, "", [*BUILTIN[:-1], "support", "ledger", "story"]),
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
def brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Yield a function that makes an installed distribution with these entry points."""
    (tmp_path / "of_theirs.py").write_text(THEIRS)
    monkeypatch.syspath_prepend(tmp_path)

    def bring(distribution: str, entries: str) -> None:
        about = tmp_path / f"{distribution}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[understudy.agents]\n{entries}\n")

    yield bring
    sys.modules.pop("of_theirs", None)


def test_agents_of_other_distributions_count_as_built_in(brought: Callable[[str, str], None]) -> None:
    """An entry point is an agent or a function that returns one. The guide hands over to them."""
    brought("theirs", "oracle = of_theirs:ORACLE\nsibyl = of_theirs:made")
    agents = all_agents()
    assert {"guide", "oracle", "sibyl"} <= agents.keys()
    assert {"oracle", "sibyl"} <= set(agents["guide"].colleagues)
    assert list(all_agents([], ["guide", "sibyl"])) == ["guide", "sibyl"]
    own = Agent("oracle", "Mine.")
    assert all_agents([own])["oracle"] is own


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ("oracle = not_there:X", "the agent 'oracle' of theirs cannot be loaded (ModuleNotFoundError: No module named"),
        ("oracle = of_theirs:broken", "the agent 'oracle' of theirs cannot be loaded (RuntimeError: no library)"),
        ("prophet = of_theirs:ORACLE", "`of_theirs:ORACLE` must be an Agent of that name"),
        ("guide = of_theirs:ORACLE", "theirs brings an agent 'guide', as this server does"),
    ],
)
def test_an_agent_that_cannot_be_loaded_is_an_error_that_names_its_distribution(
    brought: Callable[[str, str], None], entries: str, sentence: str
) -> None:
    """Unless it is left out, or replaced."""
    brought("theirs", entries)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        all_agents()
    if "guide" not in entries:
        assert list(all_agents([], ["guide"])) == ["guide"]
        assert all_agents([Agent("oracle"), Agent("prophet")])


def test_two_distributions_with_agents_of_one_name_are_an_error(brought: Callable[[str, str], None]) -> None:
    for distribution in ("theirs", "others"):
        brought(distribution, "oracle = of_theirs:ORACLE")
    with pytest.raises(ValueError, match=r"brings an agent 'oracle', as (theirs|others) does: uninstall it"):
        all_agents()


def test_an_agent_of_the_same_name_replaces_a_built_in_one() -> None:
    own = Agent("content", "Mine.", pillar="content")
    assert all_agents([own])["content"] is own
    assert all_agents([Agent("guide", "Mine.")], [])["guide"].instructions == "Mine."


def test_agents_share_a_notebook_by_its_name_and_never_by_chance() -> None:
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
        ([], ["giude"], "", "there is no built-in agent 'giude' (did you mean 'guide'?); there are"),
        (OWN, [], "suport", "the default agent 'suport' does not exist (did you mean 'support'?); there are"),
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
