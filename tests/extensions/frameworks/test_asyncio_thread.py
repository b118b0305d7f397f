"""The loop of asyncio alone: calls, their cancellation, and what becomes of one that blocks it."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest
import trio
import trio.lowlevel

from tests.rigs.tool_loop import opened as loop_opened
from understudy.extensions.frameworks.asyncio_thread import AsyncioThread
from understudy.tools import loop as loops


class Given:
    """A stand-in for a context: has a function run on the server's loop."""

    def elsewhere(self, on_server: Callable[..., Any], _: Callable[..., Any]) -> "Given":
        self.on_server = on_server
        return self


opened = partial(loop_opened, asyncio=False, thread=AsyncioThread)


async def test_a_call_has_asyncio_whole_and_reaches_the_server() -> None:
    home = threading.get_ident()

    async def on_server(number: int) -> tuple[int, bool]:
        await trio.lowlevel.checkpoint()
        return number, threading.get_ident() == home

    async def work(call: Given) -> Any:
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            tasks = [group.create_task(call.on_server(on_server, number)) for number in range(3)]
        return [task.result() for task in tasks], await asyncio.to_thread(threading.get_ident)

    async with opened() as loop:
        results, thread = await loop.run("work", work, Given())  # type: ignore[type-var]
        assert results == [(0, True), (1, True), (2, True)]
        assert thread != home
        with pytest.raises(ZeroDivisionError):
            await loop.run("bad", lambda _: divide(), Given())  # type: ignore[type-var]


async def divide() -> float:
    return 1 / 0


async def test_a_cancelled_call_is_given_cancelled_error_and_one_that_swallows_it_is_left() -> None:
    errors, began = [], threading.Event()

    async def wait(_: object) -> None:
        try:
            began.set()
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            errors.append("cancelled")
            raise

    async def stay(call: Given) -> None:
        for _ in range(2):
            try:
                began.set()
                await asyncio.sleep(600)  # longer than a test may hang
            except asyncio.CancelledError:
                errors.append("stays")

    async with opened() as loop:
        for function in (wait, stay):
            began.clear()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(loop.run, "call", function, Given())
                await trio.to_thread.run_sync(began.wait)
                nursery.cancel_scope.cancel()
        assert errors == ["cancelled", "stays"]


async def test_what_a_call_started_beside_itself_has_ended_when_the_loop_has(caplog: pytest.LogCaptureFixture) -> None:
    ended: list[str] = []
    background: set[asyncio.Task[None]] = set()

    async def wait(name: str) -> None:
        try:
            await asyncio.sleep(600)
        finally:
            ended.append(name)

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            ended.append("generator")

    async def start(_: object) -> AsyncIterator[int]:
        background.add(asyncio.create_task(wait("task")))
        left = numbers()
        await anext(left)
        return left

    async def shield(_: object) -> None:
        background.add(task := asyncio.create_task(wait("shielded")))
        began.set()
        await asyncio.shield(task)

    began = threading.Event()
    async with opened() as loop:
        left = await loop.run("start", start, Given())  # type: ignore[type-var]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(loop.run, "shield", shield, Given())
            await trio.to_thread.run_sync(began.wait)
            nursery.cancel_scope.cancel()
    assert sorted(ended) == ["generator", "shielded", "task"]
    assert all(task.done() for task in background)
    del left
    background.clear()
    gc.collect()
    assert not caplog.messages


async def test_a_blocked_loop_is_replaced(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(loops, "BLOCKED_S", 0.2)
    freed = threading.Event()

    async def block(_: object) -> str:
        freed.wait(25)
        return "done"

    async def name(_: object) -> int:
        return threading.get_ident()

    async with opened() as loop:
        before = await loop.run("name", name, Given())  # type: ignore[type-var]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(loop.run, "block", block, Given())
            while "tools.loop_blocked" not in caplog.messages:  # noqa: ASYNC110 - what is logged is no event
                await trio.sleep(0.02)
            assert await loop.run("name", name, Given()) != before  # type: ignore[type-var]
            freed.set()
