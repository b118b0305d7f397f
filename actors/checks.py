"""Checks of users' hooks, functions and numbers, made where they are defined, with errors that say what to write."""

from __future__ import annotations

import inspect
import math
from types import FunctionType

from attrs import Attribute

from .errors import InvalidActor, InvalidSpec

ASYNC_HOOKS: tuple[str, ...] = ("on_start", "receive", "on_idle", "on_stop")
"""Hooks that must be async functions."""
PLAIN_HOOKS: tuple[str, ...] = ("report_state", "static_children")
"""Hooks that must be plain functions."""
MUST_BE_PLAIN = "must be a plain function: an async one would never run"


def check_hooks(kind: type) -> None:
    """Check the hooks that a class of actors defines itself. Raises `InvalidActor`."""
    for name in ASYNC_HOOKS:
        hook = _written(kind, name)
        if hook is not None and not inspect.iscoroutinefunction(hook):
            form = "a generator: it must not yield" if _yields(hook) else "a plain function"
            raise InvalidActor(kind.__name__, f"{name} is {form}; write `async def {name}`")
    for name in PLAIN_HOOKS:
        if inspect.iscoroutinefunction(_written(kind, name)):
            raise InvalidActor(kind.__name__, f"{name} is async; write `def {name}`")
    release = vars(kind).get("on_undelivered")
    if release is not None and not (
        isinstance(release, classmethod) and not inspect.iscoroutinefunction(inspect.unwrap(release.__func__))
    ):
        raise InvalidActor(kind.__name__, "on_undelivered is no plain class method; write `@classmethod` above `def`")
    lifespan = vars(kind).get("lifespan")
    if inspect.iscoroutinefunction(lifespan) or _yields(lifespan):
        raise InvalidActor(kind.__name__, "lifespan is no context manager; put `@asynccontextmanager` above it")


def check_plain(name: str, function: object) -> None:
    """Raise `InvalidSpec` if the function is async but must be plain."""
    if inspect.iscoroutinefunction(function):
        raise InvalidSpec(name, MUST_BE_PLAIN)


def check_count(name: str, value: object, *, least: int = 1) -> None:
    """Raise `InvalidSpec` unless the value of this field is a whole number of at least `least`, 0 or 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InvalidSpec(name, f"must be a whole number{' above zero' if least else ', zero or more'}")


def above_zero(_: object, attribute: Attribute[float], value: float) -> None:
    """Validate a field of an attrs class: raise `InvalidSpec` unless it is above zero."""
    if not value > 0:
        raise InvalidSpec(attribute.name, "must be above zero")


def is_number(value: object) -> bool:
    """Whether this is a valid duration: a number, not a bool, and not NaN."""
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def nothing_to_await(function: object, result: object) -> TypeError:
    """Return the error for a function that returned a result instead of an awaitable."""
    name = getattr(function, "__qualname__", repr(function))
    return TypeError(f"{name} must be an async function: it returned {type(result).__name__}, nothing to await")


def _written(kind: type, name: str) -> object:
    """Return the unwrapped function that a class defines under this name; None if it defines none."""
    hook = vars(kind).get(name)
    return inspect.unwrap(hook) if isinstance(hook, FunctionType) else None


def _yields(function: object) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
