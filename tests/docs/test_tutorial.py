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
    return re.findall(rf'```python title="{re.escape(title)}"\n(.*?)```', TEXT, re.DOTALL)


def test_every_block_stands_in_the_example() -> None:
    assert len(blocks("my_app.py")) == 8
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
    monkeypatch.setitem(sys.modules, "my_app", support)
    (block,) = blocks("test_my_app.py")
    module = ModuleType("test_my_app")
    exec(compile(block, "test_my_app.py", "exec"), vars(module))
    tests = [each for name, each in vars(module).items() if name.startswith("test_")]
    assert len(tests) == 4
    for each in tests:
        outcome = each()
        if inspect.isawaitable(outcome):
            await outcome


async def test_its_questions_are_answered_as_it_says(tmp_path: Path) -> None:
    expected = {
        "Look up order A-17": ("lookup", "ok", "desk lamp"),
        "Deliver A-18 to another town": ("deliver", "ok", "The tea pot goes to Ulm, express"),
        "Cancel order A-18": ("cancel", "ok", "A-18, tea pot: cancelled"),
        "What is the postage of 1200 g, express?": ("postage", "ok", "10.50 for 1,200 g, express"),
    }
    async with served(tmp_path, support.AGENTS) as running, connected(running) as peer:
        for question, (tool, status, words) in expected.items():
            assert f"*{question}*" in TEXT.replace("\n", " ")
            await peer.say(question, "support")
            if tool == "deliver":
                asked = await peer.until("question_asked")
                assert (asked["data"]["title"], asked["data"]["text"]) == ("Delivery", "Where shall it go?")
                question_id = asked["data"]["question_id"]
                await peer.send("answer", question_id=question_id, answer={"town": "Ulm", "express": True})
            if tool == "cancel":
                waiting = await peer.until("approval_required")
                await peer.send("approve", call_id=waiting["data"]["call_id"], decision="allow")
            answer = await peer.until("final_response", "error")
            ended = peer.all("tool_completed")[-1]["data"]
            assert (ended["tool_name"], ended["status"]) == (tool, status)
            assert words in answer["data"]["message"]
            if tool == "cancel":
                assert support.ORDERS["A-18"]["status"] == "cancelled"
                await peer.send("undo", call_id=ended["call_id"])
                assert (await peer.until("call_undone"))["data"]["status"] == "ok"
                assert support.ORDERS["A-18"]["status"] == "being packed"
        (handoff,) = peer.all("agent_handoff")
        assert (
            "By a form: Lookup, Deliver, Cancel, Postage." in (await peer.ask("And Z-9?", "support"))["data"]["message"]
        )
    assert (handoff["data"]["from"], handoff["data"]["to"]) == ("support", "parcels")


async def test_the_first_question_is_answered(tmp_path: Path) -> None:
    async with served(tmp_path) as running, connected(running) as peer:
        answer = await peer.ask("What is 15% of 80?")
    assert answer["data"]["message"] == "15% of 80 = 12"
