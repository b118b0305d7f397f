"""The memory of a process that serves, and why one does not start."""

import errno
import subprocess
import sys

import pytest

from understudy.app import serve
from understudy.app.serve import explain_no_start
from understudy.app.settings import Settings

COLLECTING = """
import gc, threading, time
from understudy.app import serve

collecting, ended, full, before = threading.Event(), threading.Event(), [], gc.get_freeze_count()

def hold(phase, info):
    if phase == "start" and threading.current_thread() is other:
        collecting.set()
        ended.wait()
    elif phase == "start" and info["generation"] == 2:
        full.append(gc.get_freeze_count())

other = threading.Thread(target=lambda: gc.collect(0))
gc.callbacks.append(hold)
other.start()
collecting.wait()
threading.Timer(0.2, ended.set).start()
serve.tune_garbage_collector()
print([count - before for count in full])
"""
"""Another thread is collecting, in a callback of which the interpreter has gone to the thread that tunes."""

HOLES = """
import random
from pathlib import Path

import trio

from understudy.app import serve

def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

serve.share_heap()
serve.RETURN_S = 0.05
kept = [bytes(6000) for _ in range(10_000)]
kept[::2] = [b""] * 5_000  # 30 MB of holes, which the C library keeps
before = resident()
warmed = []

async def warm_up() -> None:
    warmed.append(True)

async def main() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve.return_memory_often, warm_up)
        with trio.fail_after(30):
            while before - resident() < 5_000_000:
                await trio.sleep(0.05)
        nursery.cancel_scope.cancel()

trio.run(main)
assert warmed == [True]
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_holes_of_the_heap_are_returned_while_the_server_works() -> None:
    assert serve.RETURN_S == 60
    done = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("error", "port", "sentence"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), 80, "127.0.0.1, port 80: Permission denied; ports below"),
        (PermissionError(errno.EACCES, "Permission denied"), 8002, "127.0.0.1, port 8002: Permission denied"),
        (OSError(errno.EADDRINUSE, "Address already in use"), 80, "127.0.0.1, port 80: Address already in use"),
        (PermissionError(errno.EACCES, "Permission denied", "/data"), 80, "/data: Permission denied"),
        (ValueError("no agent"), 80, "no agent"),
    ],
)
def test_why_it_does_not_start(error: Exception, port: int, sentence: str) -> None:
    """The system does not name the address that it refuses, nor what would be allowed."""
    reason = explain_no_start(error, Settings(port=port))
    assert reason.startswith(sentence)
    assert ("--port" in reason) == (sentence.endswith("below"))


def test_all_is_collected_before_it_is_frozen_also_if_another_thread_collects_just_then() -> None:
    done = subprocess.run([sys.executable, "-c", COLLECTING], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[0]\n"


def test_a_start_does_not_wait_for_detectors() -> None:
    """The first text, or line of the log, imports them, after the server is ready."""
    program = "import sys, understudy.app.server; print('sanitization.detectors' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"
