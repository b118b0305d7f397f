"""The commands to the actors of the random trees."""

from __future__ import annotations

from typing import ClassVar

from attrs import field, frozen

from actors.ask import Ask
from actors.ref import ActorRef
from actors.testing.stress.plan import Traits


class Hang:
    """Do not come back before the faults are over."""


SHUT = "shut"
"""The key of the timer that ends `Shut`."""


@frozen
class Slow:
    """Take this long."""

    seconds: float


class StopSelf:
    """Stop yourself."""


@frozen
class WatchActor:
    """Watch an actor."""

    ref: ActorRef
    vital: bool
    restarts: bool
    urgent: bool


@frozen
class Unwatch:
    """After this time, do not watch them any more."""

    ref: ActorRef
    after_s: float = 0.0


@frozen
class SetTimer:
    """After this time, set a timer, again if it is set."""

    key: str
    delay_s: float
    after_s: float = 0.0


@frozen
class Shut:
    """Set notes and requests aside for this time."""

    seconds: float


@frozen
class Background:
    """Start a task of your own that ends, or fails, after this time."""

    seconds: float
    error: Exception | None


@frozen
class Spawn:
    """Start a child, and wait for it."""

    traits: Traits


@frozen(eq=False)
class Echo(Ask[int]):
    """Answer with the value after this time: from the handler, or from a task of its own."""

    value: int
    after_s: float = 0.0
    own_task: bool = False


@frozen(eq=False)
class MustFinishEcho(Echo):
    """An `Echo` that must be handled to its end, even if its caller leaves."""

    must_finish: ClassVar[bool] = True


@frozen(eq=False)
class Relay(Ask[int]):
    """Ask the first of these actors, which asks the next, and answer with its answer; the last one just answers."""

    value: int
    to: tuple[ActorRef, ...]


@frozen(eq=False)
class NeverAnswer(Ask[int]):
    """Never answer."""

    value: int = field(default=0)
