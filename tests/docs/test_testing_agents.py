"""The page on testing agents: its tests pass, and it lists every name of the kit."""

import inspect
import re
import sys
from types import ModuleType

import pytest

from examples import support
from tests.rigs.doc_tables import DOCS, code, table
from understudy import testing

PAGE = "how-to/test-agents.md"


async def test_the_tests_of_the_page_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "my_app", support)
    (block,) = re.findall(r'```python title="test_support.py"\n(.*?)```', (DOCS / PAGE).read_text(), re.DOTALL)
    module = ModuleType("test_support")
    exec(compile(block, "test_support.py", "exec"), vars(module))
    tests = [function for name, function in vars(module).items() if name.startswith("test_")]
    assert len(tests) == 5
    for test in tests:
        await test(*([ValueError("a bug")] if inspect.signature(test).parameters else []))


def test_every_name_of_the_kit_is_listed() -> None:
    listed = [name for row in table(PAGE, "What to call") for name in code(row["name"])]
    assert sorted(listed) == sorted(testing.__all__)
