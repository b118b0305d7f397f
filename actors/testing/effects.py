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
    """The actor put a message into the mailbox of `to`, by `tell` or by `send`."""

    to: str
    message: object
    lane: Lane = Lane.NORMAL


@frozen
class Asked:
    """The actor asked `to`, and waits for the answer. `request.reply` gives one."""

    to: str
    request: Ask[Any]
    timeout_s: float


@frozen
class Replied:
    """The actor answered a request."""

    request: Ask[Any]
    value: object


@frozen
class Refused:
    """The actor let a request fail."""

    request: Ask[Any]
    error: Exception


@frozen
class Spawned:
    """The actor started a child, or the runtime did, for a supervisor's own spec."""

    spec: ChildSpec


@frozen
class Watched:
    """The actor watches `to`."""

    to: str
    vital: bool = False
    restarts: bool = False
    urgent: bool = False


@frozen
class Unwatched:
    """The actor watches `to` no more."""

    to: str


@frozen
class Outlived:
    """The actor called `outlive` for `to`."""

    to: str


@frozen
class TimerSet:
    """The actor set a timer: `message` after `delay_s` seconds, then every `every_s` seconds if that is set."""

    key: Hashable
    delay_s: float
    message: object
    every_s: float | None = None


@frozen
class TimerCancelled:
    """The actor cancelled a timer, whether or not one was set."""

    key: Hashable


@frozen
class TaskStarted:
    """The actor started a task of its own. The task does not run: a test may await `function(*args)`."""

    function: Callable[..., Awaitable[object]]
    args: tuple[Any, ...] = ()
    name: str | None = None


@frozen
class StopOrdered:
    """The actor stopped another actor."""

    to: str
    mode: StopMode = StopMode.AFTER_MESSAGE


@frozen
class KillOrdered:
    """The actor killed another actor."""

    to: str


@frozen
class Stopped:
    """The actor stops itself after the current message."""


@frozen
class SaidHealthy:
    """The actor called `healthy`."""


@frozen
class Unhandled:
    """The actor does not know this message."""

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
