"""A limit on processor time for code that does not cooperate: a signal interrupts it.

For the main thread of a process of its own (`understudy.chat.answer.render_worker`). Python's regular expressions check
for signals while they match, so even a match that would take minutes ends. Code that does not check (a library in Rust)
is killed by the process's own limit.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

REPEAT_S: Final = 0.05
"""Seconds of processor time after which the signal is repeated, in case its exception was swallowed."""


class CpuTimeExceeded(BaseException):
    """The limit is exceeded. A `BaseException`, so that libraries' `except Exception` does not catch it."""


_deadlines: Final[list[float]] = []  # of the open limits, by `time.process_time`: outermost first, never increasing


def install_handler() -> None:
    """Install the signal handler of `cpu_limit`; call it once, in the main thread."""
    signal.signal(signal.SIGPROF, _on_signal)


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Raise `CpuTimeExceeded` in the block once it has used `seconds` of processor time. Limits may be nested."""
    depth = len(_deadlines)
    _deadlines.append(min([time.process_time() + seconds, *_deadlines[-1:]]))
    _arm()
    try:
        yield
        if time.process_time() > _deadlines[depth]:
            raise CpuTimeExceeded
    finally:
        del _deadlines[depth:]
        _arm()


def _arm() -> None:
    left = max(_deadlines[-1] - time.process_time(), 0.000_1) if _deadlines else 0.0
    signal.setitimer(signal.ITIMER_PROF, left, REPEAT_S)


def _on_signal(_number: int, _frame: FrameType | None) -> None:
    if _deadlines and time.process_time() >= _deadlines[-1]:
        raise CpuTimeExceeded
