"""Interceptors between a mailbox and its actor: for tracing, metrics and chaos.

An interceptor is called once for each incarnation, and again if the interceptors change, and returns the `receive` to
use. One that returns the `receive` it was given costs nothing from then on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from .callbacks import Callbacks
from .events import log
from .hooks import check_plain

if TYPE_CHECKING:
    from .actor import Context
    from .ref import ActorRef

Receive = Callable[[object, "Context"], Awaitable[None]]
"""An actor's `receive`, or a function in its place."""
Interceptor = Callable[["ActorRef", Receive], Receive]
"""Takes an actor and its `receive`, and returns the `receive` to use: the same one, or a wrapper."""


class Interceptors:
    """The interceptors of one system; the first added is the innermost."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._interceptors: Callbacks[Interceptor] = Callbacks()
        self.version: int = 0
        """Incremented by each change."""
        self.errors: int = 0
        """Number of errors raised by interceptors themselves. Errors of the `receive` they return crash the actor."""

    def add(self, interceptor: Interceptor) -> Callable[[], None]:
        """Wrap all actors from their next message on. Call the result to remove the interceptor."""
        check_plain("interceptor", interceptor)
        remove = self._interceptors.add(interceptor)
        self._changed()

        def take_away() -> None:
            remove()
            self._changed()

        return take_away

    def around(self, ref: ActorRef, receive: Receive) -> Receive:
        """Return `receive` wrapped by every interceptor."""
        for interceptor in self._interceptors:
            try:
                receive = interceptor(ref, receive)
            except Exception:
                self.errors += 1
                log.exception("an interceptor raised when it was asked about %s; it is left out there", ref.path)
        return receive

    def _changed(self) -> None:
        self.version += 1
        self._on_change()
