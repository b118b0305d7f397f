"""The events of the runtime, the functions registered for them, and the bounded list of dead letters.

Events name messages by their type only, so no user's text reaches a log through them.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeVar

from attrs import field, frozen

from .exit_reasons import Exit, Killed
from .lifecycle import Decision

F = TypeVar("F")

log: logging.Logger = logging.getLogger("actors")


@frozen
class ActorStarted:
    """An incarnation runs; the first has number 1."""

    path: str
    incarnation: int


@frozen
class ActorCrashed:
    """An incarnation ended by an error or a kill. Sent once for each, with the decision taken.

    `message_type` names the type of the current message, or is None; `traceback` is text, empty for a kill without an
    error; `state` is the result of `Actor.report_state`, as text. Both texts were redacted by the system.
    """

    path: str
    incarnation: int
    reason: Exit
    message_type: str | None
    traceback: str = field(repr=False)
    decision: Decision
    state: str = field(default="", repr=False)


@frozen
class ActorRestarting:
    """A child will get its next incarnation after `delay_s` seconds; `restarts` counts from the first."""

    path: str
    restarts: int
    delay_s: float


@frozen
class ActorStopped:
    """An actor ended for good: its reference is dead.

    `cut_off` names the type of the message whose handling was cut off, or is None.
    """

    path: str
    reason: Exit
    cut_off: str | None = None


@frozen
class DeadLetter:
    """A message that was not handled. Its repr shows the type only.

    `why` is `dead` (sent to a dead actor), `stopping` (sent to an actor that drains), `stopped` (the actor ended before
    it was handled), `overflow` (no room), `no workers` (a pool had no worker for it), `cleared` (the actor cleared
    its stash), or `poison` (too many incarnations crashed on it: `history` has each error). `lane` is
    `stash` for a stashed message, and `again` for a message that an incarnation had crashed on.
    """

    path: str
    lane: str
    message: object = field(repr=lambda message: type(message).__name__)
    why: str
    history: tuple[str, ...] = field(default=(), repr=False)


@frozen
class MessageUnhandled:
    """An actor received a message that it does not know, and goes on."""

    path: str
    message_type: str


@frozen
class SlowHandler:
    """A task kept the loop for about `held_s` seconds, in which no other ran; blocking work belongs into a thread.

    `path` is that of the actor whose hook or task it was, or whose task had started it; None for a task that no actor
    started. `message_type` names the current message, or is None outside of `receive`. `task` is the task's name.
    `stack` is its stack meanwhile, as text: code without values.
    """

    path: str | None
    message_type: str | None
    held_s: float
    task: str = ""
    stack: str = field(default="", repr=False)


@frozen
class WatchdogDied:
    """The thread that looks for held loops ended by an error of its own: holds are reported no more."""

    problem: str


@frozen
class ShutdownOverdue:
    """A killed actor has not ended after `after_s` seconds: it swallows its cancellation, or keeps a thread."""

    path: str
    after_s: float


@frozen
class ShutdownTaskFailed:
    """A task of the coordinated shutdown raised or took too long; the shutdown went on. `problem` is text."""

    phase: str
    task: str
    problem: str


Event = (
    ActorStarted
    | ActorCrashed
    | ActorRestarting
    | ActorStopped
    | ShutdownOverdue
    | DeadLetter
    | SlowHandler
    | MessageUnhandled
    | ShutdownTaskFailed
    | WatchdogDied
)
"""The type of the argument of `on_event`."""


def register(callbacks: dict[object, F], callback: F) -> Callable[[], None]:
    """Add a function to `callbacks`, in the order of registration; it may be added twice, and is called twice.

    Call the result to remove it; a second call is harmless.
    """
    key = object()
    callbacks[key] = callback

    def remove() -> None:
        callbacks.pop(key, None)

    return remove


class DeadLetters:
    """The last dead letters, and the count of all. Iteration yields the oldest first."""

    def __init__(self, capacity: int = 1000) -> None:
        self._letters: deque[DeadLetter] = deque(maxlen=capacity)
        self._subscribers: dict[object, Callable[[DeadLetter], None]] = {}
        self.count: int = 0

    def __iter__(self) -> Iterator[DeadLetter]:
        return iter(tuple(self._letters))

    def __len__(self) -> int:
        return len(self._letters)

    def add(self, letter: DeadLetter, *, quietly: bool = False) -> None:
        """Keep and count one letter, dropping the oldest beyond the capacity; call the subscribers unless `quietly`."""
        self.count += 1
        self._letters.append(letter)
        for key in () if quietly else tuple(self._subscribers):
            try:
                if key in self._subscribers:  # else an earlier subscriber has removed it
                    self._subscribers[key](letter)
            except Exception:
                log.exception("a subscriber to the dead letters raised")

    def subscribe(self, subscriber: Callable[[DeadLetter], None]) -> Callable[[], None]:
        """Call `subscriber`, which must be quick, with each letter from now on. Call the result to unsubscribe."""
        return register(self._subscribers, subscriber)


def log_event(event: Event) -> None:
    """Log an event to the logger `actors`: the default `on_event` of a system.

    An actor that a stop, or the cancellation of the system's block, had to kill is logged for debugging only.
    """
    match event:
        case ActorCrashed(reason=Killed()):
            level = logging.DEBUG if event.decision is Decision.STOP else logging.WARNING
            log.log(level, "actor.killed path=%s decision=%s", event.path, event.decision.value)
        case ActorCrashed():
            log.error(
                "actor.crashed path=%s type=%s decision=%s\n%s",
                event.path, event.message_type or "-", event.decision.value, event.traceback,
            )  # fmt: skip
        case DeadLetter():
            log.debug("actor.dead_letter path=%s type=%s why=%s", event.path, type(event.message).__name__, event.why)
        case MessageUnhandled():
            log.warning("actor.unhandled path=%s type=%s", event.path, event.message_type)
        case SlowHandler():
            fields = (event.path or "-", event.message_type or "-", event.task, event.held_s, event.stack)
            log.warning("actor.loop_held path=%s type=%s task=%s s=%.3f\n%s", *fields)
        case ShutdownOverdue():
            log.warning("actor.lingers path=%s after_s=%g", event.path, event.after_s)
        case WatchdogDied():
            log.error("watchdog.died problem=%s", event.problem)
        case ShutdownTaskFailed():
            log.error("shutdown.failed phase=%s task=%s problem=%s", event.phase, event.task, event.problem)
        case _:
            log.debug("%r", event)
