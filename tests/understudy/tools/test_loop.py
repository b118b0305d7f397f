"""The tools' loop: calls in a thread of its own, lifespans, and what becomes of code that blocks."""

import asyncio
import contextvars
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio
import trio.lowlevel
from attrs import evolve

from actors import ActorSystem, ChildSpec
from actors.events import SlowHandler
from tests.rigs.tool_context import a_context
from tests.rigs.tool_loop import opened
from understudy.tools import loop as loops
from understudy.tools import loop_call
from understudy.tools.lifespan import Lifespan, LifespanFailed, names_asyncio
from understudy.tools.loop import ToolLoop, ToolLoopActor
from understudy.tools.tool import ToolContext, ToolError, tool

VARIABLE = contextvars.ContextVar("VARIABLE", default="none")


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the times of the watch; a loop that is only late is not taken for blocked."""
    for name, seconds in (("BEAT_S", 0.05), ("BLOCKED_S", 1.0), ("GIVE_UP_S", 0.2), ("GRACE_S", 0.2)):
        monkeypatch.setattr(loops, name, seconds)
    monkeypatch.setattr(loop_call, "GRACE_S", loops.GRACE_S)


async def everything(context: ToolContext) -> dict[str, Any]:
    context.progress(1, 2, "half")
    await context.remember("hours", 3)
    files = "saved"
    with suppress(LookupError):
        await context.files.get("f")
        files = "found"
    return {
        "variable": VARIABLE.get(),
        "hours": await context.recall("hours"),
        "health": {"status": context.server.health()["status"]},
        "files": files,
        "thread": threading.get_ident(),
        "state": context.state,
    }


@tool
async def on_trio(context: ToolContext) -> dict[str, Any]:
    await trio.lowlevel.checkpoint()
    return await everything(context)


@tool
async def on_asyncio(context: ToolContext) -> dict[str, Any]:
    await asyncio.sleep(0)
    return await everything(context)


@pytest.mark.parametrize("reporter", [on_trio, on_asyncio], ids=lambda reporter: reporter.name)
async def test_a_call_runs_in_the_tools_thread_and_its_context_reaches_the_server(reporter: Any) -> None:
    notes: list[str] = []
    context = evolve(a_context(lambda done, total, note: notes.append(note)), state="pool")
    VARIABLE.set("mine")
    async with opened() as loop:
        first, second = [(await reporter.call({}, context, loop)).value for _ in range(2)]
    assert first.pop("thread") == second.pop("thread") != threading.get_ident()
    assert first == {"variable": "mine", "hours": 3, "health": {"status": "ok"}, "files": "saved", "state": "pool"}
    assert notes == ["half"] * 2


@pytest.mark.parametrize("flavour", ["trio", "asyncio"])
async def test_a_generator_is_held_back_on_the_loop(flavour: str) -> None:
    made: list[int] = []
    shown: list[tuple[Any, int]] = []

    @tool(asyncio=flavour == "asyncio")
    async def counts() -> Any:
        for number in range(3):
            made.append(number)
            yield number

    async def show(item: Any) -> None:
        await trio.sleep(0.01)
        shown.append((item, len(made)))

    async with opened() as loop:
        assert (await counts.call({}, evolve(a_context(), show_partial=show), loop)).value == [0, 1, 2]
    assert shown == [(0, 1), (1, 2), (2, 3)]


async def test_cancellation_crosses_in_both_flavours_and_has_a_bound(brisk: None) -> None:
    cancelled: list[str] = []
    started, over = threading.Event(), threading.Event()

    @tool
    async def sleeps() -> None:
        try:
            started.set()
            await trio.sleep_forever()
        except trio.Cancelled:
            cancelled.append("trio")
            raise

    @tool
    async def sleeps_on() -> None:
        try:
            started.set()
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append("asyncio")
            raise

    @tool(asyncio=True)
    async def goes_on() -> None:
        started.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        cancelled.append("still here")
        while not over.is_set():  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(0.01)
        cancelled.append("over")

    async with opened() as loop:
        for sleeper, expected in ((sleeps, "trio"), (sleeps_on, "asyncio"), (goes_on, "still here")):
            started.clear()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(sleeper.call, {}, a_context(), loop)
                await trio.to_thread.run_sync(started.wait)
                nursery.cancel_scope.cancel()
            with trio.fail_after(60):
                while cancelled[-1:] != [expected]:  # noqa: ASYNC110 - it is another thread's
                    await trio.sleep(0.01)
        assert cancelled == ["trio", "asyncio", "still here"]
        over.set()


async def test_a_blocked_loop_is_replaced_and_its_calls_fail(brisk: None, caplog: pytest.LogCaptureFixture) -> None:
    begun, free = threading.Event(), threading.Event()

    @tool
    async def blocks() -> None:
        free.wait(100)

    @tool
    async def waits() -> str:
        begun.set()
        await trio.sleep(0.2)
        return "done"

    codes: list[str] = []
    async with opened() as loop:

        async def call(sleeper: Any) -> None:
            try:
                codes.append((await sleeper.call({}, a_context(), loop)).value)
            except ToolError as error:
                codes.append(error.code)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call, waits)
            await trio.to_thread.run_sync(begun.wait)
            nursery.start_soon(call, blocks)
            with trio.fail_after(60):
                while "tools.loop_blocked" not in caplog.messages:  # noqa: ASYNC110 - what is logged is no event
                    await trio.sleep(0.01)
                await call(waits)
            assert not free.is_set()
        assert sorted(codes) == ["done", "tools_restarted", "tools_restarted"]
        free.set()
    assert [record.message for record in caplog.records if record.name == loops.__name__] == ["tools.loop_blocked"]


async def test_a_thread_that_dies_is_replaced(brisk: None) -> None:
    opened_times: list[int] = []
    crash = threading.Event()

    @asynccontextmanager
    async def crashing() -> AsyncIterator[int]:
        async def work() -> None:
            while not crash.is_set():  # noqa: ASYNC110 - set by another thread
                await trio.sleep(0.01)
            crash.clear()
            raise ZeroDivisionError

        opened_times.append(1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            yield len(opened_times)
            nursery.cancel_scope.cancel()

    @tool
    async def waits() -> None:
        crash.set()
        await trio.sleep(5)

    async with opened({"": Lifespan(crashing)}) as loop:
        assert loop.state("guide") == 1
        with pytest.raises(ToolError) as caught:
            await waits.call({}, a_context(), loop)
        assert caught.value.code == "tools_restarted"
        assert (await on_trio.call({}, a_context(), loop)).value["hours"] == 3
        assert loop.state("guide") == 2


async def test_lifespans_are_opened_once_in_their_flavour_and_closed() -> None:
    closed: list[Any] = []

    @asynccontextmanager
    async def of_server() -> AsyncIterator[str]:
        await trio.lowlevel.checkpoint()
        yield "server"
        await trio.lowlevel.checkpoint()
        closed.append("server closed")

    @asynccontextmanager
    async def of_agent() -> AsyncIterator[Any]:
        queue: asyncio.Queue[int] = asyncio.Queue()
        task = asyncio.get_running_loop().create_task(asyncio.sleep(60))
        yield queue
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        closed.append("agent closed")

    @tool
    async def put(context: ToolContext) -> int:
        await asyncio.sleep(0)
        context.state.put_nowait(1)
        return context.state.qsize()

    async with opened({"": Lifespan(of_server), "shop": Lifespan(of_agent)}) as loop:
        assert loop.state("guide") == "server"
        context = evolve(a_context(), state=loop.state("shop"))
        assert [(await put.call({}, context, loop)).value for _ in range(3)] == [1, 2, 3]
    assert closed == ["agent closed", "server closed"]


@asynccontextmanager
async def _raising() -> AsyncIterator[None]:
    raise ConnectionError("no such host")
    yield


@asynccontextmanager
async def _endless() -> AsyncIterator[None]:
    await trio.sleep_forever()
    yield


@pytest.mark.parametrize(
    ("lifespans", "says"),
    [
        ({"": Lifespan(_raising)}, "the lifespan of the server failed: ConnectionError: no such host"),
        ({"shop": Lifespan(_endless, start_s=0.1)}, "the lifespan of agent 'shop' did not open within 0.1 s"),
    ],
)
async def test_a_lifespan_that_does_not_open_is_an_error_in_a_sentence(lifespans: Any, says: str) -> None:
    with pytest.raises(LifespanFailed, match=says):
        await ToolLoop(lifespans, asyncio=False).open()


async def test_a_tool_that_holds_the_loop_is_reported(brisk: None) -> None:
    """The record names the tool and its line, while the loop is still held if that lasts. A busy machine can hold the
    other tasks of the loop up, too."""
    events: list[object] = []
    loop = ToolLoop({}, asyncio=False)

    @tool
    async def blocks() -> None:
        time.sleep(0.15)  # noqa: ASYNC251

    with trio.fail_after(60):
        async with ActorSystem(
            "s", [ChildSpec("tools", lambda: ToolLoopActor(loop))], on_event=events.append
        ) as system:
            await loop.open(system)
            blocked: list[SlowHandler] = []
            while not blocked:  # on a busy machine the watchdog may look at the stack after the call
                await blocks.call({}, a_context(), loop)
                await trio.sleep(0.01)
                held = [event for event in events if isinstance(event, SlowHandler)]
                blocked = [hold for hold in held if hold.task == "tool blocks" and "time.sleep(0.15)" in hold.stack]
            await loop.close()
    assert blocked[0].held_s > 0


def test_the_flavour_of_a_function_is_read_from_its_code() -> None:
    async def neither() -> None: ...

    async def both() -> None:
        await trio.lowlevel.checkpoint()
        await asyncio.sleep(0)

    async def inside() -> Any:
        return [asyncio.sleep(delay_s) for delay_s in range(2)]

    assert [names_asyncio(work) for work in (neither, both, inside, on_asyncio.function)] == [False, False, True, True]
