"""Rates: megabytes a second of CPU time, microseconds a piece."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Final

from attrs import frozen

from sanitization import Action, Category, Direction, Sanitizer, StreamSanitizer, everywhere

PIECE: Final = 12
"""Characters of a streamed piece: about three tokens of a model."""
ALL_ON: Final = everywhere(dict.fromkeys(Category, Action.REMOVE))
MB: Final = 1e6


@frozen
class Delta:
    """Microseconds for a streamed piece: median, mean, and 99th percentile."""

    median_us: float
    mean_us: float
    p99_us: float


def sanitizer() -> Sanitizer:
    """Return a sanitizer with every detector, in one direction."""
    return Sanitizer(ALL_ON, Direction.OUTBOUND)


def size(text: str) -> int:
    """Return the number of bytes in UTF-8."""
    return len(text.encode("utf-8", "surrogatepass"))


def mb_s(work: Callable[[str], object], text: str, rounds: int) -> float:
    """Return megabytes a second, the median of some rounds after a warm-up."""
    work(text[: len(text) // 10])
    return statistics.median(size(text) / MB / _seconds(work, text) for _ in range(rounds))


def _seconds(work: Callable[[str], object], text: str) -> float:
    began = time.process_time()
    work(text)
    return max(time.process_time() - began, 1e-9)


def delta(text: str, before: str) -> Delta:
    """Measure the time for a piece after `before` has been streamed."""
    stream = StreamSanitizer(ALL_ON)
    stream.feed(before)
    took = []
    for start in range(0, len(text), PIECE):
        piece = text[start : start + PIECE]
        began = time.perf_counter_ns()
        stream.feed(piece)
        took.append((time.perf_counter_ns() - began) / 1_000)
    return Delta(statistics.median(took), statistics.fmean(took), statistics.quantiles(took, n=100)[98])


def message_us(messages: Sequence[str]) -> float:
    """Return the mean microseconds for one of these messages, each sanitized alone."""
    whole = sanitizer()
    whole.sanitize(messages[0])
    began = time.process_time()
    for message in messages:
        whole.sanitize(message)
    return (time.process_time() - began) / len(messages) * 1e6
