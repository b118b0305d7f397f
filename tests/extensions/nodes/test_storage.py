"""Nodes and fences: the database decides which node may append to a thread, however late a write arrives."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import evolve
from sqlalchemy import Connection, select, update

from understudy.extensions.nodes import storage as nodes
from understudy.extensions.nodes.storage import claim_thread, join_nodes, leave_nodes, renew_node
from understudy.extensions.nodes.tables import nodes as table
from understudy.storage import queries
from understudy.storage.changes import Change
from understudy.storage.database import Database
from understudy.storage.errors import Fenced, NotStored, SequenceConflict
from understudy.storage.records import Fence, LoggedEvent, StepRecord
from understudy.storage.thread_writes import delete_thread, release_thread, trim_log
from understudy.storage.write import Write
from understudy.storage.writer import commit_group


class Book:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.connection = database.writing.connect()

    def write(self, *works: Write) -> list[Any]:
        outcomes = commit_group(self.connection, works)
        return [str(outcome) if isinstance(outcome, Exception) else outcome for outcome in outcomes]

    def does(self, work: Write) -> Any:
        return self.write(work)[0]

    def read(self, query: Any, *args: Any) -> Any:
        with self.database.reading.begin() as connection:
            return query(connection, *args)

    def seqs(self, thread_id: str = "t1") -> list[int]:
        return [event.seq for event in self.read(queries.events, "ann", thread_id, 0, 1000)]

    def expire(self, node: str, at: float = 1.0) -> None:
        with self.connection.begin():
            self.connection.execute(update(table).where(table.c.id == node).values(expires_at=at))

    def expires_at(self, node: str) -> float:
        [row] = [row for row in _rows(self) if row[0] == node]
        return float(row[2])


@pytest.fixture
def book(database: Database) -> Iterator[Book]:
    book = Book(database)
    assert book.write(join_nodes("a"), join_nodes("b")) == [True, True]
    yield book
    book.connection.close()


def under(change: Change, node: str, token: int) -> Change:
    return evolve(change, fence=Fence(node, token))


def test_a_new_thread_is_its_inserters(book: Book, make: Any) -> None:
    assert book.write(claim_thread("ann", "t1", "a"), claim_thread("ann", "t1", "b")) == [1, 1]
    assert book.does(under(make.opening(), "a", 1)) is True
    late = under(make.change(thread=make.thread(), events=make.events(1, 1, "r2")), "b", 1)
    assert book.does(late) == str(Fenced("t1", "a"))
    assert book.does(under(make.change(events=make.events(2, 2)), "a", 1)) is True
    assert book.seqs() == [1, 2]


def test_a_living_nodes_thread_is_not_claimed(book: Book, make: Any) -> None:
    book.write(under(make.opening(), "a", 1))
    assert book.does(claim_thread("ann", "t1", "b")) == 0
    assert book.read(nodes.owner_node, "ann", "t1") == "a"
    book.expire("a")
    assert book.read(nodes.owner_node, "ann", "t1") is None
    assert book.does(claim_thread("ann", "t1", "b")) == 2
    fenced, theirs = under(make.change(events=make.events(2, 2)), "b", 2), make.change(events=make.events(2, 3, "x"))
    assert book.write(under(theirs, "a", 1), fenced, under(theirs, "a", 2)) == [
        str(Fenced("t1", "b")), True, str(Fenced("t1", "b"))
    ]  # fmt: skip
    assert book.seqs() == [1, 2]


@pytest.mark.parametrize("many", [1, 3])
def test_a_fenced_append_takes_nothing_of_its_group(book: Book, make: Any, many: int) -> None:
    book.write(*(under(make.opening("ann", f"t{n}", f"r{n}"), "a", 1) for n in range(4)))
    book.write(leave_nodes("a"), claim_thread("ann", "t0", "b"))
    appends = [under(make.change("ann", f"t{n}", events=make.events(2, 2, f"r{n}")), "a", 1) for n in range(many)]
    assert book.write(*appends) == [str(Fenced("t0", "b")), *[True] * (many - 1)]
    more = under(make.change("ann", "t0", events=make.events(2, 2), run_end=make.ending("r0")), "a", 1)
    assert book.does(more) == str(Fenced("t0", "b"))
    assert book.seqs("t0") == [1]
    assert book.read(queries.run, "r0").ended_at is None


def test_what_brings_no_event_is_fenced_too(book: Book, make: Any) -> None:
    book.write(under(make.opening(), "a", 1), leave_nodes("a"), claim_thread("ann", "t1", "b"))
    steps, message = make.change(steps=(make.step(1),)), make.change(messages=(make.message(),))
    assert book.write(under(steps, "a", 1), under(message, "a", 1)) == [str(Fenced("t1", "b"))] * 2
    assert book.read(queries.steps, "r1") == []
    assert book.read(queries.message, "ann", "m1") is None
    assert book.write(under(steps, "b", 2), under(message, "b", 2)) == [True, True]
    assert book.does(under(make.change("ann", "gone", steps=(make.step(1),)), "b", 1)) == str(
        NotStored("thread", "gone")
    )


def test_what_was_stored_before_the_claim_is_stored(book: Book, make: Any) -> None:
    """The answer to a write was lost and another node has claimed the thread: repeating the write changes nothing."""
    book.write(under(make.opening(), "a", 1))
    change = under(make.change(events=make.events(2, 3)), "a", 1)
    assert book.does(change) is True
    book.write(leave_nodes("a"), claim_thread("ann", "t1", "b"))
    assert book.does(change) is True
    early = under(make.change(events=make.events(9, 9)), "b", 2)
    assert book.does(early) == str(SequenceConflict("t1", 4, 9))
    assert book.seqs() == [1, 2, 3]


def test_a_node_claims_anew_what_it_has(book: Book, make: Any) -> None:
    book.write(under(make.opening(), "a", 1))
    assert book.does(claim_thread("ann", "t1", "a")) == 2
    assert book.does(under(make.change(events=make.events(2, 2)), "a", 1)) == str(Fenced("t1", "a"))
    assert book.does(under(make.change(events=make.events(2, 2)), "a", 2)) is True


def test_only_the_living_have_threads(book: Book, make: Any) -> None:
    book.write(make.opening())
    book.expire("a")
    assert book.write(claim_thread("ann", "t1", "a"), claim_thread("ann", "new", "a")) == [0, 0]
    assert book.does(claim_thread("ann", "t1", "nobody")) == 0
    assert book.does(claim_thread("ann", "t1", "b")) == 1


def test_a_thread_is_released_by_who_has_it(book: Book, make: Any) -> None:
    book.write(under(make.opening(), "a", 1))
    assert book.does(release_thread("ann", "t1", Fence("a", 1))) is True
    assert book.does(claim_thread("ann", "t1", "b")) == 2
    assert book.does(release_thread("ann", "t1", Fence("a", 1))) is False
    assert book.read(nodes.owner_node, "ann", "t1") == "b"


def test_a_thread_is_deleted_by_who_has_it(book: Book, make: Any) -> None:
    book.write(under(make.opening(), "a", 1), leave_nodes("a"), claim_thread("ann", "t1", "b"))
    assert book.does(delete_thread("ann", "t1", Fence("a", 1))) == str(Fenced("t1", "b"))
    assert book.seqs() == [1]
    assert book.does(delete_thread("ann", "t1", Fence("b", 2))) == 1
    assert book.does(delete_thread("ann", "t1", Fence("b", 2))) == 0


def test_a_lease_is_renewed_until_somebody_took_something(book: Book, make: Any) -> None:
    book.write(under(make.opening("ann", "t1", "r1"), "a", 1), under(make.opening("ann", "t2", "r2"), "a", 1))
    assert book.does(renew_node("a", 50.0)) is True
    assert book.expires_at("a") == pytest.approx(time.time() + 50.0, abs=5.0)
    book.expire("a")
    assert book.does(renew_node("a", 50.0)) is True
    assert book.does(under(make.change(events=make.events(2, 2)), "a", 1)) is True
    assert book.does(claim_thread("ann", "t1", "b")) == 0
    book.expire("a")
    assert book.write(claim_thread("ann", "t1", "b"), claim_thread("ann", "t2", "b")) == [2, 2]
    assert book.write(renew_node("a"), leave_nodes("b")) == [False, True]
    assert book.write(renew_node("b"), leave_nodes("b")) == [False, False]
    assert book.read(nodes.living) == []


def test_who_could_not_say_for_long_that_it_is_alive_speaks_for_all_that_were(book: Book, make: Any) -> None:
    """The database was away, and `a` is the first to come back: `b` was alive when it went, `dead` was not any more,
    and `c`, who has said so since, keeps what it has. Who is in time speaks for nobody."""
    book.write(join_nodes("dead"), join_nodes("c", lease_s=6000.0), under(make.opening(), "b", 1))
    until = book.expires_at("c")
    now = time.time()
    for late, (of_self, others) in ((False, (100.0, -20.0)), (True, (30.0, -20.0)), (True, (-3000.0, -3100.0))):
        book.expire("a", now + of_self)
        book.expire("b", now + others)
        book.expire("dead", now + min(of_self, others) - 500.0)
        assert book.does(renew_node("a", 200.0)) is True
        assert set(book.read(nodes.living)) == ({"a", "b", "c"} if late else {"a", "c"})
    assert book.expires_at("c") == until
    assert book.does(claim_thread("ann", "t1", "a")) == 0


def test_a_clock_that_steps_back_takes_no_thread_from_the_living(book: Book, make: Any) -> None:
    """With the clock set back leases last longer; no living node loses a thread."""
    book.write(under(make.opening(), "a", 1))
    with book.connection.begin():  # as after a step back by an hour
        book.connection.execute(update(table).values(expires_at=table.c.expires_at + 3600))
    assert book.does(claim_thread("ann", "t1", "b")) == 0
    assert book.write(renew_node("a"), renew_node("b")) == [True, True]  # from here on they are what they should be
    assert all(row.expires_at < time.time() + 10 for row in _rows(book))


def test_a_clock_that_steps_forward_takes_nothing_either(book: Book, make: Any) -> None:
    """All leases expire at once: the first renewal extends those of the others."""
    book.write(under(make.opening(), "a", 1))
    now = time.time() - 3600.0
    for node in ("a", "b"):
        book.expire(node, now)
    assert book.does(claim_thread("ann", "t1", "b")) == 0
    assert book.does(renew_node("b")) is True
    assert book.does(claim_thread("ann", "t1", "b")) == 0
    assert book.does(renew_node("a")) is True
    assert book.does(under(make.change(events=make.events(2, 2)), "a", 1)) is True


def test_dead_nodes_are_forgotten(book: Book) -> None:
    with book.connection.begin():
        ago = update(table).where(table.c.id == "a")
        book.connection.execute(ago.values(expires_at=time.time() - nodes.FORGET_S - 10))
    book.expire("b")
    with book.connection.begin():
        ago = update(table).where(table.c.id == "b")
        book.connection.execute(ago.values(expires_at=time.time() - nodes.FORGET_S / 2))
    book.write(join_nodes("c"))
    assert [row[0] for row in _rows(book)] == ["b", "c"]


def test_orphans_are_what_no_living_other_node_has(book: Book, make: Any) -> None:
    for n, node in enumerate(("a", "b", "dead")):
        book.write(under(make.opening("ann", f"t{n}", f"r{n}"), node, 1))
    book.write(make.opening("ann", "t3", "r3"))
    book.write(make.opening("ann", "t4", "r4"), make.change("ann", "t4", run_end=make.ending("r4")))
    assert [run.id for run in book.read(nodes.orphans, "a", False)] == ["r2", "r3"]
    assert [run.id for run in book.read(nodes.orphans, "a", True)] == ["r0", "r2", "r3"]
    book.expire("a")
    assert book.read(nodes.orphans, "a", True) == [], "it cannot know who else could not say that it is alive"


def test_a_call_is_found_with_its_run(book: Book, make: Any) -> None:
    book.write(make.opening(), make.change(steps=(make.step(1), make.step(2, call_id="c1", started_at=200.0))))
    step, run = book.read(queries.step_of_call, "c1")
    assert (step.number, step.call_id, run.id, run.owner) == (2, "c1", "r1", "ann")
    assert isinstance(step, StepRecord)
    assert book.read(queries.step_of_call, "c9") is None


def test_trimming_does_not_reach_into_what_comes(book: Book, make: Any) -> None:
    assert book.does(trim_log("ann", "t1", 10)) is False


def _rows(book: Book) -> list[Any]:
    def all_rows(connection: Connection) -> list[Any]:
        return list(connection.execute(select(table).order_by(table.c.id)))

    return list(book.read(all_rows))


def test_an_appended_event_is_read_as_it_was_written(book: Book, make: Any) -> None:
    event = LoggedEvent(2, "note", None, b"\x00\xff")
    book.write(under(make.opening(), "a", 1), under(make.change(events=(event,)), "a", 1))
    assert book.read(queries.events, "ann", "t1", 1, 10) == [event]
