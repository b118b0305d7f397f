"""Lifespans: resources that are opened once for tools, before their first call, and closed at shutdown."""

import inspect
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import ModuleType
from typing import Any, Final, TypeAlias

from attrs import field, frozen, validators

SERVER: Final = ""
"""The key of the server's own lifespan; other keys are names of agents."""


@frozen
class Lifespan:
    """A resource such as a pool or a client: opened once, before the first call of a tool, and closed at shutdown.

    `open` is an async context manager function without arguments; its value is `ToolContext.state`. `asyncio`: the code
    is for asyncio; None: it is if it names the module `asyncio`. The server does not start if the resource is not open
    within `start_s` seconds; closing may take `stop_s` seconds.
    """

    open: Callable[[], AbstractAsyncContextManager[Any]] = field(validator=validators.is_callable())
    asyncio: bool | None = None
    start_s: float = field(default=10.0, validator=validators.gt(0))
    stop_s: float = field(default=5.0, validator=validators.gt(0))

    @property
    def on_asyncio(self) -> bool:
        """Whether the resource is opened and closed on asyncio."""
        return names_asyncio(self.open) if self.asyncio is None else self.asyncio


LifespanLike: TypeAlias = Lifespan | Callable[[], AbstractAsyncContextManager[Any]] | None
"""The values that an agent or a server accepts as its lifespan."""


def to_lifespan(value: LifespanLike) -> Lifespan | None:
    """Convert a value to a `Lifespan`. Raises TypeError if it cannot be called."""
    return value if value is None or isinstance(value, Lifespan) else Lifespan(value)


def names_asyncio(function: Callable[..., Any]) -> bool:
    """Return whether a function's code uses names of the module `asyncio`, and none of trio or anyio."""
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
