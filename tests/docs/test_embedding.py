"""The page on embedding: the program that has the chat with its agents does what the page says."""

import inspect
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from examples import support
from tests.rigs.doc_tables import DOCS, code, table
from understudy.chat.chat import Chat

PAGE = "how-to/embed-a-chat-server.md"


async def test_the_program_of_the_page_cancels_an_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "my_app", support)
    monkeypatch.setitem(support.ORDERS["A-18"], "status", "being packed")
    (block,) = re.findall(r'```python title="counter.py"\n(.*?)```', (DOCS / PAGE).read_text(), re.DOTALL)
    module = ModuleType("counter")
    exec(compile(block, "counter.py", "exec"), vars(module))
    assert "A-18, tea pot: cancelled" in await module.cancel_order(tmp_path, "A-18")
    assert support.ORDERS["A-18"]["status"] == "cancelled"


def test_the_page_has_the_arguments_of_each_method() -> None:
    for row in table(PAGE, "The chat with its agents"):
        (call,) = code(row["method"])
        name, _, arguments = call.removesuffix(")").partition("(")
        parameters = list(inspect.signature(getattr(Chat, name)).parameters)[1:]
        wanted = re.sub(r"=[^,]*", "", arguments).split(", ")
        assert wanted == parameters[: len(wanted)]
