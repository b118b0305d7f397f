"""A migrated database to start from, and rows that are like real ones."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from understudy.storage import (
    Change,
    Database,
    File,
    LoggedEvent,
    Message,
    Run,
    RunEnd,
    Step,
    Thread,
    open_database,
)


class Make:
    """Builds rows with everything filled in; keyword arguments replace what a test is about."""

    def thread(self, owner: str = "ann", thread_id: str = "t1", **fields: Any) -> Thread:
        thread = Thread(owner, thread_id, "A title", "guide", None, 100.0, 100.0)
        return evolve(thread, **fields)

    def message(self, owner: str = "ann", thread_id: str = "t1", message_id: str = "m1", **fields: Any) -> Message:
        message = Message(owner, message_id, thread_id, "r1", "user", "Hello", "guide", None, "accepted", 101.0)
        return evolve(message, **fields)

    def run(self, owner: str = "ann", thread_id: str = "t1", run_id: str = "r1", **fields: Any) -> Run:
        run = Run(run_id, owner, thread_id, "m1", "guide_1", "guide", None, "running", 101.0)
        return evolve(run, **fields)

    def step(self, number: int, run_id: str = "r1", **fields: Any) -> Step:
        step = Step(run_id, number, "tool", "sum", f"c{number}", {"a": [1, 2]}, {"sum": 3}, "ok", 102.0, 103.0)
        return evolve(step, **fields)

    def file(self, owner: str = "ann", file_id: str = "0" * 32, **fields: Any) -> File:
        return evolve(File(owner, file_id, "notes.txt", "text/plain", 5, "ab" * 32, 104.0), **fields)

    def events(self, first: int, last: int, run_id: str | None = "r1", note: str = "") -> tuple[LoggedEvent, ...]:
        numbers = range(first, last + 1)
        return tuple(
            LoggedEvent(n, "agent_thinking", run_id, f'{{"seq":{n},"note":"{note}"}}'.encode()) for n in numbers
        )

    def change(self, owner: str = "ann", thread_id: str = "t1", **parts: Any) -> Change:
        return Change(owner, thread_id, **parts)

    def opening(self, owner: str = "ann", thread_id: str = "t1", run_id: str = "r1", **fields: Any) -> Change:
        """What a conversation stores when it accepts its first message."""
        return Change(
            owner,
            thread_id,
            events=self.events(1, 1, run_id),
            thread=self.thread(owner, thread_id, **fields),
            messages=(self.message(owner, thread_id, f"m-{thread_id}", run_id=run_id),),
            run=self.run(owner, thread_id, run_id, message_id=f"m-{thread_id}"),
        )

    def ending(self, run_id: str = "r1", status: str = "success", ended_at: float = 110.0) -> RunEnd:
        return RunEnd(run_id, status, ended_at)


@pytest.fixture
def make() -> Make:
    """Builds rows."""
    return Make()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder at the newest schema, to be copied: running the migrations takes a tenth of a second."""
    folder = tmp_path_factory.mktemp("migrated")
    open_database(folder).close()
    return folder


@pytest.fixture
def folder(migrated: Path, tmp_path: Path) -> Path:
    """A data folder of the test's own, at the newest schema."""
    return Path(shutil.copytree(migrated, tmp_path / "data"))


@pytest.fixture
def database(folder: Path) -> Iterator[Database]:
    """The database of `folder`, open."""
    database = open_database(folder)
    yield database
    database.close()
