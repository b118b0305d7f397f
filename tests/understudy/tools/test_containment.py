"""What a tool raises that is no `Exception` fails its own call, whichever way it runs; calls beside it go on."""

import argparse
import asyncio
import gc
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio
from attrs import evolve

from tests.rigs.tool_context import a_context
from tests.rigs.tool_loop import opened
from understudy.agents.agent import Agent
from understudy.testing import Call, Say, ScriptedModel, run_agent
from understudy.tools.errors import EffectUnknown, QuestionDeclined, ToolError
from understudy.tools.loop import ToolLoop
from understudy.tools.tool import Tool, tool


class Own(BaseException):
    """Of a library that wants to pass every `except Exception`."""


def wrong_arguments() -> None:
    parser = argparse.ArgumentParser("convert")
    parser.add_argument("--to", choices=["csv"])
    parser.parse_args(["--to", "pdf"])


def throw(error: BaseException) -> None:
    raise error


RAISES: dict[str, Callable[[], None]] = {
    "argparse": wrong_arguments,
    "exit": partial(throw, SystemExit("bye")),
    "interrupt": partial(throw, KeyboardInterrupt()),
    "generator exit": partial(throw, GeneratorExit()),
    "cancelled error": partial(throw, asyncio.CancelledError()),
    "own": partial(throw, Own("all of it")),
    "group": partial(throw, BaseExceptionGroup("two", [Own(), ValueError("x")])),
}


def ways(act: Callable[[], None]) -> list[tuple[str, Tool]]:
    """Return tools that do this, one for each way to run one."""

    @tool
    def plain() -> str:
        act()
        return "done"

    @tool
    def generator() -> Any:
        yield 1
        act()

    @tool
    async def on_trio() -> str:
        await trio.lowlevel.checkpoint()
        act()
        return "done"

    @tool
    async def in_a_nursery() -> str:
        async def child() -> None:
            act()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(child)
        return "done"

    @tool
    async def trio_generator() -> Any:
        yield 1
        act()

    @tool(on_server_loop=True)
    async def on_the_servers_loop() -> str:
        act()
        return "done"

    @tool(asyncio=True)
    async def on_asyncio() -> str:
        await asyncio.sleep(0)
        act()
        return "done"

    @tool(asyncio=True)
    async def asyncio_generator() -> Any:
        yield 1
        act()

    @tool(asyncio=True)
    async def in_a_task() -> str:
        async def child() -> None:
            await asyncio.sleep(0)
            act()

        await asyncio.create_task(child())
        return "done"

    made = plain, generator, on_trio, in_a_nursery, trio_generator, on_the_servers_loop
    return [(failing.name, failing) for failing in (*made, on_asyncio, asyncio_generator, in_a_task)]


NAMES = [name for name, _ in ways(lambda: None)]


@tool(asyncio=True)
async def transfer() -> str:
    """Of another conversation: at work meanwhile."""
    await asyncio.sleep(0.2)
    return "sent"


async def failure_of(failing: Tool, loop: ToolLoop | None) -> str:
    async def show(_: Any) -> None:
        """Show nothing."""

    try:
        await failing.call({}, evolve(a_context(), show_partial=show), loop)
    except (RuntimeError, ExceptionGroup) as error:
        return repr(error)
    return "no failure"


@pytest.mark.parametrize("way", NAMES)
@pytest.mark.parametrize("raised", RAISES)
async def test_the_call_fails_and_the_others_go_on(way: str, raised: str) -> None:
    failing = dict(ways(RAISES[raised]))[way]
    async with opened() as loop, trio.open_nursery() as nursery:
        results: list[Any] = []

        async def beside() -> None:
            results.append((await transfer.call({}, a_context(), loop)).value)

        nursery.start_soon(beside)
        assert " raised " in await failure_of(failing, loop)
    assert results == ["sent"]


@pytest.mark.parametrize("way", NAMES)
async def test_a_call_without_a_loop_fails_alike(way: str) -> None:
    failing = dict(ways(RAISES["exit"]))[way]
    assert "raised SystemExit: bye" in await failure_of(failing, None)


async def test_a_cancellation_that_was_kept_fails_the_call() -> None:
    """trio raised it for another scope, which has ended."""

    @tool
    async def keeps() -> None:
        kept = None
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.sleep(1)
            except trio.Cancelled as error:
                kept = error
                raise
        assert kept is not None
        raise kept

    async with opened() as loop:
        assert "keeps raised Cancelled" in await failure_of(keeps, loop)
        assert (await transfer.call({}, a_context(), loop)).value == "sent"


def leave(*_: Any) -> Any:
    raise SystemExit("beside")


def at_once(call_or_result: str, arguments: Any) -> Any:
    leave()


async def later(call_or_result: str, arguments: Any) -> Any:
    leave()


def paying(**options: Any) -> Tool:
    @tool(**options)
    def pay() -> str:
        return "paid"

    return pay


BESIDE: dict[str, Callable[[ToolLoop], Awaitable[Any]]] = {
    "approval": lambda loop: paying(approval=leave).needs_approval({}, "ada"),
    "reconcile": lambda loop: paying(reconcile=at_once).settle("c", {}, a_context(), loop),
    "reconcile on the loop": lambda loop: paying(reconcile=later).settle("c", {}, a_context(), loop),
    "undo": lambda loop: paying(undo=at_once).take_back("paid", {}, a_context(), loop),
    "undo on the loop": lambda loop: paying(undo=later).take_back("paid", {}, a_context(), loop),
}


@pytest.mark.parametrize("part", BESIDE)
async def test_a_function_beside_a_tool_fails_alone(part: str) -> None:
    async with opened() as loop:
        with pytest.raises(RuntimeError, match="raised SystemExit: beside"):
            await BESIDE[part](loop)
        assert (await transfer.call({}, a_context(), loop)).value == "sent"


def group(*errors: Exception) -> Callable[[], None]:
    return partial(throw, ExceptionGroup("several", [ExceptionGroup("inner", list(errors))]))


GONE, LATE = ToolError("not_found", "There is no order Z-9."), EffectUnknown("tool_failed", "It may have been sent.")


@pytest.mark.parametrize("way", NAMES)
@pytest.mark.parametrize(
    ("raised", "kind", "sentence"),
    [
        ([GONE], ToolError, "There is no order Z-9."),
        ([GONE, GONE], ToolError, "There is no order Z-9."),
        ([GONE, LATE], EffectUnknown, "There is no order Z-9. It may have been sent."),
        ([QuestionDeclined("cancelled", "No.")], QuestionDeclined, "No."),
    ],
    ids=["one", "equal ones", "several", "of its kind"],
)
async def test_a_group_of_tool_errors_is_their_sentence(way: str, raised: Any, kind: type, sentence: str) -> None:
    async with opened() as loop:
        with pytest.raises(ToolError) as caught:
            await dict(ways(group(*raised)))[way].call({}, a_context(), loop)
    assert (type(caught.value), str(caught.value)) == (kind, sentence)


async def test_a_crash_beside_a_tool_error_is_logged_and_keeps_the_sentence(caplog: pytest.LogCaptureFixture) -> None:
    made = dict(ways(group(GONE, ValueError("a secret"))))["in_a_nursery"]
    run = await run_agent(Agent("x", tools=[made], model=ScriptedModel(Call([(made.name, {})]), Say("Sorry."))), "go")
    assert run.calls[0].summary.startswith("There is no order Z-9. (error ")
    assert "a secret" in caplog.text


async def test_a_result_that_cannot_be_written_says_why() -> None:
    @tool
    def read() -> Any:
        return {"file": b"x"}

    run = await run_agent(Agent("x", tools=[read], model=ScriptedModel(Call([("read", {})]), Say("Sorry."))), "go")
    assert run.calls[0].summary.startswith("The tool returned bytes: decode them to text")


async def helper(uses: Callable[[], Any]) -> str:
    return str(await uses())


class Lazily:
    """What takes its loop when it is first waited for."""

    async def wait(self) -> None:
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    "uses",
    [
        lambda: asyncio.sleep(0),
        lambda: asyncio.sleep(0.01),
        lambda: asyncio.to_thread(int),
        lambda: asyncio.wait_for(asyncio.sleep(0), 1),
        lambda: asyncio.gather(asyncio.sleep(0)),
        lambda: asyncio.open_connection("127.0.0.1", 1),
        lambda: asyncio.get_running_loop().create_future(),
        Lazily().wait,
    ],
    ids=["yield", "sleep", "thread", "wait", "gather", "connection", "future", "event"],
)
@pytest.mark.parametrize("asyncio_too", [False, True])
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
async def test_asyncio_in_a_helper_alone_is_hinted_at(uses: Callable[[], Any], asyncio_too: bool) -> None:
    @tool
    async def fetch() -> str:
        return await helper(uses)

    async with opened(asyncio=asyncio_too) as loop:
        with pytest.raises(RuntimeError, match=r"fetch runs on trio, but .* say @tool\(asyncio=True\)"):
            await fetch.call({}, a_context(), loop)
    gc.collect()  # coroutines that were passed on and never awaited go here, where their warning is ignored


async def test_an_error_of_its_own_has_no_hint() -> None:
    @tool
    async def fetch() -> str:
        return await helper(partial(trio.to_thread.run_sync, asyncio.run, helper(partial(throw, KeyError("own")))))

    with pytest.raises(KeyError, match="own"):
        await fetch.call({}, a_context())
