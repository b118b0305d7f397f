"""Where a server's processor time goes: the loop's by layer, sampled, and that of all other threads together.

The timer counts the processor time of the loop's thread alone. One that counted that of the process would mostly fire
while another thread works and the loop waits, and show what the loop had worked before as a wait.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType

FILE = "BENCH_LAYERS"
"""The environment variable that names the file for the counts."""
EVERY_S = 0.001
"""Processor seconds of the loop between two samples; the kernel makes it one of its ticks if that is longer."""
LAYERS = {
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


class _Interval(ctypes.Structure):
    """`struct itimerspec`: seconds and nanoseconds between two signals, and until the first."""

    _fields_ = (("between", ctypes.c_long * 2), ("first", ctypes.c_long * 2))


class _SignalEvent(ctypes.Structure):
    """`struct sigevent` of Linux: which signal is sent to which thread."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("thread", ctypes.c_int),
        ("_rest", ctypes.c_int * 11),
    )


_TO_THREAD = 4  # SIGEV_THREAD_ID


class Sampler:
    """Counts processor seconds by layer. SIGUSR2 writes them to the file as JSON, and begins anew."""

    def __init__(self, file: Path) -> None:
        self.samples: Counter[str] = Counter()
        self._file = file
        self._since = (0.0, 0.0)

    def start(self) -> None:
        """Start in the main thread, which must be this one. Raises OSError."""
        signal.signal(signal.SIGUSR2, self._write)
        signal.signal(signal.SIGPROF, self._sample)
        atexit.register(signal.signal, signal.SIGPROF, signal.SIG_IGN)  # else the last signal would kill the process
        libc, timer = ctypes.CDLL(None, use_errno=True), ctypes.c_void_p()
        event = _SignalEvent(None, signal.SIGPROF, _TO_THREAD, threading.get_native_id())
        every = (ctypes.c_long * 2)(0, round(EVERY_S * 1e9))
        if libc.timer_create(time.CLOCK_THREAD_CPUTIME_ID, ctypes.byref(event), ctypes.byref(timer)) or (
            libc.timer_settime(timer, 0, ctypes.byref(_Interval(every, every)), None)
        ):
            raise OSError(ctypes.get_errno(), "no timer of a thread's processor time")

    def seconds(self) -> dict[str, float]:
        """Return the seconds by layer since the last call: those of the loop, and `threads`. Begin anew."""
        now, since = (time.thread_time(), time.process_time()), self._since
        loop_s, whole_s = (each - before for each, before in zip(now, since, strict=True))
        sampled = sum(self.samples.values())
        by_layer = {layer: loop_s * count / sampled for layer, count in self.samples.items()}
        self.samples.clear()
        self._since = now
        return by_layer | {"threads": whole_s - loop_s}

    def _sample(self, _number: int, frame: FrameType | None) -> None:
        self.samples[layer_of_stack(frame)] += 1

    def _write(self, _number: int, _frame: FrameType | None) -> None:
        whole = self._file.with_suffix(".part")
        whole.write_text(json.dumps(self.seconds()))
        whole.replace(self._file)
