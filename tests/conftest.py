"""Fixtures of every test: a limit for the CPU time of a task's step, and a working Ctrl-C."""

import gc
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, settings

from actors import serving
from tests import durations, proof, spread

pytest_plugins = ["tests.servers.fixtures"]
pytest.register_assert_rewrite("tests.rigs")

LONGEST_S = 0.5
"""Most CPU seconds of one step. The product aims at a millisecond; a virtual machine counts what its host took from it
as CPU time of the step, so the limit leaves room for a busy host."""

settings.register_profile(
    "random",
    settings.get_profile(settings.get_current_profile_name()),
    deadline=None,  # these two measure by the wall clock, which other programs of the machine hold up
    suppress_health_check=[HealthCheck.too_slow],
)
# The same cases at each run: what a change has not broken is not found beside it. The proof draws others each time.
settings.register_profile("repeatable", settings.get_profile("random"), derandomize=True)
settings.load_profile("repeatable")

ROOT = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of `tests/durations.py`, `tests/proof.py` and `tests/rigs/server.py`."""
    parser.addoption("--durations-to", type=Path, help="append the seconds of tests and fixtures to this file")
    parser.addoption("--proof", metavar="PART,…", help="run these parts of the proof, `all` for every one")
    parser.addoption("--wakeups", choices=("postgresql", "redis"), default="postgresql", help="what wakes nodes")


class FailureNames:
    """Names a failed test at once: the summary of a run comes minutes later."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal: Any = self.config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and terminal is not None:
            terminal.write_line(f"FAILED {report.nodeid} ({report.when})")


def pytest_configure(config: pytest.Config) -> None:
    """Record the durations if a file for them is given; each process of a run records its own tests."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(FailureNames(config), "failure names")
    path = config.getoption("--durations-to")
    if path is not None and (hasattr(config, "workerinput") or not config.getoption("numprocesses", None)):
        config.pluginmanager.register(durations.Recorder(path), "durations")


def pytest_collection() -> None:
    """Collect the tests without the garbage collector: it would walk the growing heap again and again."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Leave what collection made out of all later garbage collections: it stays until the end.

    Its garbage is collected first: the classes that attrs has replaced by slotted ones would stay subclasses.
    """
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True, scope="module")
def _collections_are_short() -> Iterator[None]:
    """Leave what a module's tests leave out of later collections, too.

    A process is at a gigabyte in the end. To walk that took the collector seconds in the middle of a test, and more
    beside other programs: PostgreSQL took a transaction for an abandoned one.
    """
    yield
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let the interpreter free everything as it ends: libraries like DuckDB print warnings of leaks otherwise."""
    gc.unfreeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what belongs to the proof, unless it is asked for or named by its id, and put long files first."""
    wanted = config.getoption("--proof")
    if wanted is not None or not any("::" in str(arg) for arg in config.args):
        chosen = proof.select(items, wanted)
        kept = set(chosen)
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = chosen
    items[:] = spread.longest_first(items, spread.recorded())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Say how many processes `--numprocesses=auto` is."""
    return spread.processes(len(os.sched_getaffinity(0)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> spread.Spread | None:
    """Spread the tests as `tests/spread.py` says if `--dist=loadfile` is given."""
    return spread.Spread(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture
def one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an actor process all queued messages in one batch, also on a slow machine."""
    monkeypatch.setattr(serving, "BATCH_S", 10.0)


class Steps(trio.abc.Instrument):
    """Measures every step of every task and records those above `LONGEST_S`."""

    # The thread's CPU time leaves out other processes on the same cores and worker threads that hold the GIL. Calls
    # that sleep use none and are not detected. The garbage collector's time is subtracted: it depends on all objects of
    # the test process, not on the step in which it happens to run. A step that imports modules is not measured: which
    # test is the first to use a module depends on how the tests are spread, and a server has them after its first use.

    def __init__(self) -> None:
        self.long: list[str] = []
        self._began: float | None = None  # None in the step in which the instrument was installed
        self._modules = 0
        self._collecting_since = 0.0
        self._collected_s = 0.0

    def before_run(self) -> None:
        gc.callbacks.append(self._collector)

    def after_run(self) -> None:
        gc.callbacks.remove(self._collector)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._collected_s = 0.0
        self._modules = len(sys.modules)
        self._began = time.thread_time()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._began is None:
            return
        took_s = time.thread_time() - self._began - self._collected_s
        if took_s > LONGEST_S and len(sys.modules) == self._modules:
            frames = [frame for frame, _ in task.iter_await_frames() if "/trio/" not in frame.f_code.co_filename]
            where = f"{frames[-1].f_code.co_filename}:{frames[-1].f_lineno}" if frames else "its end"
            self.long.append(f"{task.name} took {took_s * 1000:.0f} ms up to {where}")

    def _collector(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._collecting_since = time.thread_time()
        else:
            self._collected_s += time.thread_time() - self._collecting_since


def run_in_short_steps(main: Any, *, clock: Any, instruments: list[trio.abc.Instrument]) -> None:
    """Run a test as pytest-trio does, and fail it if a step of any task took too long."""
    steps = Steps()
    trio.run(main, clock=clock, instruments=[*instruments, steps])
    if steps.long:
        pytest.fail("work that takes long belongs into a worker thread: " + "; ".join(steps.long), pytrace=False)


@pytest.fixture(autouse=True, scope="session")
def _interrupts_are_heard() -> None:
    """Restore Ctrl-C: a shell starts background jobs with SIGINT ignored, and child processes would inherit that."""
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
