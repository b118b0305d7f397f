"""Isolated tools, in real processes."""

import os
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.rigs.tool_context import a_context
from tests.understudy.tools.isolated_tools import die, eat, hang, pay
from understudy.tools import ToolContext, tool
from understudy.tools.errors import ToolError
from understudy.tools.isolation import IsolatedCrash


async def test_an_isolated_function_is_called_in_a_process() -> None:
    outcomes: dict[str, Any] = {}

    async def call(name: str, made: Any, arguments: dict[str, Any]) -> None:
        try:
            outcomes[name] = await made.call(arguments, a_context())
        except Exception as error:
            outcomes[name] = error

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for amount in ("5.50", "101", "-1"):
                nursery.start_soon(call, amount, pay, {"order": {"amount": amount}})
            nursery.start_soon(call, "much", pay, {"order": {"amount": "much"}})
            nursery.start_soon(call, "eat", eat, {})
            nursery.start_soon(call, "die", die, {})
    paid = outcomes["5.50"]
    assert (paid.value["paid"], paid.summary, paid.kind) == ("5.50", "Paid.", "analysis")
    assert [step.label for step in paid.next_steps] == ["Pay more"]
    assert paid.value["pid"] != os.getpid()
    assert repr(outcomes["101"]) == repr(ToolError("forbidden", "That is too much \ufffd."))
    assert isinstance(outcomes["-1"], IsolatedCrash)
    assert "ZeroDivisionError: less than nothing" in str(outcomes["-1"])
    assert outcomes["much"].code == "invalid_arguments"
    assert str(outcomes["eat"]) == "eat needs more memory than its 256 MiB."
    assert str(outcomes["die"]) == "the process of die ended with 7"


async def test_the_process_of_a_call_that_is_given_up_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hang.call, {"file": str(file)}, a_context())
            while not (file.exists() and file.read_text()):  # noqa: ASYNC110 - a file tells nobody
                await trio.sleep(0.02)
            nursery.cancel_scope.cancel()
    with pytest.raises(ProcessLookupError):
        os.kill(int(file.read_text()), 0)


def test_a_function_that_a_process_cannot_import_or_call_is_refused() -> None:
    async def later() -> None: ...

    def asks(context: ToolContext) -> None: ...

    def local() -> None: ...

    later.__qualname__ = asks.__qualname__ = "named"
    for function, why in ((later, "plain function"), (asks, "cannot be given `context`"), (local, "must import it")):
        with pytest.raises(TypeError, match=why):
            tool(isolate=True)(function)
    with pytest.raises(ValueError, match="at least 128"):
        tool(isolate=True, memory_mb=64)(pay.function)
