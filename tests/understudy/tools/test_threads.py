"""The worker threads of tools, with functions that really hang until the test lets them go."""

import logging
import threading
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager

import pytest
import trio
import trio.testing

from understudy.storage.owners import owner_of
from understudy.tools import threads
from understudy.tools.errors import ToolError


class Hanging:
    """Calls of functions that hang until the end of the test."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.threads, self.nursery, self.door = threads.ToolThreads(), nursery, threading.Event()
        self.refused: list[str] = []

    async def start(self, owner: str, tool: str, number: int = 1) -> trio.CancelScope:
        """Start calls; return their scope when they work, wait or are refused."""
        scope = trio.CancelScope()

        async def call() -> None:
            try:
                await self.threads.run(lambda: self.door.wait(20), owner, tool)
            except ToolError as error:
                self.refused.append(error.message)

        async def calls() -> None:
            with scope:
                async with trio.open_nursery() as nursery:
                    for _ in range(number):
                        nursery.start_soon(call)

        self.nursery.start_soon(calls)
        await trio.testing.wait_all_tasks_blocked()
        return scope

    async def lose(self, owner: str, tool: str, number: int) -> None:
        (await self.start(owner, tool, number)).cancel()
        await trio.testing.wait_all_tasks_blocked()

    async def answer(self, owner: str, tool: str) -> str:
        """Make a call that returns at once. Return its value, or why it is refused."""
        try:
            return await self.threads.run(lambda: "done", owner, tool)
        except ToolError as error:
            return f"{error.code}: {error.message}"


@asynccontextmanager
async def opened() -> AsyncIterator[Hanging]:
    """Open a pool; its hanging calls end with the block."""
    async with trio.open_nursery() as nursery:
        calls = Hanging(nursery)
        try:
            yield calls
        finally:
            calls.door.set()
            nursery.cancel_scope.cancel()


async def test_forty_hanging_calls_of_a_user_leave_threads_to_others() -> None:
    async with opened() as calls:
        await calls.start("ada", "stuck", 40)
        assert calls.threads.working == threads.PER_USER
        assert len(calls.refused) == 40 - threads.PER_USER - threads.MAX_QUEUED
        assert set(calls.refused) == {"20 of your calls wait for a free place already; try again later."}
        assert await calls.answer("bob", "stuck") == "done"


async def test_a_tool_that_hangs_for_everybody_leaves_threads_to_other_tools() -> None:
    async with opened() as calls:
        for number in range(5):
            await calls.start(f"user {number}", "stuck", threads.PER_USER)
        assert calls.threads.working == threads.PER_TOOL
        assert await calls.answer("bob", "quick") == "done"
        assert await calls.answer("user 4", "quick") == "done", "it passes the user's own calls of the other tool"


async def test_a_tenant_leaves_threads_to_others() -> None:
    async with opened() as calls:
        for number in range(6):
            await calls.start(owner_of(f"user {number}", "acme"), f"stuck {number % 3}", threads.PER_USER)
        assert calls.threads.working == threads.PER_TENANT
        assert await calls.answer(owner_of("bob", "other"), "quick") == "done"


async def test_a_call_waits_for_a_thread_so_long_and_no_longer(autojump_clock: trio.testing.MockClock) -> None:
    waits: list[str] = []

    @contextmanager
    def while_queued() -> Generator[None]:
        waits.append("begun")
        yield
        waits.append("over")

    async with opened() as calls:
        autojump_clock.autojump_threshold = 0.05
        await calls.start("ada", "stuck", threads.PER_USER)
        began = trio.current_time()
        with pytest.raises(ToolError, match="no free place for quick within 30 s"):
            await calls.threads.run(lambda: None, "ada", "quick", 1.0, while_queued)
        assert trio.current_time() - began == threads.WAIT_S
        assert waits == ["begun", "over"]
        calls.nursery.start_soon(trio.sleep, 0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(calls.threads.run, lambda: waits.append("ran"), "ada", "quick", 1.0, while_queued)
            await trio.sleep(2.0)
            calls.door.set()
    assert waits == ["begun", "over", "begun", "over", "ran"]


async def test_a_function_has_its_time_limit() -> None:
    async with opened() as calls:
        with pytest.raises(ToolError, match="stuck took longer than") as late:
            await calls.threads.run(lambda: calls.door.wait(20), "ada", "stuck", 0.05)
        assert late.value.code == "tool_timeout"
        assert calls.threads.lost == {"stuck": 1}


async def test_a_lost_thread_is_named_replaced_and_found(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "understudy.tools.threads")
    async with opened() as calls:
        named: list[str] = []
        calls.threads.on_lost = named.append
        for number in range(4):
            await calls.lose(f"user {number}", f"stuck {number}", threads.PER_USER - 1)
        lost = 4 * (threads.PER_USER - 1)
        assert (calls.threads.working, calls.threads.lost.total(), len(named)) == (0, lost, lost)
        for number in range(5):
            await calls.start(f"other {number}", f"slow {number}", threads.PER_USER)
        assert calls.threads.working == threads.THREADS, "as many as if none were lost"
        first = next(record for record in caplog.records if record.message == "tools.thread_lost")
        assert first.__dict__["tool"] == "stuck 0"
        calls.door.set()
        while calls.threads.lost or calls.threads.working:  # noqa: ASYNC110 - a thread that ends tells the pool alone
            await trio.sleep(0.001)
        assert sum(record.message == "tools.thread_returned" for record in caplog.records) == lost
        calls.door.clear()
        await calls.start("ada", "stuck", threads.PER_USER)
        assert calls.threads.working == threads.PER_USER


async def test_a_call_that_only_a_lost_thread_could_serve_is_refused_at_once() -> None:
    async with opened() as calls:
        await calls.lose("ada", "stuck", threads.PER_USER)
        assert "8 of your earlier calls have not ended (stuck)" in await calls.answer("ada", "quick")
        for number in range(2):
            await calls.lose(f"user {number}", "stuck", threads.PER_TOOL // 2)
        assert "stuck hangs: 20 of its calls" in await calls.answer("bob", "stuck")
        for number in range(2, 12):
            await calls.lose(f"user {number}", f"stuck {number}", threads.PER_USER)
        assert calls.threads.lost.total() == threads.THREADS + threads.MAX_LOST, "beyond the bound none is replaced"
        assert await calls.answer("bob", "quick") == "busy: Too many of the server's tools hang; try again later."
