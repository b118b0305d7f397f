"""What the runtime tells: plain records for `ActorSystem`'s `on_event`, and the bounded list of dead letters.

Messages are named by their type only. What a user wrote never reaches a log through here.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator

from attrs import field, frozen

from .callbacks import Callbacks
from .exit_reasons import Exit
from .strategy import Decision

log: logging.Logger = logging.getLogger("actors")


@frozen
class ActorStarted:
    """An incarnation runs; the first has number 1."""

    path: str
    incarnation: int


@frozen
class ActorCrashed:
    """An incarnation ended by an error or was killed; sent once for each, with the decision taken.

    `message_type` names the type of the message in work, or is None; `traceback` is text, empty for a kill that met no
    error; `state` is what `Actor.report_state` said, as text. Both texts went through the system's `redact`.
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

    `cut_off` names the type of the message that was in work and did not come to its end, or is None.
    """

    path: str
    reason: Exit
    cut_off: str | None = None


@frozen
class DeadLetter:
    """A message that reached nobody. Its repr shows the type only.

    `why` is `dead` (told to a dead actor), `stopping` (told to an actor that drains), `stopped` (the actor ended before
    it was handled), `overflow` (no room), `no workers` (a pool had nobody to give it to), `cleared` (the actor gave up
    what it had set aside), or `poison` (too many incarnations crashed on it: `history` has each error). `lane` is
    `stash` for what was set aside, and `copy_request` for a message that an incarnation had crashed on.
    """

    path: str
    lane: str
    message: object = field(repr=lambda message: type(message).__name__)
    why: str
    history: tuple[str, ...] = field(default=(), repr=False)


@frozen
class MessageUnhandled:
    """An actor got a message it does not know, and lives on."""

    path: str
    message_type: str


@frozen
class SlowHandler:
    """A task kept the loop for about `held_s` seconds, in which nothing else ran; blocking work belongs into a thread.

    `path` is the actor in whose hook or task that was, or whose task had started it; None for a task that no actor
    started. `message_type` names the message in work, None outside of `receive`. `task` is the task's name. `stack` is
    where it was meanwhile, as text: code, and no values.
    """

    path: str | None
    message_type: str | None
    held_s: float
    task: str = ""
    stack: str = field(default="", repr=False)


@frozen
class ShutdownOverdue:
    """An actor was killed and has not ended `after_s` s later: it swallows its cancellation, or keeps a thread."""

    path: str
    after_s: float


@frozen
class ShutdownTaskFailed:
    """A task of the ordered shutdown raised or took too long; the shutdown went on. `problem` is text."""

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
)
"""Everything `on_event` is called with."""


class DeadLetters:
    """The last dead letters, and the count of all. Iterate over it to read them, the oldest first."""

    def __init__(self, capacity: int = 1000) -> None:
        self._letters: deque[DeadLetter] = deque(maxlen=capacity)
        self._subscribers: Callbacks[Callable[[DeadLetter], None]] = Callbacks()
        self.count: int = 0

    def __iter__(self) -> Iterator[DeadLetter]:
        return iter(tuple(self._letters))

    def __len__(self) -> int:
        return len(self._letters)

    def add(self, letter: DeadLetter, *, quietly: bool = False) -> None:
        """Keep and count one letter, pushing out the oldest if there are too many; unless `quietly`, tell of it."""
        self.count += 1
        self._letters.append(letter)
        for subscriber in () if quietly else self._subscribers:
            try:
                subscriber(letter)
            except Exception:
                log.exception("a subscriber to the dead letters raised")

    def subscribe(self, subscriber: Callable[[DeadLetter], None]) -> Callable[[], None]:
        """Call `subscriber` with each letter from now on; call the result to end that. It must be quick."""
        return self._subscribers.add(subscriber)


def log_event(event: Event) -> None:
    """The `on_event` of a system that has no other: crashes and lost messages go to the logger `actors`."""
    match event:
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
            what = (event.path or "-", event.message_type or "-", event.task, event.held_s, event.stack)
            log.warning("actor.loop_held path=%s type=%s task=%s s=%.3f\n%s", *what)
        case ShutdownOverdue():
            log.warning("actor.lingers path=%s after_s=%g", event.path, event.after_s)
        case ShutdownTaskFailed():
            log.error("shutdown.failed phase=%s task=%s problem=%s", event.phase, event.task, event.problem)
        case _:
            log.debug("%r", event)
