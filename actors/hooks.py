"""Checks of users' functions and hooks, made where they are defined, with errors that say what to write instead."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from types import FunctionType
from typing import Any

from .errors import InvalidActor, InvalidSpec

ASYNC_HOOKS: tuple[str, ...] = ("on_start", "receive", "on_idle", "on_stop")
"""Hooks that must be async functions."""
PLAIN_HOOKS: tuple[str, ...] = ("report_state", "static_children")
"""Hooks that must be plain functions."""


def check_hooks(kind: type) -> None:
    """Check the hooks that a class of actors defines itself. Raises `InvalidActor`."""
    for name in ASYNC_HOOKS:
        hook = _written(kind, name)
        if hook is not None and not inspect.iscoroutinefunction(hook):
            what = "a generator: it must not yield" if _yields(hook) else "a plain function"
            raise InvalidActor(kind.__name__, f"{name} is {what}; write `async def {name}`")
    for name in PLAIN_HOOKS:
        if inspect.iscoroutinefunction(_written(kind, name)):
            raise InvalidActor(kind.__name__, f"{name} is async; write `def {name}`")
    lifespan = vars(kind).get("lifespan")
    if inspect.iscoroutinefunction(lifespan) or _yields(lifespan):
        raise InvalidActor(kind.__name__, "lifespan is no context manager; put `@asynccontextmanager` above it")


def check_plain(name: str, function: object) -> None:
    """Raise `InvalidSpec` if the function is async but must be plain."""
    if inspect.iscoroutinefunction(function):
        raise InvalidSpec(name, "must be a plain function: an async one would never run")


def check_async(where: str, function: object) -> None:
    """Raise `TypeError` unless this may be an async function; `call_async` checks its result."""
    if inspect.iscoroutine(function):
        function.close()
        raise TypeError(f"{where} takes an async function and its arguments, as in {where}(work, 5), not work(5)")
    if not callable(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{where} takes an async function that returns, not {function!r}")


def call_async(function: Callable[..., Awaitable[object]], *args: Any) -> Awaitable[object]:
    """Call an async function. Raises `TypeError` if its result cannot be awaited."""
    result: object = function(*args)
    if not isinstance(result, Awaitable):
        name = getattr(function, "__qualname__", repr(function))
        raise TypeError(f"{name} must be an async function: it returned {type(result).__name__}, nothing to await")
    return result


def _written(kind: type, name: str) -> object:
    """Return the unwrapped function that a class defines under this name; None if it defines none."""
    hook = vars(kind).get(name)
    return inspect.unwrap(hook) if isinstance(hook, FunctionType) else None


def _yields(function: object) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
