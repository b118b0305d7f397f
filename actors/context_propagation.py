"""Context variables that travel with messages, so that a request can be followed from actor to actor.

1. Values are taken where a message is told, and set in the receiver's own context before it is handled.
2. What the message before brought is taken back first: no value stays for a message that brought none.
3. A timer's message brings the values that held when the timer was set.
4. Messages of a conflating lane and notices bring none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextvars import ContextVar, Token
from typing import Any

import trio

Values = tuple[Any, ...]
_ABSENT: Any = object()

enqueued_at: ContextVar[float | None] = ContextVar("actors.enqueued_at", default=None)
"""When the message in work was put into the mailbox, on trio's clock: for interceptors that measure how long it waited.

Name it in `ActorSystem(carry=[enqueued_at])`. None for timers, notices, conflating lanes, and where it is not carried.
"""


class ContextPropagator:
    """What one mailbox needs to carry variables: which, and what it set for the message before."""

    __slots__ = ("_stamps", "_tokens", "_variables")

    def __init__(self, variables: Sequence[ContextVar[Any]]) -> None:
        self._variables = tuple(variables)
        self._stamps = enqueued_at in self._variables
        self._tokens: list[tuple[ContextVar[Any], Token[Any]]] = []

    def queue(self) -> PropagatingQueue:
        """A queue for one lane."""
        return PropagatingQueue(self)

    def capture(self) -> Values:
        """The values in the sender's context, and the time."""
        if not self._stamps:
            return self.current_values()
        now = trio.current_time()
        return tuple(now if variable is enqueued_at else variable.get(_ABSENT) for variable in self._variables)

    def current_values(self, *, stamped: bool = True) -> Values:
        """The values in the current context: of the message in work, with or without its time."""
        return tuple(
            variable.get(_ABSENT) if stamped or variable is not enqueued_at else _ABSENT for variable in self._variables
        )

    def restore(self, values: Values = ()) -> None:
        """Set these values in the current context, in place of those set before."""
        while self._tokens:
            variable, token = self._tokens.pop()
            variable.reset(token)
        for variable, value in zip(self._variables, values, strict=False):
            if value is not _ABSENT:
                self._tokens.append((variable, variable.set(value)))

    def reset(self) -> None:
        """A new incarnation has a new context, in which nothing is set."""
        self._tokens.clear()


class PropagatingQueue:
    """A queue of messages with the values that came with each. Looks like a deque of the messages."""

    __slots__ = ("_carrier", "_items")

    def __init__(self, carrier: ContextPropagator) -> None:
        self._carrier = carrier
        self._items: deque[tuple[Any, Values]] = deque()

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        return (message for message, _ in self._items)

    def __getitem__(self, index: int) -> Any:
        return self._items[index][0]

    def __delitem__(self, index: int) -> None:
        del self._items[index]

    def append(self, message: Any) -> None:
        """Put a message at the end, with the values of the current context."""
        self._items.append((message, self._carrier.capture()))

    def popleft(self) -> Any:
        """Remove and return the message that waited longest; its values hold in the current context from now on."""
        message, values = self._items.popleft()
        self._carrier.restore(values)
        return message
