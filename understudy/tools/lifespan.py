"""Lifespans: what is opened once for tools, before their first call, and closed at shutdown."""

import inspect
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import ModuleType
from typing import Any, Final, TypeAlias

from attrs import field, frozen, validators

SERVER: Final = ""
"""The name under which the server's own lifespan is, beside those of agents."""


@frozen
class Lifespan:
    """What is opened once, before the first call of a tool, and closed at shutdown: a pool, a client.

    `open` is an async context manager function without arguments; its value is `ToolContext.state`. `asyncio` says that
    it is for asyncio; None: if its code names the module `asyncio`. The server does not start if it has not opened
    within `start_s` seconds; it has `stop_s` seconds to close.
    """

    open: Callable[[], AbstractAsyncContextManager[Any]] = field(validator=validators.is_callable())
    asyncio: bool | None = None
    start_s: float = field(default=10.0, validator=validators.gt(0))
    stop_s: float = field(default=5.0, validator=validators.gt(0))

    @property
    def on_asyncio(self) -> bool:
        """Whether it is opened and closed as asyncio code."""
        return names_asyncio(self.open) if self.asyncio is None else self.asyncio


LifespanLike: TypeAlias = Lifespan | Callable[[], AbstractAsyncContextManager[Any]] | None
"""What users give as lifespan."""


def to_lifespan(given: LifespanLike) -> Lifespan | None:
    """Return what a user gives as lifespan as a `Lifespan`. Raises TypeError if it cannot be called."""
    return given if given is None or isinstance(given, Lifespan) else Lifespan(given)


def names_asyncio(function: Callable[..., Any]) -> bool:
    """Whether the code of a function names the module `asyncio`, or something of it, and neither trio nor anyio."""
    while isinstance(function, partial):
        function = function.func
    function = inspect.unwrap(getattr(function, "__func__", function))
    code, scope = getattr(function, "__code__", None), getattr(function, "__globals__", {})
    if code is None:
        return False
    codes, names = [code], set[str]()
    while codes:
        body = codes.pop()
        names.update(body.co_names)
        codes += [const for const in body.co_consts if inspect.iscode(const)]
    roots = {_root(scope[name]) for name in names if name in scope} | (names & {"asyncio", "trio", "anyio"})
    return "asyncio" in roots and not roots & {"trio", "anyio"}


def _root(value: Any) -> str:
    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    return name.partition(".")[0] if isinstance(name, str) else ""


class LifespanFailed(ValueError):
    """A lifespan could not be opened; the text says whose, and why."""
