"""Requests that an actor answers from its own tasks.

The runtime cancels the handling of a request if its caller leaves, but only in `receive`: a task must do so by itself.
"""

from __future__ import annotations

from typing import Any

import trio

from actors.ask import Ask


def scope_of(request: Ask[Any]) -> trio.CancelScope:
    """Return a scope for the work on a request: cancelled if its caller leaves, unless it must finish."""
    scope = trio.CancelScope()
    if not request.must_finish:
        request.when_ended(scope.cancel)
    return scope
