"""A limit on processor time for code that cannot be asked to stop: it is interrupted by a signal.

For the main thread of a process of its own (`understudy.chat.answer.render_worker`). Python's regular expressions look
for signals while they match, so even one match that would take minutes ends. What does not look (a library in Rust) is
ended by the process's own limit.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

REPEAT_S: Final = 0.05
"""After so much more time the signal comes again, if what it raised was swallowed on its way out."""


class CpuTimeExceeded(BaseException):
    """The limit is reached. Not an `Exception`: no library's handler of errors may take it for one of its own."""


_deadlines: Final[list[float]] = []  # of the open limits, on `time.process_time`; inner ones last, and never later


def install_handler() -> None:
    """Prepare this process for `cpu_limit`; call it once, in the main thread."""
    signal.signal(signal.SIGPROF, _on_signal)


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Raise `CpuTimeExceeded` in the block once it has used so much processor time; limits may be nested."""
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
