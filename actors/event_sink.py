"""The sink of a system's events: `on_event`, the listeners and the dead letters."""

from __future__ import annotations

from collections.abc import Callable
from logging import DEBUG

from .callbacks import Callbacks
from .events import DeadLetter, DeadLetters, Event, log, log_event
from .hooks import check_plain


class EventSink:
    """Calls `on_event`, then each listener, with every event; keeps the last dead letters; redacts texts."""

    def __init__(
        self,
        on_event: Callable[[Event], None] | None,
        dead_letter_capacity: int,
        redact: Callable[[str], str] | None,
    ) -> None:
        check_plain("on_event", on_event)
        check_plain("redact", redact)
        self.on_event: Callable[[Event], None] | None = on_event
        self._on_event = log_event if on_event is None else on_event
        self.dead_letters: DeadLetters = DeadLetters(dead_letter_capacity)
        """The last messages that were not handled, and the count of all."""
        self.event_errors: int = 0
        """Number of errors raised by `on_event` or a listener."""
        self._redact = redact
        self._listeners: Callbacks[Callable[[Event], None]] = Callbacks()
        self._emitting = False

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call `listener` with each event from now on, after `on_event`. Call the result to remove it."""
        check_plain("listener", listener)
        return self._listeners.add(listener)

    def emit(self, event: Event) -> None:
        """Call `on_event` and the listeners. Their errors are counted and logged, and reach no actor."""
        before, self._emitting = self._emitting, True
        try:
            self._call_listener(self._on_event, event)
            for listener in self._listeners:
                self._call_listener(listener, event)
        finally:
            self._emitting = before

    def _call_listener(self, listener: Callable[[Event], None], event: Event) -> None:
        try:
            listener(event)
        except Exception:
            self.event_errors += 1
            log.exception("a listener to the records of the actors raised")

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

    def redacted(self, text: str) -> str:
        """Return the redacted text; only the error's type if `redact` raises."""
        if self._redact is None:
            return text
        try:
            return self._redact(text)
        except Exception as error:
            return f"redact raised {type(error).__name__}"
