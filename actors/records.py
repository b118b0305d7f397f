"""What the runtime tells: plain records for `ActorSystem`'s `on_event`, and the bounded list of dead letters.

Messages are named by their type only. What a user wrote never reaches a log through here.
"""

from __future__ import annotations

import logging
import traceback
from collections import deque
from collections.abc import Callable, Iterator

from attrs import field, frozen

from .exits import Exit
from .strategy import Decision

log = logging.getLogger("actors")


@frozen
class ActorStarted:
    """An incarnation runs; the first has number 1."""

    path: str
    incarnation: int


@frozen
class ActorCrashed:
    """An incarnation ended by an error or was killed; sent once for each, with the decision taken.

    `message_type` names the type of the message in work, or is None; `traceback` is text, empty for a kill.
    """

    path: str
    incarnation: int
    reason: Exit
    message_type: str | None
    traceback: str = field(repr=False)
    decision: Decision


@frozen
class ActorRestarting:
    """A child will get its next incarnation after `delay_s` seconds; `restarts` counts from the first."""

    path: str
    restarts: int
    delay_s: float


@frozen
class ActorStopped:
    """An actor ended for good: its reference is dead."""

    path: str
    reason: Exit


@frozen
class DeadLetter:
    """A message that reached nobody: `why` is `dead`, `stopped` or `overflow`. Its repr shows the type only."""

    path: str
    lane: str
    message: object = field(repr=lambda message: type(message).__name__)
    why: str


@frozen
class MessageUnhandled:
    """An actor got a message it does not know, and lives on."""

    path: str
    message_type: str


Event = ActorStarted | ActorCrashed | ActorRestarting | ActorStopped | DeadLetter | MessageUnhandled
"""Everything `on_event` is called with."""


class DeadLetters:
    """The last dead letters, and the count of all. Iterate over it to read them, the oldest first."""

    def __init__(self, capacity: int = 1000) -> None:
        self._letters: deque[DeadLetter] = deque(maxlen=capacity)
        self._subscribers: list[Callable[[DeadLetter], None]] = []
        self.count = 0

    def __iter__(self) -> Iterator[DeadLetter]:
        return iter(tuple(self._letters))

    def __len__(self) -> int:
        return len(self._letters)

    def add(self, letter: DeadLetter) -> None:
        """Keep and count one letter, push out the oldest if there are too many, and tell the subscribers."""
        self.count += 1
        self._letters.append(letter)
        for subscriber in tuple(self._subscribers):
            subscriber(letter)

    def subscribe(self, subscriber: Callable[[DeadLetter], None]) -> Callable[[], None]:
        """Call `subscriber` with each letter from now on; call the result to end that. It must be quick."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber) if subscriber in self._subscribers else None


def log_event(event: Event) -> None:
    """The `on_event` of a system that has no other: crashes and lost messages go to the logger `actors`."""
    match event:
        case ActorCrashed():
            log.error("actor.crashed path=%s decision=%s\n%s", event.path, event.decision.value, event.traceback)
        case DeadLetter():
            log.debug("actor.dead_letter path=%s type=%s why=%s", event.path, type(event.message).__name__, event.why)
        case MessageUnhandled():
            log.warning("actor.unhandled path=%s type=%s", event.path, event.message_type)
        case _:
            log.debug("%r", event)


def traceback_text(error: BaseException) -> str:
    """The traceback of `error` and of its causes, as Python prints it."""
    return "".join(traceback.format_exception(error))
