"""`reconcile` and `undo` beside a tool: how they are declared, called, and what they may answer."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.rigs.tool_context import a_context
from understudy.tools import Done, NotDone, ToolError, ToolResult, Unknown, tool


def paying(**options: Any) -> Any:
    @tool(**options)
    async def pay(amount: int) -> str:
        """Pay."""
        return f"paid {amount}"

    return pay


async def on_trio(call_id: str, arguments: dict[str, Any]) -> Any:
    return Done({"of": call_id, "amount": arguments.pop("amount")})


def in_thread(call_id: str, arguments: dict[str, Any], context: Any) -> Any:
    here = threading.current_thread() is threading.main_thread()
    return Done({"of": context.call_id, "amount": arguments["amount"], "main": here})


@pytest.mark.parametrize(
    ("ask", "value"), [(on_trio, {"of": "c", "amount": 3}), (in_thread, {"of": "call", "amount": 3, "main": False})]
)
async def test_reconcile_is_given_the_call_and_its_result_becomes_a_tool_result(
    ask: Callable[..., Any], value: dict[str, Any]
) -> None:
    answer = await paying(reconcile=ask).settle("c", arguments := {"amount": 3}, a_context())
    assert isinstance(answer, Done)
    assert arguments == {"amount": 3}, "it may change what it is given"
    assert isinstance(answer.result, ToolResult)
    assert answer.result.value == value


async def test_asyncio_tools_reconcile_on_asyncio() -> None:
    import asyncio

    async def ask(call_id: str, arguments: dict[str, Any]) -> Any:
        await asyncio.sleep(0)
        return NotDone()

    @tool(asyncio=True, reconcile=ask)
    async def pay() -> str:
        """Pay."""
        return "paid"

    assert await pay.settle("c", {}, a_context()) == NotDone()


async def test_a_tool_without_reconcile_does_not_know() -> None:
    assert await paying().settle("c", {}, a_context()) == Unknown()


async def test_any_other_answer_is_an_error() -> None:
    async def ask(call_id: str, arguments: dict[str, Any]) -> Any:
        return "yes"

    with pytest.raises(ToolError, match="must return Done"):
        await paying(reconcile=ask).settle("c", {}, a_context())


async def test_undo_is_given_the_stored_result_and_the_arguments() -> None:
    def take_back(result: Any, arguments: dict[str, Any]) -> str:
        return f"{arguments.pop('amount')} of {result.pop()} are taken back"

    for call in [(["paid"], {"amount": 3})] * 2:  # it may change what it is given
        assert (await paying(undo=take_back).take_back(*call, a_context())).value == "3 of paid are taken back"


@pytest.mark.parametrize("options", [{"undo": 3}, {"undo": lambda: None}, {"reconcile": lambda *calls: None}])
def test_functions_of_another_shape_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="of pay must "):
        paying(**options)


@pytest.mark.parametrize("undo_s", [0, -1, float("nan"), 1e9])
def test_the_time_to_undo_is_bounded(undo_s: float) -> None:
    with pytest.raises(ValueError, match="undo_s of pay"):
        paying(undo=lambda result, arguments: None, undo_s=undo_s)
