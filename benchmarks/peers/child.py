"""What the process of every Python peer does: take orders from its input, measure, answer with one number each.

Needs the standard library only: a peer may live in an environment, and on a Python, of its own. The first line out is
`<what this is> | <figures it has>`; then each order `<figure> <count>` is answered by a number, or by `! <error>`.
"""

from __future__ import annotations

import gc
import os
import platform
import sys
import tracemalloc
from collections.abc import Callable, Mapping
from time import perf_counter

BURST = 1_000
"""Messages told in a row before the sender waits until all are handled; bounded mailboxes hold twice as many."""
GROUP = 100
"""Actors that live at once while starts are timed; they are stopped together, untimed."""

Measure = Callable[[int], float]


class Add:
    """Add to the count; nobody waits."""

    __slots__ = ("number",)
    __match_args__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


class Read:
    """Answer with the count."""

    __slots__ = ()


class First:
    """The first message of a new actor: its handling notes the moment in `at`, in seconds of `perf_counter`."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at = 0.0

    def note(self) -> None:
        """Now it is handled."""
        self.at = perf_counter()


class Boom:
    """Crash: for peers that have supervision but no kill."""

    __slots__ = ()


class Count:
    """The counter that every peer is: its state, and the pattern match over its messages."""

    seen = 0

    def take(self, message: object) -> int:
        """Handle one message; return the count."""
        match message:
            case Add(number):
                self.seen += number
            case Read():
                pass
            case First():
                message.note()
            case Boom():
                raise RuntimeError("told to crash")
        return self.seen


class Held:
    """Bytes that come to be held after it is made: resident in memory, or requested from Python's allocator."""

    def __init__(self, *, traced: bool) -> None:
        gc.collect()
        self._traced = traced
        if traced:
            tracemalloc.start()
        self._before = self._now()

    def each(self, count: int) -> float:
        """The bytes held since then, for each of `count` things."""
        gc.collect()
        held = self._now() - self._before
        tracemalloc.stop()
        return held / count

    def _now(self) -> int:
        return tracemalloc.get_traced_memory()[0] if self._traced else resident_bytes()


def resident_bytes() -> int:
    """The memory this process has from the system, in bytes."""
    with open("/proc/self/statm") as statistics:
        return int(statistics.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def serve(what: str, measures: Mapping[str, Measure]) -> None:
    """Answer orders until the input ends. What the peer itself prints goes to the error output."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    print(f"{what}, Python {platform.python_version()} | {' '.join(measures)}", file=answers)
    for order in sys.stdin:
        figure, count = order.split()
        gc.collect()
        try:
            print(repr(measures[figure](int(count))), file=answers)
        except Exception as error:
            print(f"! {type(error).__name__}: {error}".splitlines()[0], file=answers)
