"""Virtual time: an hour passes in milliseconds, in the same order of events on every machine.

Run a test under `virtual_time()` and trio's clock jumps to the next deadline whenever every task waits. A task that
waits for something outside of trio (a call in a worker thread, a socket, a subprocess) waits too, so time jumps over
the deadlines around it at once. Keep threads out of such tests, or give the clock a threshold of real seconds to wait
before a jump: `trio.testing.MockClock(autojump_threshold=0.05)`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import trio
import trio.testing


def virtual_time() -> trio.testing.MockClock:
    """Return a clock for `trio.run(..., clock=...)` that starts at 0 and jumps to the next deadline when all wait."""
    return trio.testing.MockClock(autojump_threshold=0)


async def settle() -> None:
    """Wait until every other task waits for a message, a deadline or a thread. No virtual time passes."""
    await trio.testing.wait_all_tasks_blocked()


async def advance(seconds: float) -> None:
    """Let exactly that much virtual time pass, run everything due in it in order, then settle.

    Works on any `trio.testing.MockClock`, whether it jumps by itself or not. Raises `TypeError` under a clock that
    cannot be moved, and `ValueError` for a negative number.
    """
    clock = trio.lowlevel.current_clock()
    if not isinstance(clock, trio.testing.MockClock):
        raise TypeError("advance needs virtual time: run under virtual_time()")
    if seconds < 0:
        raise ValueError("time cannot go backwards")
    end = clock.current_time() + seconds
    await settle()
    while (now := clock.current_time()) < end:
        to_next_s = trio.lowlevel.current_statistics().seconds_to_next_deadline
        clock.jump(max(0.0, min(to_next_s, end - now)))
        await settle()


async def eventually(check: Callable[[], object], timeout_s: float = 5.0, every_s: float = 0.1) -> None:
    """Call `check` until it raises no `AssertionError`; after `timeout_s` seconds, raise its last one.

    `check` may be a coroutine function. Its other errors are raised at once.
    """
    end = trio.current_time() + timeout_s
    while True:
        try:
            result = check()
            if inspect.isawaitable(result):
                await result
        except AssertionError:
            if trio.current_time() >= end:
                raise
            await trio.sleep(every_s)
        else:
            return
