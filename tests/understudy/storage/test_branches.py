"""The tree of messages in the tables: the way to a message, feedback, requests, and the trimming of logs."""

from understudy.storage import queries
from understudy.storage.changes import Change
from understudy.storage.errors import AlreadyStored
from understudy.storage.thread_writes import give_feedback, trim_log


def accepted(make, number: int, after: str | None, *, answer: bool = True, **fields: object) -> Change:
    """A message `m<number>` with its run and, by default, its answer."""
    run_id, name = f"r{number}", f"m{number}"
    messages = [make.message(message_id=name, run_id=run_id, content=name, parent_id=after)]
    if answer:
        words = {"content": f"a{number}", "role": "assistant", "parent_id": name}
        messages.append(make.message(message_id=f"answer-{run_id}", run_id=run_id, **words))
    run = make.run(run_id=run_id, message_id=name, **fields)
    return make.change(thread=make.thread(), messages=messages, run=run)


def test_the_way_to_a_message_is_its_own_branch_and_at_most_so_long(book, make) -> None:
    for number in range(1, 6):
        book.write(accepted(make, number, f"answer-r{number - 1}" if number > 1 else None, answer=number != 3))
    book.write(accepted(make, 6, "answer-r1"))
    book.write(make.change(run=make.run(run_id="r7", message_id="m2")))
    book.write(accepted(make, 8, "answer-r7"))
    way = book.read(queries.history, "ann", "m5", 100)
    assert [message.content for message in way.messages] == ["m1", "a1", "m2", "a2", "m3", "m4", "a4"]
    assert way.left_out == 0
    way = book.read(queries.history, "ann", "m5", 3)
    assert ([message.content for message in way.messages], way.left_out) == (["m3", "m4", "a4"], 4)
    assert [message.content for message in book.read(queries.history, "ann", "m6", 100).messages] == ["m1", "a1"]
    assert [message.content for message in book.read(queries.history, "ann", "m8", 100).messages] == ["m1", "a1", "m2"]
    assert book.read(queries.history, "ann", "m1", 100).messages == ()
    assert book.read(queries.history, "bob", "m5", 100).messages == ()


def test_the_way_has_the_steps_of_its_runs_from_the_newest_summary_on(book, make, monkeypatch) -> None:
    """Steps beyond the bound are not read; what a summary stands for is neither read nor counted."""
    for number in range(1, 6):
        run_id = f"r{number}"
        book.write(accepted(make, number, f"answer-r{number - 1}" if number > 1 else None))
        book.write(make.change(steps=(make.step(1, run_id, result={"value": "x" * 100}),)))
    way = book.read(queries.history, "ann", "m5", 100)
    assert [(exchange.message.id, exchange.run_id, exchange.answer.id) for exchange in way.exchanges] == [
        (f"m{number}", f"r{number}", f"answer-r{number}") for number in range(1, 5)
    ]
    assert [step.result for exchange in way.exchanges for step in exchange.steps] == 4 * [{"value": "x" * 100}]
    monkeypatch.setattr(queries, "STEP_BYTES", 250)
    way = book.read(queries.history, "ann", "m5", 100)
    assert [(len(pair.steps), pair.whole) for pair in way.exchanges] == [(0, False), (0, False), (1, True), (1, True)]
    summary = make.step(2, "r4", kind="summary", arguments={"first_run": "r3"})
    book.write(make.change(steps=(summary,)))
    way = book.read(queries.history, "ann", "m5", 100)
    assert ([exchange.message.id for exchange in way.exchanges], way.left_out) == (["m3", "m4"], 0)


def test_a_circle_in_the_tables_is_no_endless_way(book, make) -> None:
    book.write(accepted(make, 1, "answer-r2"))
    book.write(accepted(make, 2, "answer-r1"))
    assert [message.content for message in book.read(queries.history, "ann", "m2", 100).messages] == ["m1", "a1"]


def test_the_run_that_began_last_is_the_threads_newest(book, make) -> None:
    first = accepted(make, 1, None)
    book.write(first, accepted(make, 2, "answer-r1"))
    assert book.read(queries.thread, "ann", "t1").newest_run == "r2"
    book.write(make.change(run=make.run(run_id="r3", message_id="m1", started_at=500.0)))
    stored = book.read(queries.thread, "ann", "t1")
    assert (stored.newest_run, stored.updated_at) == ("r3", 500.0)
    assert [run.id for run in book.read(queries.runs_of, "ann", ("m1", "m2", "m9"))] == ["r1", "r2", "r3"]


def test_a_request_belongs_to_one_run(book, make) -> None:
    assert book.write(accepted(make, 1, None, request_id="q")) == [True]
    [refused] = book.write(accepted(make, 2, None, request_id="q"))
    assert isinstance(refused, AlreadyStored)
    assert book.read(queries.message, "ann", "m2") is None
    assert book.read(queries.run_of_request, "ann", "q").id == "r1"
    assert book.read(queries.run_of_request, "bob", "q") is None
    assert book.write(make.opening("bob", "t9", "r9")) == [True]


def test_feedback_is_the_latest_and_does_not_make_another_message(book, make) -> None:
    change = accepted(make, 1, None)
    assert book.write(change) == [True]
    assert book.write(give_feedback("ann", "answer-r1", "up", "well done")) == [True]
    assert book.write(give_feedback("ann", "answer-r1", "down", None)) == [True]
    stored = book.read(queries.message, "ann", "answer-r1")
    assert (stored.rating, stored.note) == ("down", None)
    assert book.write(change) == [True]
    assert book.read(queries.message, "ann", "answer-r1").rating == "down"
    for owner, name in (("ann", "m1"), ("ann", "nothing"), ("bob", "answer-r1")):
        assert book.write(give_feedback(owner, name, "up")) == [False], name


def test_a_log_is_trimmed_up_to_a_number_but_not_into_a_run_at_work(book, make, monkeypatch) -> None:
    monkeypatch.setattr("understudy.storage.thread_writes.TRIMMED", 2)
    book.write(make.opening(), make.opening("ann", "t2", "r2"), make.change(events=make.events(2, 6)))
    assert book.write(trim_log("ann", "t1", 100)) == [False]
    assert book.seqs() == [1, 2, 3, 4, 5, 6], "its run is at work"
    book.write(make.change(run_end=make.ending()))
    assert book.write(trim_log("ann", "t1", 5)) == [True]
    assert book.seqs() == [3, 4, 5, 6]
    assert book.write(trim_log("ann", "t1", 5)) == [False]
    assert book.write(trim_log("ann", "t1", 5)) == [False]
    assert book.seqs() == [5, 6]
    assert book.write(make.change(events=make.events(7, 7, None))) == [True]
    assert book.read(queries.thread, "ann", "t1").last_seq == 7
    assert book.read(queries.message, "ann", "m-t1") is not None
    assert book.seqs(thread_id="t2") == [1]
    assert book.write(trim_log("bob", "t1", 100)) == [False]


def test_messages_are_read_from_the_first_on(book, make) -> None:
    for number in range(1, 4):
        book.write(accepted(make, number, None))
    contents, cursor = [], None
    while not contents or cursor is not None:
        page = book.read(queries.messages_forward, "ann", "t1", cursor, 4)
        contents += [message.content for message in page.items]
        cursor = page.next_cursor
    assert contents == ["m1", "a1", "m2", "a2", "m3", "a3"]
