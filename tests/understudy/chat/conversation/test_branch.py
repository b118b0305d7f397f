"""What a conversation knows of its newest branch: the same as the store has, or nothing."""

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import define, evolve, field
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from understudy.chat.conversation import branch
from understudy.chat.conversation.branch import RecentBranch
from understudy.storage import queries
from understudy.storage.changes import Change
from understudy.storage.records import WIDGET, History, Message, RunEnd, RunRecord, StepRecord, Thread
from understudy.storage.sqlite import SqliteDatabase, open_database
from understudy.storage.writer import commit_group
from understudy.wire.events import ANSWER

DOINGS = (
    "say", "say", "say", "edit", "widget", "again", "step", "later step", "summary", "end", "end", "fail", "reopen",
)  # fmt: skip


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteDatabase]:
    """A database that all examples share: each has a thread of its own."""
    database = open_database(Path(tmp_path_factory.mktemp("branch")))
    yield database
    database.close()


@define
class Talk:
    """A thread in the store, with the branch that is told of each change."""

    database: SqliteDatabase
    owner: str
    branch: RecentBranch = field(factory=RecentBranch)
    said: list[Message] = field(factory=list)
    open: list[str] = field(factory=list)
    ended: list[str] = field(factory=list)
    runs: int = 0

    def commit(self, **parts: object) -> None:
        change = Change(self.owner, "t", **parts)
        with self.database.writing.connect() as connection:
            assert commit_group(connection, (change,)) == [True]
        self.branch.committed(change)

    def stored(self, run_id: str) -> History:
        message = next(asked_by for asked_by in self.said if run_id in self.answering[asked_by.id])
        with self.database.reading.begin() as connection:
            return queries.history(connection, self.owner, message.id, 100)

    answering: dict[str, list[str]] = field(factory=dict)

    def say(self, after: str | None, prefix: str = "m") -> str:
        """Accept a message that follows the answer of a run."""
        run_id, self.runs = f"{self.owner}-{self.runs}", self.runs + 1
        name, parent = f"{prefix}{run_id}", None if after is None else ANSWER + after
        message = Message(self.owner, name, "t", run_id, "user", f"said {run_id}", "a", None, "accepted", 1.0)
        message = evolve(message, parent_id=parent)
        thread = Thread(self.owner, "t", "T", "a", None, 1.0, 1.0) if self.runs == 1 else None
        self.said.append(message)
        self.answering[name] = [run_id]
        self.commit(thread=thread, messages=(message,), run=self.run(run_id, name))
        self.open.append(run_id)
        return run_id

    def again(self, message: Message) -> None:
        run_id, self.runs = f"{self.owner}-{self.runs}", self.runs + 1
        self.answering[message.id].append(run_id)
        self.commit(run=self.run(run_id, message.id))
        self.open.append(run_id)

    def run(self, run_id: str, message_id: str) -> RunRecord:
        return RunRecord(run_id, self.owner, "t", message_id, None, "a", None, "running", 1.0)

    def step(self, run_id: str, number: int, kind: str = "tool") -> None:
        arguments = {"first_run": run_id} if kind == "summary" else {"n": [number, "ä"]}
        self.commit(steps=(StepRecord(run_id, number, kind, "sum", None, arguments, {"r": 1}, "ok", 1.0, 2.0),))

    def end(self, run_id: str, *, answered: bool) -> None:
        self.open.remove(run_id)
        self.ended.append(run_id)
        status = "success" if answered else "failed"
        question = next(name for name, runs in self.answering.items() if run_id in runs)
        answer = Message(self.owner, ANSWER + run_id, "t", run_id, "assistant", "yes", "a", None, status, 2.0)
        messages = (evolve(answer, parent_id=question),) if answered else ()
        self.commit(messages=messages, run_end=RunEnd(run_id, status, 2.0))

    def check(self) -> int:
        """Compare what is known with the store. Return how many runs it is known for."""
        parents = [(open_id, self.branch.before(open_id)) for open_id in self.open]
        for run_id, history in parents:
            if history is not None:
                stored = self.stored(run_id)
                assert (history.exchanges, history.left_out) == (stored.exchanges, stored.left_out)
        return sum(history is not None for _, history in parents)


_talks = iter(range(1_000_000))


@given(st.lists(st.tuples(st.sampled_from(DOINGS), st.integers(0, 5)), max_size=24))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_branch_in_memory_is_the_branch_in_the_store(
    database: SqliteDatabase, doings: list[tuple[str, int]]
) -> None:
    talk = Talk(database, f"user{next(_talks)}")
    for doing, number in doings:
        newest = talk.ended[-1] if talk.ended else None
        some = talk.ended[number % len(talk.ended)] if talk.ended else None
        working = talk.open[number % len(talk.open)] if talk.open else None
        if doing == "say":
            talk.say(newest)
        elif doing == "edit":
            talk.say(some if number else None)
        elif doing == "widget":
            talk.say(newest, WIDGET)
        elif doing == "again" and talk.said:
            talk.again(talk.said[number % len(talk.said)])
        elif doing in ("step", "summary") and working is not None:
            talk.step(working, number, "summary" if doing == "summary" else "tool")
        elif doing == "later step" and some is not None:
            talk.step(some, number + 1)
        elif doing in ("end", "fail") and working is not None:
            talk.end(working, answered=doing == "end")
        elif doing == "reopen":
            talk.branch = RecentBranch()
        talk.check()


def test_a_conversation_knows_what_is_said_in_it(database: SqliteDatabase) -> None:
    talk = Talk(database, "plain")
    first = talk.say(None)
    assert talk.check() == 1
    talk.step(first, 2)
    talk.step(first, 1)
    behind = talk.say(first)
    assert talk.branch.before(behind) is None
    talk.end(first, answered=True)
    assert talk.check() == 1
    talk.step(first, 3)
    assert talk.check() == 1
    talk.say(None)
    assert talk.check() == 2
    talk.end(behind, answered=False)
    talk.say(behind)
    assert talk.check() == 2


def test_a_branch_that_was_read_counts_until_it_may_be_outdated(database: SqliteDatabase) -> None:
    talk = Talk(database, "again")
    for parent in (None, "again-0"):
        talk.end(talk.say(parent), answered=True)
    talk.branch = RecentBranch()
    third = talk.say("again-1")
    assert talk.check() == 0
    old = talk.stored(third)
    talk.branch.read(third, old)
    assert talk.check() == 1
    talk.branch = RecentBranch()
    fourth = talk.say("again-1")
    old = talk.stored(fourth)
    talk.step("again-1", 7)
    talk.branch.read(fourth, old)
    assert talk.check() == 0


def test_a_long_branch_is_not_kept(database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    talk = Talk(database, "long")
    talk.end(talk.say(None), answered=True)
    second = talk.say("long-0")
    talk.step(second, 1, "summary")
    talk.end(second, answered=True)
    third = talk.say(second)
    assert (talk.check(), talk.branch.exchanges) == (0, ())
    talk.end(third, answered=True)
    monkeypatch.setattr(branch, "KEPT_BYTES", 3 * branch.ROW_BYTES)
    fresh = talk.say(None)
    talk.end(fresh, answered=True)
    assert len(talk.branch.exchanges) == 1
    talk.end(talk.say(fresh), answered=True)
    assert (talk.branch.tip, talk.branch.exchanges) == (None, ())


def test_exchanges_are_not_kept_as_objects(database: SqliteDatabase) -> None:
    """Twenty exchanges of a branch are some 1,500 objects while they are made, and one block afterwards."""
    talk = Talk(database, "block")
    last = None
    for _ in range(20):
        last = talk.say(last)
        talk.step(last, 1)
        talk.end(last, answered=True)
    gc.collect()
    blocks = sys.getallocatedblocks()
    exchanges = talk.branch.exchanges
    decoded = sys.getallocatedblocks() - blocks
    assert len(exchanges) == 20
    del exchanges
    branch = talk.branch
    del talk
    gc.collect()
    blocks = sys.getallocatedblocks()
    del branch
    assert blocks - sys.getallocatedblocks() < decoded / 10
