"""The effects of an actor as data, recorded by `Recorder`.

Other actors are named by their paths. Effects are compared by value.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Any

from attrs import frozen

from actors.ask import Ask
from actors.lanes import Lane
from actors.lifecycle import StopMode
from actors.spec import ChildSpec


@frozen
class Told:
    """It put a message into the mailbox of `to`, by `tell` or by `send`."""

    to: str
    message: object
    lane: Lane = Lane.NORMAL


@frozen
class Asked:
    """It asked `to`, and waits for the answer. `request.reply` gives one."""

    to: str
    request: Ask[Any]
    timeout_s: float


@frozen
class Replied:
    """It answered a request."""

    request: Ask[Any]
    value: object


@frozen
class Refused:
    """It let a request fail."""

    request: Ask[Any]
    error: Exception


@frozen
class Spawned:
    """It started a child, or the runtime did, for a supervisor's own spec."""

    spec: ChildSpec


@frozen
class Watched:
    """It watches `to`."""

    to: str
    vital: bool = False
    restarts: bool = False
    urgent: bool = False


@frozen
class Unwatched:
    """It watches `to` no more."""

    to: str


@frozen
class Outlived:
    """It called `outlive` for `to`."""

    to: str


@frozen
class TimerSet:
    """It wants `message` after `delay_s` seconds, and then every `every_s` seconds if that is set."""

    key: Hashable
    delay_s: float
    message: object
    every_s: float | None = None


@frozen
class TimerCancelled:
    """It cancelled a timer; none may have been set."""

    key: Hashable


@frozen
class TaskStarted:
    """It started a task of its own. It does not run: a test may await `function(*args)`."""

    function: Callable[..., Awaitable[object]]
    args: tuple[Any, ...] = ()
    name: str | None = None


@frozen
class StopOrdered:
    """It stopped another actor."""

    to: str
    mode: StopMode = StopMode.AFTER_MESSAGE


@frozen
class KillOrdered:
    """It killed another actor."""

    to: str


@frozen
class Stopped:
    """It stops itself after the current message."""


@frozen
class SaidHealthy:
    """It called `healthy`."""


@frozen
class Unhandled:
    """It does not know this message."""

    message: object


Effect = (
    Told
    | Asked
    | Replied
    | Refused
    | Spawned
    | Watched
    | Unwatched
    | Outlived
    | TimerSet
    | TimerCancelled
    | TaskStarted
    | StopOrdered
    | KillOrdered
    | Stopped
    | SaidHealthy
    | Unhandled
)
"""The type of a recorded effect."""
