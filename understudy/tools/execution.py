"""Executes the function of a tool in a worker thread, on trio or on asyncio, and converts its result to plain JSON."""

import inspect
from collections.abc import Awaitable, Callable
from contextlib import aclosing, closing
from functools import partial
from typing import Any

import trio
from attrs import evolve

from understudy.tools.containment import contained, hinting
from understudy.tools.context import ToolContext
from understudy.tools.result import ToolResult, Yielded, is_small, to_result
from understudy.tools.signature import plain_function
from understudy.tools.threads import tool_threads


def is_async(function: Callable[..., Any]) -> bool:
    """Return whether a function is async, or an async generator."""
    plain = plain_function(function)
    return inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain)


def collect(function: Callable[..., Any], show: Callable[[Any], Awaitable[None]], /, **values: Any) -> Any:
    """Run a generator in this thread, and show each value that it yields. Return its result: see `tool`."""
    yielded = Yielded()
    stream = function(**values)
    with closing(stream):
        while not yielded.is_full:
            try:
                item = next(stream)
            except StopIteration as end:
                return yielded.result() if end.value is None else end.value
            if isinstance(item, ToolResult):
                return item
            shown = yielded.add(item)
            trio.from_thread.check_cancelled()
            trio.from_thread.run(show, shown)
    return yielded.result()


async def collect_async(function: Callable[..., Any], show: Callable[[Any], Awaitable[None]], /, **values: Any) -> Any:
    """Run an async generator, and show each value that it yields. Return its result: see `tool`."""
    yielded = Yielded()
    async with aclosing(function(**values)) as stream:
        async for item in stream:
            if isinstance(item, ToolResult):
                return item
            await show(yielded.add(item))
            if yielded.is_full:
                break
    return yielded.result()


def _from_thread(context: ToolContext) -> ToolContext:
    """Return the context for a function in a worker thread: `progress` ends the function of a cancelled call."""

    def progress(done: float, total: float | None, note: str) -> None:
        trio.from_thread.check_cancelled()
        context.progress(done, total, note)

    return evolve(context, progress=progress)


async def _in_thread(
    tool: str, function: Callable[..., Any], values: dict[str, Any], context: ToolContext
) -> ToolResult:
    values = {name: _from_thread(value) if isinstance(value, ToolContext) else value for name, value in values.items()}
    work = partial(function, **values)

    def call() -> ToolResult:
        with hinting(
            f"{tool} has no loop of asyncio: make it `async def`, with @tool(asyncio=True), or call asyncio.run"
        ):
            return to_result(work())

    return await tool_threads().run(call, context.owner, tool, while_queued=context.means.while_queued)


async def _on_trio(tool: str, function: Callable[..., Any], values: dict[str, Any], context: ToolContext) -> ToolResult:
    with hinting(f"{tool} runs on trio, but its code is for asyncio: say @tool(asyncio=True)"):
        return await _on_loop(tool, function, values, context)


async def _on_loop(tool: str, function: Callable[..., Any], values: dict[str, Any], context: ToolContext) -> ToolResult:
    with contained(tool):
        value = await function(**values)
    if is_small(value):
        return to_result(value)
    return await tool_threads().run(
        partial(to_result, value), context.owner, tool, while_queued=context.means.while_queued
    )


async def _on_asyncio(
    tool: str, function: Callable[..., Any], values: dict[str, Any], context: ToolContext
) -> ToolResult:
    import trio_asyncio

    from understudy.tools.contained_task import contained_task

    def for_asyncio(context: ToolContext) -> ToolContext:
        means = evolve(context.means, asker=trio_asyncio.trio_as_aio(context.means.asker))
        return evolve(context, means=means)

    if isinstance(function, partial) and function.func is collect_async and trio_asyncio.current_loop.get() is None:
        wrapped, show = function.args
        function = partial(collect_async, wrapped, trio_asyncio.trio_as_aio(show))

    if trio_asyncio.current_loop.get() is not None:  # the call is on the tools' loop, whose contexts work on asyncio
        return await _on_loop(tool, trio_asyncio.aio_as_trio(function), values, context)
    values = {name: for_asyncio(value) if isinstance(value, ToolContext) else value for name, value in values.items()}
    async with trio_asyncio.open_loop() as loop:
        loop.set_task_factory(contained_task)
        return await _on_loop(tool, trio_asyncio.aio_as_trio(function), values, context)


def runner(function: Callable[..., Any], tool: str, asyncio: bool) -> Callable[..., Awaitable[ToolResult]]:
    """Return the async function that runs a tool's function: on asyncio or trio if it is async, else in a thread."""
    if not is_async(function):
        return partial(_in_thread, tool)
    return partial(_on_asyncio if asyncio else _on_trio, tool)
