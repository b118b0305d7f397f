"""Keep threads out of C++ code while the interpreter ends.

Before Python 3.14 a daemon thread that returns from C++ code to an interpreter that ends is unwound, for which C++
aborts the process: "terminate called without an active exception", exit code -6. Threads of trio are daemon threads,
and one that scans a text may have been left behind by a cancelled task.
"""

import atexit
import os
import threading
import time
from collections.abc import Callable
from threading import get_ident
from typing import Final, TypeVar

T = TypeVar("T")

LONGEST_S: Final = 5.0
"""Seconds that the interpreter's end waits for a scan. RE2 takes time in proportion to the text."""

_main: int | None = threading.main_thread().ident
"""The thread that ends the interpreter, and so is in no C++ code then."""
_inside: Final[set[int]] = set()  # other threads in C++ code; adding and discarding are atomic
_ending: Final = threading.Event()


def awaited_at_exit(call: Callable[[bytes], T]) -> Callable[[bytes], T]:
    """Return the same call into C++ code, for whose return the interpreter waits before it ends.

    Once the interpreter ends, a thread that calls it stays in it for ever, unless it is the main thread.
    """

    def guarded(data: bytes) -> T:
        me = get_ident()
        if me == _main:
            return call(data)
        _inside.add(me)
        try:
            if not _ending.is_set():
                return call(data)
        finally:
            _inside.discard(me)
        while True:
            threading.Event().wait()

    return guarded


@atexit.register
def _wait_for_calls() -> None:
    _ending.set()
    end = time.monotonic() + LONGEST_S
    while _inside and time.monotonic() < end:
        time.sleep(0.001)


def _begin_again() -> None:
    """Know the only thread of a forked process."""
    global _main
    _main = get_ident()
    _inside.clear()


os.register_at_fork(after_in_child=_begin_again)
