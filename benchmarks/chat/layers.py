"""Where a server's processor time goes, sampled: by the innermost frame of each thread that belongs to a known layer.

The timer counts the processor time of the whole process, and its signal is handled in the main thread. A sample is
worth what each thread has worked since the last one, so that threads are not mistaken for the loop.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType

FILE = "BENCH_LAYERS"
"""The environment variable that names the file for the counts."""
EVERY_S = 0.002
"""Processor seconds between two samples."""
LAYERS = {
    "/trio/_threads.py": "threads",
    "/trio/_core/_thread_cache.py": "threads",
    "/trio/": "scheduler",
    "/sanitization/": "scrubber",
    "/understudy/content/": "scrubber",
    "/actors/": "actors",
    "/transport/": "transport",
    "/wsproto/": "transport",
    "/understudy/web/": "transport",
    "/understudy/storage/": "storage",
    "/sqlalchemy/": "storage",
    "/psycopg/": "storage",
    "/psycopg_binary/": "storage",
    "/understudy/chat/": "conversation",
    "/understudy/agents/": "conversation",
    "/understudy/tools/": "conversation",
    "/understudy/models/": "model",
    "/benchmarks/chat/": "model",
    "/understudy/": "other",
}
"""Layers by a part of the file's path; the first that fits. Frames of other files count for their callers."""
_CACHE: dict[str, str | None] = {}


def layer_of(file: str) -> str | None:
    """Return the layer of a source file, or None if it belongs to none."""
    if file not in _CACHE:
        _CACHE[file] = next((name for part, name in LAYERS.items() if part in file), None)
    return _CACHE[file]


def layer_of_stack(frame: FrameType | None) -> str:
    """Return the layer of the innermost frame that has one."""
    while frame is not None:
        if (found := layer_of(frame.f_code.co_filename)) is not None:
            return found
        frame = frame.f_back
    return "other"


class Sampler:
    """Counts processor seconds by layer. SIGUSR2 writes them to the file as JSON, and begins anew."""

    def __init__(self, file: Path) -> None:
        self.seconds: Counter[str] = Counter()
        self._file = file
        self._own = threading.get_ident()
        self._worked: dict[int, float] = {}

    def start(self) -> None:
        """Start in the main thread, which must be this one."""
        signal.signal(signal.SIGUSR2, self._write)
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)

    def _sample(self, _number: int, frame: FrameType | None) -> None:
        for ident, current in sys._current_frames().items():
            worked = time.clock_gettime(time.pthread_getcpuclockid(ident))
            spent = worked - self._worked.get(ident, worked)
            self._worked[ident] = worked
            if spent > 0:
                self.seconds[layer_of_stack(frame if ident == self._own else current)] += spent

    def _write(self, _number: int, _frame: FrameType | None) -> None:
        whole = self._file.with_suffix(".part")
        whole.write_text(json.dumps(self.seconds))
        whole.replace(self._file)
        self.seconds.clear()
