"""How the function of a tool is executed: in a worker thread, on trio, or on asyncio. Its result becomes plain JSON."""

import inspect
from collections.abc import Awaitable, Callable
from contextlib import aclosing, closing
from functools import partial
from typing import Any, Final

import trio
from attrs import evolve

from understudy.sandbox.limiters import thread_limiter
from understudy.tools.context import ToolContext
from understudy.tools.result import MAX_ITEMS, ToolResult, is_small, to_partial, to_result
from understudy.tools.signature import plain_function

THREADS: Final = 40
"""Worker threads of all tools: apart from trio's default 40, so that stuck tools cannot starve storage."""


def is_async(function: Callable[..., Any]) -> bool:
    """Return whether a function is async, or an async generator."""
    plain = plain_function(function)
    return inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain)


def collect(function: Callable[..., Any], show: Callable[[Any], Awaitable[None]], **given: Any) -> Any:
    """Run a generator in this thread, and show what it yields. Return its result: see `tool`."""
    items: list[Any] = []
    stream = function(**given)
    with closing(stream):
        while len(items) < MAX_ITEMS:
            try:
                item = next(stream)
            except StopIteration as end:
                return items if end.value is None else end.value
            if isinstance(item, ToolResult):
                return item
            items.append(item)
            trio.from_thread.check_cancelled()
            trio.from_thread.run(show, to_partial(item))
    return _ended_early(items)


async def collect_async(function: Callable[..., Any], show: Callable[[Any], Awaitable[None]], **given: Any) -> Any:
    """Run an async generator, and show what it yields. Return its result: see `tool`."""
    items: list[Any] = []
    async with aclosing(function(**given)) as stream:
        async for item in stream:
            if isinstance(item, ToolResult):
                return item
            items.append(item)
            await show(to_partial(item))
            if len(items) >= MAX_ITEMS:
                return _ended_early(items)
    return items


def _ended_early(items: list[Any]) -> ToolResult:
    return ToolResult(items, f"The first {MAX_ITEMS:,} items: there the tool was ended.")


limiter: Final = thread_limiter("understudy.tool_threads", THREADS)


def _from_thread(context: ToolContext) -> ToolContext:
    """Return the context for a function in a worker thread; if that was abandoned, `progress` ends the function."""

    def progress(done: float, total: float | None, note: str) -> None:
        trio.from_thread.check_cancelled()
        trio.from_thread.run_sync(context.progress, done, total, note)

    return evolve(context, progress=progress)


async def _in_thread(function: Callable[..., Any], given: dict[str, Any]) -> ToolResult:
    given = {name: _from_thread(each) if isinstance(each, ToolContext) else each for name, each in given.items()}
    work = partial(function, **given)
    return await trio.to_thread.run_sync(lambda: to_result(work()), abandon_on_cancel=True, limiter=limiter())


async def _on_trio(function: Callable[..., Any], given: dict[str, Any]) -> ToolResult:
    value = await function(**given)
    if is_small(value):
        return to_result(value)
    return await trio.to_thread.run_sync(to_result, value, abandon_on_cancel=True, limiter=limiter())


async def _on_asyncio(function: Callable[..., Any], given: dict[str, Any]) -> ToolResult:
    import trio_asyncio

    def for_asyncio(context: ToolContext) -> ToolContext:
        return evolve(context, asker=trio_asyncio.trio_as_aio(context.asker))

    if isinstance(function, partial) and function.func is collect_async and trio_asyncio.current_loop.get() is None:
        wrapped, show = function.args
        function = partial(collect_async, wrapped, trio_asyncio.trio_as_aio(show))

    if trio_asyncio.current_loop.get() is not None:  # that of the tools' loop, whose contexts know asyncio
        return await _on_trio(trio_asyncio.aio_as_trio(function), given)
    given = {name: for_asyncio(each) if isinstance(each, ToolContext) else each for name, each in given.items()}
    async with trio_asyncio.open_loop():
        return await _on_trio(trio_asyncio.aio_as_trio(function), given)


def runner(function: Callable[..., Any], asyncio: bool) -> Callable[..., Awaitable[ToolResult]]:
    """Return what runs a function: on asyncio if it is async and its tool says so, on trio, or in a thread."""
    if not is_async(function):
        return _in_thread
    return _on_asyncio if asyncio else _on_trio
