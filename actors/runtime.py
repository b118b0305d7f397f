"""The parts of a system that its actors share, besides its hooks: clock, nursery, random numbers and settings."""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable, Sequence
from random import Random, getrandbits
from typing import Any

import trio

from .checks import is_number
from .errors import InvalidSpec
from .events import DeadLetter, Event
from .hooks import Hooks
from .timers import Timers

YIELD_EVERY = 16
"""Number of starts in a row, none of which waits, until one yields to other tasks: about a third of a millisecond. A
start that yields costs a quarter more."""


class Runtime(Hooks):
    """The shared parts of one system."""

    timers: Timers
    token: trio.lowlevel.TrioToken
    nursery: trio.Nursery

    def __init__(
        self,
        name: str,
        *,
        on_event: Callable[[Event], None] | None,
        redact: Callable[[str], str] | None,
        dead_letter_capacity: int,
        seed: int | None,
        carry: Sequence[contextvars.ContextVar[Any]],
        slow_handler_s: float,
    ) -> None:
        super().__init__(on_event, redact, dead_letter_capacity)
        if not (is_number(slow_handler_s) and slow_handler_s > 0):
            raise InvalidSpec("slow_handler_s", "must be above zero; infinite to watch for nothing")
        self.name: str = name
        self.carry: tuple[contextvars.ContextVar[Any], ...] = tuple(carry)
        """The context variables that travel with messages."""
        self.slow_handler_s: float = slow_handler_s
        """A task that keeps the loop for longer than this is reported as `SlowHandler`."""
        self.random: Random = Random(getrandbits(64) if seed is None else seed)  # noqa: S311 - jitter, not secrets
        self.lose: Callable[[DeadLetter], None] = self.dead_letter
        """The bound method `dead_letter`, made once, for each inbox to hold."""
        self._context = contextvars.Context()
        self._unyielded = 0

    def start_soon(
        self, nursery: trio.Nursery, name: str, function: Callable[..., Awaitable[object]], *args: Any
    ) -> None:
        """Start a task in an empty context: an actor does not belong to the request that happened to start it."""
        self._context.run(nursery.start_soon, function, *args, name=name)

    async def yield_regularly(self) -> None:
        """Yield to other tasks once in `YIELD_EVERY` calls, so that a loop over quick starts starves none."""
        self._unyielded += 1
        if self._unyielded >= YIELD_EVERY:
            self._unyielded = 0
            await trio.lowlevel.cancel_shielded_checkpoint()
