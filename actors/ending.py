"""The record of how an incarnation ends, and the split of errors into the actor's own and those that propagate.

1. The first failure makes the exit `Crashed`, unless a kill came before it: then the exit is `Killed`.
2. `trio.Cancelled`, `KeyboardInterrupt` and `SystemExit` leave the tree; every other error is a crash.
"""

from __future__ import annotations

import math
from typing import NoReturn

import trio

from .errors import RaisedBaseException, unwrap
from .exit_reasons import KILLED, NORMAL, Crashed, Exit
from .lifecycle import StopMode
from .timers import Timer

_PASS = (KeyboardInterrupt, SystemExit)


class IncarnationEnd:
    """The end of one incarnation: the order to stop, the first failure, and the progress so far."""

    __slots__ = (
        "failure", "grace_timer", "killed", "killed_before_failure", "no_restart", "stop_mode", "stop_reason",
        "stopping",
    )  # fmt: skip

    def __init__(self) -> None:
        self.stop_mode: StopMode | None = None
        """The mode of the order to stop; None without such an order."""
        self.stop_reason: Exit = NORMAL
        self.failure: Exception | None = None
        self.killed: bool = False
        self.killed_before_failure: bool = False
        self.stopping: bool = False
        """True once the last message is over; the stop hook comes next."""
        self.no_restart: bool = False
        """True if the actor must not get another incarnation, whatever its restart type says."""
        self.grace_timer: Timer | None = None

    @property
    def certain(self) -> bool:
        """Whether the incarnation has ended or certainly will: it was ordered to stop, was killed, or has failed."""
        return self.stopping or self.killed or self.failure is not None or self.stop_mode is not None

    @property
    def at_once(self) -> bool:
        """Whether the current message is cut off too."""
        return self.killed or self.failure is not None or self.stop_mode is StopMode.NOW

    @property
    def before_next_message(self) -> bool:
        """Whether the actor must not take another message."""
        return self.at_once or self.stop_mode is StopMode.AFTER_MESSAGE

    def reason(self) -> Exit:
        """The exit of the incarnation, as far as it is known now."""
        if self.failure is not None and not self.killed_before_failure:
            return Crashed(self.failure)
        return KILLED if self.killed else self.stop_reason

    def record_failure(self, error: Exception) -> None:
        """Record the first error. After a kill it is reported, but is not the exit."""
        if self.failure is None:
            self.failure = error
            self.killed_before_failure = self.killed


class _NoEnding(IncarnationEnd):
    """The shared ending of all incarnations that go on. Writing to it raises `AttributeError`."""

    __slots__ = ("_sealed",)

    def __init__(self) -> None:
        super().__init__()
        self._sealed = True

    def __setattr__(self, name: str, value: object) -> None:
        if hasattr(self, "_sealed"):
            self._refuse(name)
        super().__setattr__(name, value)

    def _refuse(self, name: str) -> NoReturn:
        raise AttributeError(f"{name} is set at the end of no incarnation: call `Incarnation.end` first")


NOT_ENDING = _NoEnding()


def split_error(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """Split an error into the part that must leave the tree and the part that is the actor's crash; either may be None.

    `Cancelled`, `KeyboardInterrupt` and `SystemExit` leave the tree: see `must_propagate`.
    """
    if isinstance(error, BaseExceptionGroup):
        return error.split(lambda inner: not isinstance(inner, BaseExceptionGroup) and must_propagate(inner))
    return (error, None) if must_propagate(error) else (None, error)


def must_propagate(error: BaseException) -> bool:
    """Whether the error must leave the tree instead of going to the supervisor.

    A `trio.Cancelled` does if a scope around the actor is cancelled. Otherwise it was kept, and raised outside of its
    scope: a crash. So is a `GeneratorExit`, unless Python throws it into the coroutine after the end of the trio run.
    """
    if isinstance(error, GeneratorExit):
        return not trio.lowlevel.in_trio_run()
    if isinstance(error, trio.Cancelled):
        return trio.current_effective_deadline() == -math.inf
    return isinstance(error, _PASS)


def as_exception(path: str, error: BaseException) -> Exception:
    """Return the error for the supervisor to decide on, wrapped in `RaisedBaseException` if it is no `Exception`."""
    error = unwrap(error)
    if isinstance(error, Exception):
        return error
    wrapped = RaisedBaseException(path, type(error).__name__)
    wrapped.__cause__ = error
    return wrapped
