"""What a node tells others of its threads, to whom, and in which order."""

from typing import Any

import msgspec
import pytest
import trio.testing

from tests.extensions.nodes.envelopes import passing, thought
from transport.outbox.delivery import DeliveryCursors
from transport.wire.events import PartialResult
from understudy.extensions.nodes import announcer as announcer_module
from understudy.extensions.nodes import codec
from understudy.extensions.nodes.announcer import FOLLOWED_S, Announcer
from understudy.extensions.nodes.messages import FRAMES_MAX, Advanced, Passing, ThreadGone
from understudy.wire.events import AgentProgress, Envelope, FeedbackGiven
from understudy.wire.vocabulary import from_log, to_log

THREAD = ("ann", "t")


class Node:
    id = "a"


class Desk:
    """An announcer, and the messages that it has for other nodes."""

    def __init__(self, *, with_text: bool = True) -> None:
        self.woken: list[bool] = []
        self.announcer = Announcer(Node(), self.woken.append, lambda _: None, with_text)  # type: ignore[arg-type]

    def deliver(self, *envelopes: Envelope) -> None:
        self.announcer.deliver(*THREAD, 1.0, envelopes)

    def entries(self) -> list[Any]:
        return [item for _, batch in self.announcer.take() for item in batch]

    def nodes(self) -> list[str]:
        return [node for nodes, _ in self.announcer.take() for node in nodes]


def event_of(passing: Passing) -> Envelope:
    """Return the event as the other node has it."""
    return from_log(bytes(passing.body)).replace(text_epoch=passing.epoch)


@pytest.fixture
async def desk() -> Desk:
    desk = Desk()
    assert desk.announcer.follow("b", *THREAD)
    return desk


async def test_a_thread_is_told_to_the_nodes_that_say_they_follow_it_until_they_have_not_for_long(
    desk: Desk, autojump_clock: trio.testing.MockClock
) -> None:
    assert not desk.announcer.follow("b", *THREAD)
    await trio.sleep(FOLLOWED_S - 1)
    assert desk.announcer.follow("c", *THREAD)
    desk.deliver(thought(1))
    assert desk.nodes() == ["b", "c"]
    await trio.sleep(2)
    desk.deliver(thought(2))
    assert desk.nodes() == ["c"]
    assert desk.announcer.is_followed(*THREAD)
    await trio.sleep(FOLLOWED_S)
    assert not desk.announcer.is_followed(*THREAD)
    assert not desk.announcer.is_followed("ann", "u")
    desk.announcer.deliver("bob", "t", 1.0, [thought(1)])
    assert desk.nodes() == []


async def test_threads_that_nobody_follows_any_more_leave_nothing(
    desk: Desk, autojump_clock: trio.testing.MockClock
) -> None:
    for number in range(500):
        desk.announcer.follow("b", "ann", f"{number}")
        await trio.sleep(FOLLOWED_S)
    assert len(desk.announcer._threads) < 200


async def test_no_more_threads_and_nodes_are_kept_than_needed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcer_module, "MOST_FOLLOWED", 2)
    assert desk.announcer.follow("c", *THREAD)
    assert not desk.announcer.follow("d", *THREAD)
    assert desk.announcer.follow("d", "ann", "u")
    assert not desk.announcer.follow("d", "ann", "v")
    desk.deliver(thought(1))
    assert desk.nodes() == ["b", "c"]


async def test_events_are_told_together_in_order(desk: Desk) -> None:
    desk.deliver(thought(7), thought(8))
    desk.deliver(passing(PartialResult("ab", 0)))
    desk.deliver(passing(PartialResult("cd", 2)))
    desk.deliver(passing(AgentProgress(1.0, "half", 2.0)), passing(FeedbackGiven("m", None)))
    desk.deliver(thought(9))
    desk.deliver(passing(PartialResult("ef", 4)))
    assert desk.woken == [True, False, False, False, True, False]
    sent = desk.entries()
    assert [(type(message), message.last if isinstance(message, Advanced) else message.head) for message in sent] == [
        (Advanced, 8), (Passing, 8), (Passing, 8), (Passing, 8), (Advanced, 9), (Passing, 9),
    ]  # fmt: skip
    assert [event_of(message) for message in sent if isinstance(message, Passing)] == [
        passing(PartialResult("abcd", 0)),
        passing(AgentProgress(1.0, "half", 2.0)),
        passing(FeedbackGiven("m", None)),
        passing(PartialResult("ef", 4)),
    ]
    assert desk.entries() == []


async def test_who_begins_to_follow_is_told_the_number_of_the_last_event(desk: Desk) -> None:
    desk.announcer.tell_end(*THREAD, 1.0, 4)
    desk.deliver(passing(PartialResult("ab", 0)))
    first, text = desk.entries()
    assert first == Advanced("a", *THREAD, 4, 1.0)
    assert text.head == 4


async def test_an_answer_that_is_written_again_replaces_the_text_of_a_client_on_another_node(desk: Desk) -> None:
    """The second text is shorter at first and arrives together with its continuation, which is not the old one."""
    client, text = DeliveryCursors(), ""
    for epoch, offset, piece in [("1", 0, "abcdef"), ("2", 0, "abc"), ("2", 3, "\n\nabc")]:
        desk.deliver(passing(PartialResult(piece, offset)).replace(text_epoch=epoch))
    for message in desk.entries():
        envelope = event_of(message)
        offset, words = envelope.event.offset, envelope.event.text
        sent = client.offer_text("t", "r", offset, words, envelope.text_epoch)
        text = text[: offset + sent] + words[sent:]
    assert text == "abc\n\nabc"


async def test_long_text_is_cut_so_that_each_piece_fits(desk: Desk) -> None:
    """A payload of NOTIFY has 7,999 bytes in UTF-8."""
    text = 'äöü\n"' * 5_000
    desk.deliver(passing(PartialResult(text, 7)))
    sent = desk.entries()
    assert all(len(codec.encode_passing(message, 7999)) == 1 for message in sent)
    events = [event_of(message).event for message in sent]
    assert "".join(event.text for event in events) == text
    assert [event.offset - 7 for event in events] == list(range(0, len(text), codec.PIECE))


async def test_text_that_is_too_long_is_not_told(desk: Desk) -> None:
    """The other node reads it when the next number comes."""
    desk.deliver(passing(PartialResult("x" * 1_000_000, 0)), passing(AgentProgress(1.0, "half", 2.0)))
    assert [event_of(message).event for message in desk.entries()] == [AgentProgress(1.0, "half", 2.0)]


async def test_text_that_may_show_what_placeholders_stand_for_is_not_told() -> None:
    desk = Desk(with_text=False)
    desk.announcer.follow("b", *THREAD)
    desk.deliver(passing(PartialResult("ab", 0)))
    desk.deliver(thought(1))
    assert desk.entries() == [Advanced("a", *THREAD, 1, 1.0)]


async def test_short_rows_go_with_their_number(desk: Desk) -> None:
    stored = [from_log(to_log(thought(seq))) for seq in range(1, 6)]
    frames = [row.frame for row in stored]
    rows = [msgspec.Raw(row.frame) for row in stored]
    long = stored[2].replace(message="x" * FRAMES_MAX)
    desk.deliver(*stored[:2])
    desk.deliver(from_log(to_log(long)), stored[3])
    desk.deliver(stored[4])
    (advanced,) = desk.entries()
    assert (advanced.last, advanced.frames) == (5, tuple(rows[3:]))
    assert [advanced.after(number) for number in (2, 3, 4, 5)] == [[], frames[3:], [frames[4]], []]


async def test_what_could_not_be_sent_is_told_again_as_a_number_without_its_text(desk: Desk) -> None:
    desk.deliver(thought(1), thought(2))
    desk.deliver(passing(PartialResult("ab", 0)))
    desk.entries()
    desk.announcer.tell_again()
    desk.deliver(passing(PartialResult("cd", 2)))
    number, text = desk.entries()
    assert number == Advanced("a", *THREAD, 2, 1.0)
    assert event_of(text) == passing(PartialResult("cd", 2))


async def test_what_has_no_room_is_told_as_a_number(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcer_module, "WAITING", 2)
    desk.deliver(thought(1), thought(2))
    desk.deliver(thought(3))
    desk.deliver(passing(PartialResult("ab", 0)))
    assert [message.last for message in desk.entries()] == [3, 2]
    desk.deliver(passing(PartialResult("cd", 2)))
    assert [message.head for message in desk.entries()] == [3]


async def test_who_follows_a_thread_is_told_after_its_last_events_that_it_is_deleted(desk: Desk) -> None:
    desk.deliver(thought(1))
    desk.announcer.tell_deleted(*THREAD, 1.0)
    desk.deliver(thought(2))  # of the next thread of that id, which nobody follows yet
    assert desk.entries() == [Advanced("a", *THREAD, 1, 1.0), ThreadGone("a", *THREAD, 1.0)]
    desk.announcer.tell_deleted(*THREAD, 1.0)
    assert desk.entries() == []
