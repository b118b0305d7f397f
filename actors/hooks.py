"""The hooks of a program into a system (event listeners, interceptors of messages, redaction), and their counts.

An error of a hook is counted and logged, and reaches no actor.
"""

from __future__ import annotations

from collections.abc import Callable
from logging import DEBUG
from typing import Any, Protocol, TypeVar

from .checks import check_plain
from .events import DeadLetter, DeadLetters, Event, MessageUnhandled, log, log_event, register

F = TypeVar("F")


class Recipient(Protocol):
    """An actor's class as its dead letters see it."""

    @classmethod
    def on_undelivered(cls, letter: DeadLetter) -> None:
        """Release what the message owns."""


class Hooks:
    """The hooks of one system, and the counts of their errors and of lost messages."""

    def __init__(
        self,
        on_event: Callable[[Event], None] | None,
        redact: Callable[[str], str] | None,
        dead_letter_capacity: int,
    ) -> None:
        check_plain("on_event", on_event)
        check_plain("redact", redact)
        self.on_event: Callable[[Event], None] | None = on_event
        self.dead_letters: DeadLetters = DeadLetters(dead_letter_capacity)
        """The last messages that were not handled, and the count of all."""
        self.event_errors: int = 0
        """Number of errors raised by `on_event`, a listener, or an `on_undelivered`."""
        self.late_replies: int = 0
        """Number of answers that came after their call had ended."""
        self.unhandled: int = 0
        """Number of messages that their actors did not know."""
        self.interceptors: dict[object, Callable[[Any, Any], Any]] = {}
        self.interceptors_version: int = 0
        """Incremented by each change of the interceptors."""
        self.interceptor_errors: int = 0
        """Number of errors raised by interceptors themselves. Errors of the `receive` they return crash the actor."""
        self._redact = redact
        self._listeners: dict[object, Callable[[Event], None]] = {}
        self._emitting = self._releasing = False

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call `listener` with each event from now on, after `on_event`. Call the result to remove it."""
        check_plain("listener", listener)
        return register(self._listeners, listener)

    def emit(self, event: Event) -> None:
        """Call `on_event` and the listeners. Their errors are counted and logged, and reach no actor."""
        outer, self._emitting = self._emitting, True
        try:
            for key in (None, *self._listeners):
                try:
                    if key is None:
                        (log_event if self.on_event is None else self.on_event)(event)
                    elif key in self._listeners:  # else an earlier listener has removed it
                        self._listeners[key](event)
                except Exception:
                    self.event_errors += 1
                    log.exception("a listener to the events of the actors raised")
        finally:
            self._emitting = outer

    def has_listeners(self) -> bool:
        """Whether events of normal operation are listened to, and so worth creating."""
        return self.on_event is not None or bool(self._listeners) or log.isEnabledFor(DEBUG)

    def dead_letter(self, letter: DeadLetter) -> None:
        """Keep, count and emit a dead letter.

        One that a listener caused while it handled an event is kept and counted only: emitting it would call the same
        listener, which would cause another.
        """
        quietly, self._emitting = self._emitting, True
        try:
            self.dead_letters.add(letter, quietly=quietly)
        finally:
            self._emitting = quietly
        if not quietly:
            self.emit(letter)

    def lose_of(self, kind: type[Recipient], letter: DeadLetter) -> None:
        """Keep, count and emit a dead letter of an actor of this class, and call its `on_undelivered`.

        The hook is not called for a dead letter that such a hook caused: two hooks could pass on a message forever.
        """
        self.dead_letter(letter)
        nested, self._releasing = self._releasing, True
        try:
            if not nested:
                kind.on_undelivered(letter)
        except Exception:
            self.event_errors += 1
            log.exception("on_undelivered of %s raised", kind.__name__)
        finally:
            self._releasing = nested

    def redacted(self, text: str) -> str:
        """Return the redacted text; only the error's type if `redact` raises."""
        if self._redact is None:
            return text
        try:
            return self._redact(text)
        except Exception as error:
            return f"redact raised {type(error).__name__}"

    def intercepted(self, ref: Any, receive: F) -> F:
        """Return `receive` of the actor that `ref` refers to, wrapped by every interceptor."""
        for interceptor in tuple(self.interceptors.values()):
            try:
                receive = interceptor(ref, receive)
            except Exception:
                self.interceptor_errors += 1
                log.exception("an interceptor raised when it was asked about %s; it is left out there", ref.path)
        return receive

    def note_unhandled(self, path: str, message_type: str) -> None:
        """Count and report a message that its actor did not know."""
        self.unhandled += 1
        self.emit(MessageUnhandled(path, message_type))
