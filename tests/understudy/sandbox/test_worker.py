"""Processes that answer many requests: a failing one is replaced within a bounded time."""

import os
from collections.abc import Iterator

import pytest

from understudy.sandbox.spawner import MIB, Program
from understudy.sandbox.worker import SandboxWorker, WorkerFailed, Workers

PROGRAM = Program("tests.understudy.sandbox.endless", memory=256 * MIB, address_space=1024 * MIB)


@pytest.fixture
def workers() -> Iterator[Workers]:
    """Processes of this test."""
    made = Workers(PROGRAM)
    yield made
    made.close()


def test_a_process_answers_many_requests(workers: Workers) -> None:
    """Large requests and replies fill both pipes more than once."""
    large = "é" * 3_000_000
    assert [workers.ask(each, 20) for each in (1, None, large, {"a": [1.5]})] == [1, None, large, {"a": [1.5]}]
    assert len(workers.idle) == 1


@pytest.mark.parametrize("request_", ["work for ever", "end", "announce too much", "no json", "memory"])
def test_a_failed_process_is_replaced(workers: Workers, request_: str) -> None:
    """A crashed, misbehaving or killed process is replaced at the next request."""
    assert workers.ask("ready", 20) == "ready"
    (pid,) = workers.idle
    with pytest.raises(WorkerFailed):
        workers.ask(request_, 300)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert workers.idle == []
    assert workers.ask("again", 20) == "again"


def test_a_slow_process_is_killed(workers: Workers) -> None:
    """The limit is wall-clock time."""
    assert workers.ask("ready", 20) == "ready"
    with pytest.raises(WorkerFailed, match="too long"):
        workers.ask("work for ever", 0.05)
    assert workers.idle == []


def test_a_failed_start_is_reported(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed start raises `WorkerFailed`."""
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(WorkerFailed, match="No such file"):
        workers.ask("ready", 20)


def test_a_process_ends_with_the_server() -> None:
    """A process ends when its input ends."""
    worker = SandboxWorker(PROGRAM)
    assert worker.ask(b'"ready"', 20) == "ready"
    worker.process.stdin.close()
    assert worker.process.wait(20) == 0
    worker.close()
