"""Measure what a piece of work leaves in memory."""

import gc
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define


@define
class Kept:
    """The bytes that were allocated in a block and are still held at its end; 0 until then."""

    size: int = 0


@contextmanager
def kept_bytes() -> Iterator[Kept]:
    """Measure what the block keeps. Objects that only the garbage collector can free do not count."""
    kept = Kept()
    gc.collect()
    tracemalloc.start()
    try:
        yield kept
        gc.collect()
        kept.size = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
