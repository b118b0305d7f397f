"""What may stand between a mailbox and its actor: tracing, measuring, chaos.

An interceptor is asked once for each incarnation, and again when the interceptors change, which `receive` the actor is
to have. One that is not interested in an actor returns what it was given, and costs nothing from then on.
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
"""An actor's `receive`, or what stands for it."""
Interceptor = Callable[["ActorRef", Receive], Receive]
"""Given an actor and its `receive`, returns the `receive` to use: the same one, or one around it."""


class Interceptors:
    """Those of one system, the first added being the innermost."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._interceptors: Callbacks[Interceptor] = Callbacks()
        self.version: int = 0
        """Goes up with each change."""
        self.errors: int = 0
        """How often one raised when it was asked. What its `receive` raises is the actor's crash."""

    def add(self, interceptor: Interceptor) -> Callable[[], None]:
        """Put one around all actors, before their next message; call the result to take it away."""
        check_plain("interceptor", interceptor)
        remove = self._interceptors.add(interceptor)
        self._changed()

        def take_away() -> None:
            remove()
            self._changed()

        return take_away

    def around(self, ref: ActorRef, receive: Receive) -> Receive:
        """Return `receive` with every interceptor's around it."""
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
