"""Agents named on the command line."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from understudy.cli.load_agents import load_agents
from understudy.cli.options import FixableError

MODULES = {
    "good_agents": """
from understudy import Agent
one = Agent('one')
both = [one, Agent('two')]
none = []
mixed = [one, 3]
""",
    "broken_agents": "x = 1\ny = x / 0\n",
    "bad_import": "import surely_not_installed\n",
    "bad_syntax": "def (\n",
    "bad_tool": "from understudy import tool\n\n@tool\ndef find(order: bytes) -> str: ...\n",
    "bad_agent": "from understudy import Agent\n\nx = Agent('x', tools=[5])\n",
}


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A working folder with modules in it; they are removed from the interpreter afterwards."""
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in MODULES:
        sys.modules.pop(name, None)


def test_agents_and_lists_of_them_are_found_in_the_working_folder() -> None:
    assert [agent.name for agent in load_agents(["good_agents:both", "good_agents:one"])] == ["one", "two", "one"]
    assert load_agents([]) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nonsense", ["MODULE:ATTR"]),
        (":one", ["MODULE:ATTR"]),
        ("good_agents:", ["MODULE:ATTR"]),
        ("no_such_module_here:x", ["no_such_module_here"]),
        ("good_agents:three", ["no attribute 'three'"]),
        ("good_agents:on", ["no attribute 'on' (did you mean 'one'?)"]),
        ("good_agents:none", ["is empty"]),
        ("good_agents:mixed", ["int, not an understudy.Agent"]),
        ("broken_agents:x", ["ZeroDivisionError", "broken_agents.py, line 2"]),
        ("bad_import:x", ["surely_not_installed", "bad_import.py, line 1"]),
        ("bad_syntax:x", ["SyntaxError", "bad_syntax.py, line 1"]),
        ("bad_tool:x", ["find(order): bytes has no schema; use str", "(bad_tool.py, line 3)"]),
        ("bad_agent:x", ["5 is not a tool; put @tool above", "(bad_agent.py, line 3)"]),
    ],
)
def test_a_name_that_leads_nowhere_is_explained(name: str, words: list[str]) -> None:
    with pytest.raises(FixableError) as caught:
        load_agents([name])
    for word in words:
        assert word in str(caught.value)
