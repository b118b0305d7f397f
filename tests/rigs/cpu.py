"""Measure work in the CPU time of its thread, which other load on the machine hardly changes."""

import time
from collections.abc import Callable
from typing import Final

ROUNDS: Final = 3


def cpu_seconds(work: Callable[[], object], bound: float = 0.0) -> float:
    """Return the least CPU seconds of up to three runs of `work`; one run that stays below `bound` is enough."""
    least = float("inf")
    for _ in range(ROUNDS):
        began = time.thread_time()
        work()
        least = min(least, time.thread_time() - began)
        if least < bound:
            break
    return least


def takes_linear_time(work: Callable[[str], object], text: str, quick_s: float) -> bool:
    """Whether `work` takes less than `quick_s` CPU seconds for the text, or no more than linear time allows.

    A slow machine may need longer: then the whole text may take 25 times as long as a tenth of it, where quadratic work
    takes a hundred times as long.
    """
    took_s = cpu_seconds(lambda: work(text), quick_s)
    return took_s < quick_s or took_s <= 25 * cpu_seconds(lambda: work(text[: len(text) // 10]))
