"""Requests that an actor answers from its own tasks, or forwards to another actor.

The runtime cancels the handling of a request if its caller leaves, but only in `receive`: a task must do so by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import trio

from actors.ask import Ask

A = TypeVar("A", bound=Ask[Any])


def scope_of(request: Ask[Any]) -> trio.CancelScope:
    """Return a scope for the work on a request: cancelled if its caller leaves, unless it must finish."""
    scope = trio.CancelScope()
    if not request.must_finish:
        request.when_ended(scope.cancel)
    return scope


def copy_request(request: A) -> A:
    """Return a copy of a request that was asked, to ask it of another actor: the same fields, and no call yet.

    As in `await target.ask(copy_request(request))`: one request can be asked once.
    """
    twin: A = object.__new__(type(request))
    for name in _slots(type(request)):
        if hasattr(request, name):
            object.__setattr__(twin, name, getattr(request, name))
    if hasattr(request, "__dict__"):
        twin.__dict__.update(request.__dict__)
    return twin


def _slots(kind: type) -> Iterator[str]:
    """Yield the names of the slots of a request's classes besides those of `Ask`."""
    own = set(Ask.__slots__)
    for parent in kind.__mro__:
        slots = vars(parent).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in own and name not in ("__dict__", "__weakref__"):
                private = name.startswith("__") and not name.endswith("__")
                yield f"_{parent.__name__.lstrip('_')}{name}" if private else name
