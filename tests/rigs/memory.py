"""Measure what a piece of work leaves in memory."""

import gc
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from attrs import define

ASIDE: Final = (tracemalloc.Filter(False, "*/execnet/*"), tracemalloc.Filter(False, "*/xdist/*"))
"""What the threads allocate that bring the tests to this process."""


@define
class Kept:
    """The bytes that were allocated in a block and are still held at its end; 0 until then."""

    size: int = 0


@contextmanager
def kept_bytes() -> Iterator[Kept]:
    """Measure what the block keeps. Objects that only the garbage collector can free do not count."""
    kept = Kept()
    _collect()
    tracemalloc.start()
    try:
        yield kept
        _collect()
        kept.size = sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(ASIDE).traces)
    finally:
        tracemalloc.stop()


def _collect() -> None:
    """Collect all garbage, which a call does not do while another thread collects."""
    collections = gc.get_stats()[-1]["collections"]
    while gc.get_stats()[-1]["collections"] == collections:
        gc.collect()
        time.sleep(0.001)
