"""Pages of a branch: its turns from the end, what stands beside them, and what is under way."""

from typing import Any

import pytest

from tests.rigs.database import Book
from understudy.storage import turns
from understudy.storage.changes import Change
from understudy.storage.records import LoggedEvent, RunEnd
from understudy.storage.thread_writes import trim_log
from understudy.storage.turns import TurnsPage


class Talk:
    """Writes turns of one thread, each with three events."""

    def __init__(self, book: Book, make: Any) -> None:
        self.book, self.make, self.seq = book, make, 0

    def accept(
        self, run_id: str, parent: str | None, message_id: str | None = None, *, status: str = "queued", **of_run: Any
    ) -> None:
        """A message, or a further run of one that is there."""
        message = message_id or f"m-{run_id}"
        message_row = self.make.message(message_id=message, run_id=run_id, content=message, parent_id=parent)
        self.seq += 1
        change = Change(
            "ann",
            "t1",
            events=(LoggedEvent(self.seq, "message_accepted", run_id, b"{}"),),
            thread=self.make.thread() if self.seq == 1 else None,
            messages=() if message_id else (message_row,),
            run=self.make.run(run_id=run_id, message_id=message, status=status, started_at=100.0 + self.seq, **of_run),
        )
        assert self.book.write(change) == [True]

    def end(self, run_id: str, answer: str = "yes", text: str = "", message_id: str | None = None) -> None:
        message = self.make.message(
            message_id=f"answer-{run_id}", run_id=run_id, role="assistant", content=answer,
            parent_id=message_id or f"m-{run_id}",
        )  # fmt: skip
        events = (
            LoggedEvent(self.seq + 1, "tool_completed", run_id, text.encode()),
            LoggedEvent(self.seq + 2, "final_response", run_id, b"{}"),
        )
        self.seq += 2
        end = RunEnd(run_id, "success", 200.0 + self.seq)
        assert self.book.write(Change("ann", "t1", events=events, messages=(message,), run_end=end)) == [True]

    def row(self, *run_ids: str, parent: str | None = None) -> None:
        """Finished turns, each after the one before."""
        for run_id in run_ids:
            self.accept(run_id, parent)
            self.end(run_id)
            parent = f"answer-{run_id}"

    def page(self, before: str | None = None, through: str | None = None, limit: int = 20) -> TurnsPage:
        page = self.book.read(turns.turns_page, "ann", "t1", before, through, limit)
        assert page is not None
        return page


@pytest.fixture
def talk(book: Book, make: Any) -> Talk:
    return Talk(book, make)


def runs(page: TurnsPage) -> list[str]:
    return [turn.run.id for turn in page.turns]


def test_pages_lead_from_the_end_to_the_beginning(talk: Talk) -> None:
    talk.row("r1", "r2", "r3", "r4", "r5")
    first = talk.page(limit=2)
    assert (runs(first), first.older, first.tip, first.thread.last_seq) == (["r4", "r5"], "answer-r3", "r5", 15)
    assert [event.seq for event in first.turns[-1].events] == [13, 14, 15]
    assert (first.turns[-1].first_seq, first.turns[-1].answer and first.turns[-1].answer.content) == (13, "yes")
    second = talk.page(before="answer-r3", limit=2)
    assert (runs(second), second.older) == (["r2", "r3"], "answer-r1")
    third = talk.page(before="answer-r1", limit=2)
    assert (runs(third), third.older) == (["r1"], None)
    assert runs(talk.page(before="answer-nothing")) == []


def test_a_page_is_of_one_branch_and_names_what_stands_beside_it(talk: Talk) -> None:
    talk.row("r1", "r2", "r3")
    talk.accept("r4", "answer-r1")  # beside the message of r2
    talk.end("r4")
    talk.accept("r5", "answer-r1", "m-r4")  # another answer to it
    talk.end("r5", message_id="m-r4")
    page = talk.page()
    assert (runs(page), page.tip, page.turns[-1].again) == (["r1", "r5"], "r5", True)
    assert [(side.run.id, side.message_id, side.parent_id, side.again, side.first_seq) for side in page.others] == [
        ("r2", "m-r2", "answer-r1", False, 4),
        ("r4", "m-r4", "answer-r1", False, 10),
    ]
    there = talk.page(through="r2")
    assert (runs(there), there.tip) == (["r1", "r2", "r3"], "r3")
    assert {other.run.id for other in there.others} == {"r4", "r5"}


def test_a_run_that_goes_on_with_another_is_one_turn_with_it(talk: Talk) -> None:
    """The runs that were cut are in its turn and nowhere else, unless a message follows the answer of one."""
    talk.accept("r1", None)
    talk.end("r1")
    for run_id, cut in (("r2", "r1"), ("r3", "r2")):
        talk.accept(run_id, None, "m-r1", continues=cut)
        talk.end(run_id, message_id="m-r1")
    (turn,) = (page := talk.page()).turns
    assert (turn.run.id, [run.id for run, _ in turn.earlier], turn.again, page.others) == (
        "r3", ["r1", "r2"], False, (),
    )  # fmt: skip
    assert [event.seq for _, events in turn.earlier for event in events] == [1, 2, 3, 4, 5, 6]
    talk.accept("r4", "answer-r1")
    talk.end("r4")
    there = talk.page(through="r3")
    assert ([run.id for run, _ in there.turns[0].earlier], [other.run.id for other in there.others]) == (["r2"], ["r1"])


def test_the_first_message_has_siblings_too(talk: Talk) -> None:
    talk.row("r1")
    talk.row("r2")
    page = talk.page()
    assert (runs(page), [other.run.id for other in page.others]) == (["r2"], ["r1"])


def test_all_unfinished_runs_are_in_the_first_page(talk: Talk) -> None:
    """The branch ends with what was accepted last, although another run began later; one elsewhere comes before it."""
    talk.row("r1", "r2")
    talk.accept("aside", "answer-r1", status="running")
    talk.accept("r3", "answer-r2")
    talk.accept("r4", "answer-r3")
    running = talk.make.run(run_id="r3", message_id="m-r3", status="running", started_at=900.0)
    talk.book.write(talk.make.change(run=running))
    page = talk.page(limit=3)
    assert (runs(page), page.tip, page.older) == (["aside", "r2", "r3", "r4"], "r4", "answer-r1")
    assert [other.run.id for other in page.others] == []
    assert runs(talk.page(before="answer-r1")) == ["r1"]


def test_a_run_whose_events_were_trimmed_has_its_messages(talk: Talk) -> None:
    talk.row("r1", "r2")
    talk.book.write(trim_log("ann", "t1", 5))
    page = talk.page()
    assert [(turn.first_seq, len(turn.events)) for turn in page.turns] == [(None, 0), (5, 2)]
    assert [turn.message.content for turn in page.turns] == ["m-r1", "m-r2"]


def test_a_page_ends_where_it_is_large(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    talk.row("r1", "r2", "r3")
    talk.accept("r4", "answer-r3")
    talk.end("r4", answer="long " * 100, text="x" * 5_000)
    assert len(runs(talk.page())) == 4
    monkeypatch.setattr(turns, "TEXT_CHARACTERS", 400)
    page = talk.page()
    assert (runs(page), page.older) == (["r4"], "answer-r3")
    monkeypatch.setattr(turns, "TEXT_CHARACTERS", 10_000)
    monkeypatch.setattr(turns, "EVENT_BYTES", 4_000)
    assert runs(talk.page()) == ["r4"]


def test_a_thread_is_its_owners_alone(talk: Talk, make: Any) -> None:
    talk.row("r1")
    read = talk.book.read
    assert read(turns.turns_page, "bob", "t1", None, None, 20) is None
    talk.book.write(make.opening("bob", "t1", "rb"), make.opening("ann", "t2", "r9"))
    assert runs(read(turns.turns_page, "bob", "t1", "answer-r1", None, 20)) == []
    assert runs(read(turns.turns_page, "ann", "t1", "answer-r9", None, 20)) == []
    assert runs(read(turns.turns_page, "ann", "t1", None, "r9", 20)) == []


def test_rows_that_form_a_cycle_end(talk: Talk, make: Any) -> None:
    talk.accept("r1", "answer-r2")
    talk.end("r1")
    talk.accept("r2", "answer-r1")
    talk.end("r2")
    page = talk.page()
    assert (runs(page), page.older) == (["r1", "r2"], None)
    assert sorted(runs(talk.page(through="r1"))) == ["r1", "r2"]
