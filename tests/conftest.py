"""What holds for every test: no step of a task holds the loop for long, and Ctrl-C is heard."""

import gc
import signal
import time
from typing import Any

import pytest
import trio

from actors import incarnation

pytest_plugins = ["tests.servers.fixtures"]

LONGEST_S = 0.25
"""Most CPU seconds of one step. The product aims at a millisecond; a virtual machine counts what its host took from it
as CPU time of the step, so a shorter limit fails on a busy host."""


@pytest.fixture
def one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told together is taken together: a batch is not cut short in a process that is held up."""
    monkeypatch.setattr(incarnation, "BATCH_S", 10.0)


class Steps(trio.abc.Instrument):
    """Measures every step of every task, and remembers the ones that took too long."""

    # In the thread's CPU time, so that only what was done here counts, and not what other processes did meanwhile on
    # the same cores, nor worker threads with the interpreter's lock. Calls that sleep use none and are not found.
    # Without that of the garbage collector: it goes through all that the test process holds, whoever's turn it is.

    def __init__(self) -> None:
        self.long: list[str] = []
        self._began: float | None = None  # None in the step in which the instrument was installed
        self._collecting_since = 0.0
        self._collected_s = 0.0

    def before_run(self) -> None:
        gc.callbacks.append(self._collector)

    def after_run(self) -> None:
        gc.callbacks.remove(self._collector)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._collected_s = 0.0
        self._began = time.thread_time()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._began is None:
            return
        took_s = time.thread_time() - self._began - self._collected_s
        if took_s > LONGEST_S:
            frames = [frame for frame, _ in task.iter_await_frames() if "/trio/" not in frame.f_code.co_filename]
            where = f"{frames[-1].f_code.co_filename}:{frames[-1].f_lineno}" if frames else "its end"
            self.long.append(f"{task.name} took {took_s * 1000:.0f} ms up to {where}")

    def _collector(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._collecting_since = time.thread_time()
        else:
            self._collected_s += time.thread_time() - self._collecting_since


def run_in_short_steps(main: Any, *, clock: Any, instruments: list[trio.abc.Instrument]) -> None:
    """Run a test as pytest-trio does, and fail it when a step of any task took too long."""
    steps = Steps()
    trio.run(main, clock=clock, instruments=[*instruments, steps])
    if steps.long:
        pytest.fail("work that takes long belongs into a worker thread: " + "; ".join(steps.long), pytrace=False)


@pytest.fixture(autouse=True, scope="session")
def _interrupts_are_heard() -> None:
    """A shell's background jobs are started with Ctrl-C ignored, and so would be whatever the tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _steps_are_short(request: pytest.FixtureRequest) -> None:
    """Watch the steps of each trio test, but for those marked `blocking`.

    pytest-trio runs a test by its nearest `trio` marker's `run`; async fixtures, which could add the instrument from
    within, would fail for the tests that are not async. Tests by hypothesis have a runner of their own.
    """
    node = request.node
    if node.get_closest_marker("trio") is not None and node.get_closest_marker("blocking") is None:
        node.add_marker(pytest.mark.trio(run=run_in_short_steps), append=False)
