"""The tutorial's code is that of examples/support.py and behaves as described."""

import inspect
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from examples import support
from tests.docs.served import connected, served
from tests.docs.tables import DOCS, ROOT

TEXT = (DOCS / "tutorial" / "first-agent.md").read_text()
EXAMPLE = (ROOT / "examples" / "support.py").read_text()


def blocks(title: str) -> list[str]:
    """Return the tutorial's code blocks for one file."""
    return re.findall(rf'```python title="{re.escape(title)}"\n(.*?)```', TEXT, re.DOTALL)


def test_every_block_stands_in_the_example() -> None:
    assert len(blocks("my_app.py")) == 7
    for block in blocks("my_app.py"):
        assert block in EXAMPLE


def test_the_blocks_are_the_whole_example() -> None:
    rest = EXAMPLE
    for block in blocks("my_app.py"):
        rest = rest.replace(block, "")
    module = ModuleType("rest")
    exec(compile(rest, "rest", "exec"), vars(module))
    assert rest.replace(f'"""{module.__doc__}"""', "").strip() == ""


async def test_the_tests_of_the_tutorial_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """The three tests at its end are run as a reader would run them."""
    monkeypatch.setitem(sys.modules, "my_app", support)
    (block,) = blocks("test_my_app.py")
    module = ModuleType("test_my_app")
    exec(compile(block, "test_my_app.py", "exec"), vars(module))
    tests = [each for name, each in vars(module).items() if name.startswith("test_")]
    assert len(tests) == 3
    for each in tests:
        outcome = each()
        if inspect.isawaitable(outcome):
            await outcome


@pytest.mark.slow
async def test_its_questions_are_answered_as_it_says(tmp_path: Path) -> None:
    """Every question of the tutorial calls its tool, over a real socket."""
    expected = {
        "Look up order A-17": ("lookup", "ok", "desk lamp"),
        "Look up order Z-9": ("lookup", "failed", "There is no order Z-9"),
        "What is the postage of a parcel of 1200 grams, express?": ("postage", "ok", "10.50 for 1,200 g, express"),
        "Is northmail late today?": ("carrier_status", "ok", "no delays today"),
        "Count the stock": ("stocktake", "ok", "22"),
    }
    async with served(tmp_path, [support.support]) as running, connected(running) as peer:
        for question, (tool, status, words) in expected.items():
            assert f"*{question}*" in TEXT.replace("\n", " ") or question in EXAMPLE
            answer = await peer.ask(question, "support")
            ended = peer.all("tool_completed")[-1]["data"]
            assert (ended["tool_name"], ended["status"]) == (tool, status)
            assert words in answer["data"]["message"]
        notes = [each["data"]["note"] for each in peer.all("agent_progress")]
    assert [note for note in notes if note.startswith("Counting")] == [
        "Counting lamps",
        "Counting pots",
        "Counting rugs",
    ]


@pytest.mark.slow
async def test_the_first_question_is_answered(tmp_path: Path) -> None:
    """What is 15% of 80?"""
    async with served(tmp_path) as running, connected(running) as peer:
        answer = await peer.ask("What is 15% of 80?")
    assert answer["data"]["message"] == "15% of 80 = 12"
