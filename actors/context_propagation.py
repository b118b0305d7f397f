"""Context variables that travel with messages, so that a request can be followed from actor to actor.

1. Values are captured in the context of `tell`, and set in the receiver's own context before it handles the message.
2. The values of the previous message are reset first, so none stays for a message without values.
3. A timer's message carries the values of the context in which the timer was set.
4. Messages of a conflating lane and notices carry none.
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
"""When the current message was put into the mailbox, on trio's clock: for interceptors that measure queueing time.

Name it in `ActorSystem(carry=[enqueued_at])`. None for timers, notices and conflating lanes, and if it is not carried.
"""


class ContextPropagator:
    """The propagated variables of one mailbox, and the tokens of the values it set for the previous message."""

    __slots__ = ("_stamps", "_tokens", "_variables")

    def __init__(self, variables: Sequence[ContextVar[Any]]) -> None:
        self._variables = tuple(variables)
        self._stamps = enqueued_at in self._variables
        self._tokens: list[tuple[ContextVar[Any], Token[Any]]] = []

    def queue(self) -> PropagatingQueue:
        """Make the queue of one lane."""
        return PropagatingQueue(self)

    def capture(self) -> Values:
        """Return the values in the sender's context, with the current time for `enqueued_at`."""
        if not self._stamps:
            return self.current_values()
        now = trio.current_time()
        return tuple(now if variable is enqueued_at else variable.get(_ABSENT) for variable in self._variables)

    def current_values(self, *, stamped: bool = True) -> Values:
        """Return the values in the current context: those of the current message. `stamped`: with its `enqueued_at`."""
        return tuple(
            variable.get(_ABSENT) if stamped or variable is not enqueued_at else _ABSENT for variable in self._variables
        )

    def restore(self, values: Values = ()) -> None:
        """Reset the values set before, and set these in the current context."""
        while self._tokens:
            variable, token = self._tokens.pop()
            variable.reset(token)
        for variable, value in zip(self._variables, values, strict=False):
            if value is not _ABSENT:
                self._tokens.append((variable, variable.set(value)))

    def reset(self) -> None:
        """Drop the tokens: a new incarnation has a new context, in which no value is set."""
        self._tokens.clear()


class PropagatingQueue:
    """A queue of messages with the context values of each. Has the interface of a deque of the messages."""

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
        """Append a message with the values of the current context."""
        self._items.append((message, self._carrier.capture()))

    def popleft(self) -> Any:
        """Remove and return the oldest message, and set its values in the current context."""
        message, values = self._items.popleft()
        self._carrier.restore(values)
        return message
