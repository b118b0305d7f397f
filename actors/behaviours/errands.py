"""Requests that an actor answers from tasks of its own: who still waits for them, and how to take them on again.

The runtime cancels the handling of a request when its caller has gone, but only in `receive`. What goes on in a task
is looked at every `LOOK_S` seconds instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import trio

from actors.ask import Ask

A = TypeVar("A", bound=Ask[Any])

LOOK_S = 0.25
"""How long work goes on, at most, that nobody waits for any more."""


class Errands:
    """The requests that an actor has in work in its own tasks."""

    def __init__(self) -> None:
        self._scopes: dict[int, tuple[Ask[Any], trio.CancelScope]] = {}

    def __len__(self) -> int:
        return len(self._scopes)

    def begin(self, request: Ask[Any]) -> trio.CancelScope:
        """Note a request; work on it inside the scope returned, and call `end` after that."""
        scope = trio.CancelScope()
        self._scopes[id(request)] = (request, scope)
        return scope

    def end(self, request: Ask[Any]) -> None:
        """Forget a request."""
        self._scopes.pop(id(request), None)

    def look(self) -> None:
        """Cancel what nobody waits for any more, unless it must finish."""
        for request, scope in self._scopes.values():
            if not request.waiting and not request.must_finish:
                scope.cancel()


def anew(request: A) -> A:
    """A copy of a request that was asked, to ask it of somebody else: same fields, no call of its own yet."""
    twin: A = object.__new__(type(request))
    for name in _slots(type(request)):
        if hasattr(request, name):
            object.__setattr__(twin, name, getattr(request, name))
    if hasattr(request, "__dict__"):
        twin.__dict__.update(request.__dict__)
    return twin


def _slots(kind: type) -> Iterator[str]:
    """The names of the slots that the classes of a request have besides those of `Ask`."""
    own = set(Ask.__slots__)
    for parent in kind.__mro__:
        slots = vars(parent).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in own and name not in ("__dict__", "__weakref__"):
                private = name.startswith("__") and not name.endswith("__")
                yield f"_{parent.__name__.lstrip('_')}{name}" if private else name
