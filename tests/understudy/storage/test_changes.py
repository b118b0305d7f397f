"""The effect of a change on the tables, and of repeating it: without actors, on real databases."""

import pytest
from sqlalchemy.exc import DBAPIError

from understudy.extensions.files.storage import add_file, among
from understudy.storage import queries
from understudy.storage.changes import Change
from understudy.storage.errors import AlreadyStored, NotStored, RunEnded, SequenceConflict, Unstorable
from understudy.storage.records import RunAttempt, RunEnd
from understudy.storage.thread_writes import delete_thread, rename_thread


def test_everything_of_a_change_is_read_back_as_it_was(book, kind, make) -> None:
    chart = {"spec": {"mark": "bar"}, "title": "ä"}
    content = "Grüße \U0001f600 'quoted' %s :x" + ("\x00" if kind == "sqlite" else "")
    message = make.message(references=("f1", "f2"), visualization=chart, content=content)
    step = make.step(1, arguments=None, result=[1, None, {"deep": [True, 1.5]}], call_id=None)
    change = make.change(
        thread=make.thread(pillar="law"),
        events=make.events(1, 3),
        messages=[message],
        run=make.run(pillar="law"),
        steps=[step],
    )
    assert book.write(change) == [True]
    stored = book.read(queries.thread, "ann", "t1")
    assert stored == make.thread(pillar="law", last_seq=3, updated_at=101.0, newest_run="r1")
    assert book.read(queries.message, "ann", "m1") == message
    assert book.read(queries.run, "r1") == make.run(pillar="law")
    assert book.read(queries.steps, "r1") == [step]
    assert tuple(book.read(queries.events, "ann", "t1", 0, 10)) == make.events(1, 3)


def test_the_same_change_again_is_a_success_and_changes_nothing(book, make) -> None:
    """A retry after a lost answer, also when the log has gone on meanwhile."""
    opening, later = make.opening(), make.change(events=make.events(2, 4), run_end=make.ending())
    assert book.write(opening, opening) == [True, True]
    assert book.write(opening, later, opening, later) == [True] * 4
    assert book.seqs() == [1, 2, 3, 4]
    assert len(book.read(queries.messages, "ann", "t1", None, 10).items) == 1
    assert book.read(queries.run, "r1").status == "success"


@pytest.mark.parametrize(
    ("first", "last", "note"), [(5, 5, ""), (9, 9, ""), (3, 3, "other"), (2, 4, ""), (1, 1, "other"), (3, 4, "")]
)
def test_events_out_of_place_are_refused(book, make, first, last, note) -> None:
    book.write(make.opening(), make.change(events=make.events(2, 3)))
    change = make.change(events=make.events(first, last, note=note), messages=[make.message(message_id="new")])
    [refusal] = book.write(change)
    assert isinstance(refusal, SequenceConflict)
    assert (refusal.thread_id, refusal.expected, refusal.got) == ("t1", 4, first)
    assert book.seqs() == [1, 2, 3]
    assert book.read(queries.message, "ann", "new") is None


def test_one_bad_change_leaves_its_neighbours_alone(book, make) -> None:
    outcomes = book.write(
        make.opening(),
        make.change("ann", "nowhere", events=make.events(1, 1)),
        make.change(events=make.events(2, 2), steps=[make.step(1)]),
        make.change(events=make.events(3, 3), steps=[make.step(2, result=object())]),
        make.change(events=make.events(3, 3), messages=[make.message(message_id="m2", content="\ud800")]),
        make.change(events=make.events(3, 3), steps=[make.step(2, run_id="no such run")]),
        make.change(events=make.events(3, 3), steps=[make.step(2**70)]),
        make.change(events=make.events(3, 3), messages=[make.message(message_id="last")]),
    )
    kinds = [outcome if outcome is True else type(outcome) for outcome in outcomes]
    assert kinds == [True, NotStored, True, Unstorable, Unstorable, Unstorable, Unstorable, True]
    assert book.read(queries.message, "ann", "last") is not None
    assert [step.number for step in book.read(queries.steps, "r1")] == [1]


def test_a_message_id_belongs_to_one_message(book, make) -> None:
    first = make.message(visualization={"sizes": [1, 2]})
    again = make.message(visualization={"sizes": (1, 2)})
    other = make.message(content="Something else")
    assert book.write(make.opening(), make.change(messages=[first]), make.change(messages=[again])) == [True] * 3
    [refusal] = book.write(make.change(events=make.events(2, 2), messages=[other]))
    assert isinstance(refusal, AlreadyStored)
    assert (refusal.kind, refusal.id) == ("message", "m1")
    assert book.read(queries.message, "ann", "m1") == first
    assert book.seqs() == [1]


def test_a_change_of_a_thread_that_is_not_there_is_refused(book, make) -> None:
    of_thread = {"messages": [make.message("ann", "gone")], "run": make.run("ann", "gone"), "events": make.events(1, 1)}
    for name, part in of_thread.items():
        [refusal] = book.write(make.change("ann", "gone", **{name: part}))
        assert isinstance(refusal, NotStored | Unstorable)


def test_an_existing_thread_keeps_its_title(book, make) -> None:
    book.write(make.opening(title="First"))
    book.write(make.change(thread=make.thread(title="Second", created_at=900.0), events=make.events(2, 2)))
    thread = book.read(queries.thread, "ann", "t1")
    assert (thread.title, thread.created_at, thread.last_seq) == ("First", 100.0, 2)


def test_a_thread_never_moves_back_in_time(book, make) -> None:
    book.write(make.opening(), make.change(events=make.events(2, 2), run_end=make.ending(ended_at=500.0)))
    book.write(make.change(messages=[make.message(message_id="old", created_at=3.0)]))
    book.write(make.change(events=make.events(3, 3)))
    assert book.read(queries.thread, "ann", "t1").updated_at == 500.0


def test_a_queued_run_begins_once_and_ends_once(book, make) -> None:
    queued, running = make.run(status="queued"), make.run(status="running", started_at=105.0)
    book.write(make.change(thread=make.thread(), run=queued))
    assert book.read(queries.unfinished_runs, None, None) == [queued]
    assert book.write(make.change(run=running), make.change(run=running)) == [True, True]
    assert book.read(queries.unfinished_runs, "ann", "t1") == [running]
    end = make.change(run_end=make.ending(status="cancelled"))
    assert book.write(end, end, make.change(run=queued)) == [True] * 3
    [refusal] = book.write(make.change(run_end=make.ending(status="success")))
    assert isinstance(refusal, RunEnded)
    assert refusal.status == "cancelled"
    stored = book.read(queries.run, "r1")
    assert (stored.status, stored.started_at, stored.ended_at) == ("cancelled", 105.0, 110.0)
    assert book.read(queries.unfinished_runs, None, None) == []


def test_how_often_a_run_was_taken_up_is_kept_until_it_has_ended(book, make) -> None:
    taken = make.change(attempt=RunAttempt("r1", 2, 5))
    assert not make.change(events=make.events(2, 2), attempt=taken.attempt).only_appends
    assert book.write(make.opening(), taken, taken) == [True] * 3
    run = book.read(queries.run, "r1")
    assert (run.attempts, run.progress, run.ended_at) == (2, 5, None)
    [refusal] = book.write(Change("bob", "t1", attempt=RunAttempt("r1", 9, 9)))
    assert isinstance(refusal, NotStored)
    book.write(make.change(run_end=make.ending()))
    [refusal] = book.write(taken)
    assert isinstance(refusal, NotStored)
    assert book.read(queries.run, "r1").attempts == 2


def test_a_run_belongs_to_its_owner(book, make) -> None:
    queued = make.run(status="queued")
    book.write(make.change(thread=make.thread(), run=queued), make.opening("bob", "t1", "r2"))
    taken, ended, unknown = book.write(
        Change("bob", "t1", run=make.run("bob", "t1", "r1")),
        Change("bob", "t1", run_end=RunEnd("r1", "failed", 9.0)),
        Change("ann", "t1", run_end=RunEnd("r9", "failed", 9.0)),
    )
    assert isinstance(taken, AlreadyStored)
    assert isinstance(ended, NotStored)
    assert isinstance(unknown, NotStored)
    assert book.read(queries.run, "r1") == queued


def test_a_step_is_replaced_by_its_number(book, make) -> None:
    begun = make.step(1, result=None, status="running", ended_at=None)
    book.write(make.opening(), make.change(steps=[begun]), make.change(steps=[make.step(1), make.step(2)]))
    assert book.read(queries.steps, "r1") == [make.step(1), make.step(2)]


def test_readers_cannot_write(database) -> None:
    with pytest.raises(DBAPIError, match=r"read-?only"), database.reading.begin() as connection:
        connection.exec_driver_sql("DELETE FROM threads")


def test_equal_names_of_two_owners_are_two_things(book, make) -> None:
    for owner, run_id in (("ann", "r1"), ("bob", "r2")):
        message = make.message(owner, content=f"from {owner}")
        writes = make.opening(owner, "t1", run_id, title=owner), make.change(owner, messages=[message])
        assert book.write(*writes, add_file(make.file(owner, name=owner))) == [True] * 3
    book.write(rename_thread("bob", "t1", "bob's"), make.change("bob", events=make.events(2, 5)))
    assert [run.id for run in book.read(queries.unfinished_runs, "bob", "t1")] == ["r2"]
    assert book.read(queries.thread, "ann", "t1").title == "ann"
    assert book.read(queries.thread, "bob", "t1").title == "bob's"
    assert book.seqs("ann") == [1]
    assert book.read(queries.message, "ann", "m1").content == "from ann"
    assert book.read(queries.message, "bob", "m1").content == "from bob"
    assert [file.name for file in book.read(among, "ann", ["0" * 32])] == ["ann"]
    assert book.read(queries.run_events, "bob", "t1", "r1") != book.read(queries.run_events, "ann", "t1", "r1")
    book.write(delete_thread("bob", "t1"))
    assert book.seqs("ann") == [1]


def test_a_file_is_recorded_once(book, make) -> None:
    assert book.write(add_file(make.file()), add_file(make.file())) == [True, True]
    [refusal] = book.write(add_file(make.file(size=6)))
    assert isinstance(refusal, AlreadyStored)
