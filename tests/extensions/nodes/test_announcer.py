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


class Told:
    """An announcer, and what others are told."""

    def __init__(self, *, with_text: bool = True) -> None:
        self.woken: list[bool] = []
        self.announcer = Announcer(Node(), self.woken.append, lambda _: None, with_text)  # type: ignore[arg-type]

    def deliver(self, *envelopes: Envelope) -> None:
        self.announcer.deliver(*THREAD, 1.0, envelopes)

    def taken(self) -> list[Any]:
        return [told for _, batch in self.announcer.take() for told in batch]

    def nodes(self) -> list[str]:
        return [node for nodes, _ in self.announcer.take() for node in nodes]


def shown(told: Passing) -> Envelope:
    """The event that is told, as the other node has it."""
    return from_log(bytes(told.body)).replace(text_epoch=told.epoch)


@pytest.fixture
async def told() -> Told:
    told = Told()
    assert told.announcer.follow("b", *THREAD)
    return told


async def test_a_thread_is_told_to_the_nodes_that_say_they_follow_it_until_they_have_not_for_long(
    told: Told, autojump_clock: trio.testing.MockClock
) -> None:
    assert not told.announcer.follow("b", *THREAD)
    await trio.sleep(FOLLOWED_S - 1)
    assert told.announcer.follow("c", *THREAD)
    told.deliver(thought(1))
    assert told.nodes() == ["b", "c"]
    await trio.sleep(2)
    told.deliver(thought(2))
    assert told.nodes() == ["c"]
    assert told.announcer.is_followed(*THREAD)
    await trio.sleep(FOLLOWED_S)
    assert not told.announcer.is_followed(*THREAD)
    assert not told.announcer.is_followed("ann", "u")
    told.announcer.deliver("bob", "t", 1.0, [thought(1)])
    assert told.nodes() == []


async def test_threads_that_nobody_follows_any_more_leave_nothing(
    told: Told, autojump_clock: trio.testing.MockClock
) -> None:
    for number in range(500):
        told.announcer.follow("b", "ann", f"{number}")
        await trio.sleep(FOLLOWED_S)
    assert len(told.announcer._threads) < 200


async def test_no_more_threads_and_nodes_are_kept_than_needed(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcer_module, "MOST_FOLLOWED", 2)
    assert told.announcer.follow("c", *THREAD)
    assert not told.announcer.follow("d", *THREAD)
    assert told.announcer.follow("d", "ann", "u")
    assert not told.announcer.follow("d", "ann", "v")
    told.deliver(thought(1))
    assert told.nodes() == ["b", "c"]


async def test_events_are_told_together_in_order(told: Told) -> None:
    told.deliver(thought(7), thought(8))
    told.deliver(passing(PartialResult("ab", 0)))
    told.deliver(passing(PartialResult("cd", 2)))
    told.deliver(passing(AgentProgress(1.0, "half", 2.0)), passing(FeedbackGiven("m", None)))
    told.deliver(thought(9))
    told.deliver(passing(PartialResult("ef", 4)))
    assert told.woken == [True, False, False, False, True, False]
    sent = told.taken()
    assert [(type(message), message.last if isinstance(message, Advanced) else message.head) for message in sent] == [
        (Advanced, 8), (Passing, 8), (Passing, 8), (Passing, 8), (Advanced, 9), (Passing, 9),
    ]  # fmt: skip
    assert [shown(message) for message in sent if isinstance(message, Passing)] == [
        passing(PartialResult("abcd", 0)),
        passing(AgentProgress(1.0, "half", 2.0)),
        passing(FeedbackGiven("m", None)),
        passing(PartialResult("ef", 4)),
    ]
    assert told.taken() == []


async def test_who_begins_to_follow_is_told_the_number_of_the_last_event(told: Told) -> None:
    told.announcer.tell_end(*THREAD, 1.0, 4)
    told.deliver(passing(PartialResult("ab", 0)))
    first, text = told.taken()
    assert first == Advanced("a", *THREAD, 4, 1.0)
    assert text.head == 4


async def test_an_answer_that_is_written_again_replaces_the_text_of_a_client_on_another_node(told: Told) -> None:
    """The second text is shorter at first and arrives together with its continuation, which is not the old one."""
    client, text = DeliveryCursors(), ""
    for epoch, offset, piece in [("1", 0, "abcdef"), ("2", 0, "abc"), ("2", 3, "\n\nabc")]:
        told.deliver(passing(PartialResult(piece, offset)).replace(text_epoch=epoch))
    for message in told.taken():
        envelope = shown(message)
        offset, words = envelope.event.offset, envelope.event.text
        sent = client.offer_text("t", "r", offset, words, envelope.text_epoch)
        assert isinstance(sent, int)
        text = text[: offset + sent] + words[sent:]
    assert text == "abc\n\nabc"


async def test_long_text_is_cut_so_that_each_piece_fits(told: Told) -> None:
    """A payload of NOTIFY has 7,999 bytes in UTF-8."""
    text = 'äöü\n"' * 5_000
    told.deliver(passing(PartialResult(text, 7)))
    sent = told.taken()
    assert all(len(codec.encode_passing(message, 7999)) == 1 for message in sent)
    events = [shown(message).event for message in sent]
    assert "".join(event.text for event in events) == text
    assert [event.offset - 7 for event in events] == list(range(0, len(text), codec.PIECE))


async def test_text_that_is_too_long_is_not_told(told: Told) -> None:
    """It is read at the next number."""
    told.deliver(passing(PartialResult("x" * 1_000_000, 0)), passing(AgentProgress(1.0, "half", 2.0)))
    assert [shown(message).event for message in told.taken()] == [AgentProgress(1.0, "half", 2.0)]


async def test_text_that_may_show_what_placeholders_stand_for_is_not_told() -> None:
    told = Told(with_text=False)
    told.announcer.follow("b", *THREAD)
    told.deliver(passing(PartialResult("ab", 0)))
    told.deliver(thought(1))
    assert told.taken() == [Advanced("a", *THREAD, 1, 1.0)]


async def test_short_rows_go_with_their_number(told: Told) -> None:
    stored = [from_log(to_log(thought(seq))) for seq in range(1, 6)]
    frames = [row.frame for row in stored]
    rows = [msgspec.Raw(row.frame) for row in stored]
    long = stored[2].replace(message="x" * FRAMES_MAX)
    told.deliver(*stored[:2])
    told.deliver(from_log(to_log(long)), stored[3])
    told.deliver(stored[4])
    (advanced,) = told.taken()
    assert (advanced.last, advanced.frames) == (5, tuple(rows[3:]))
    assert [advanced.after(number) for number in (2, 3, 4, 5)] == [[], frames[3:], [frames[4]], []]


async def test_what_could_not_be_sent_is_told_again_as_a_number_without_its_text(told: Told) -> None:
    told.deliver(thought(1), thought(2))
    told.deliver(passing(PartialResult("ab", 0)))
    told.taken()
    told.announcer.tell_again()
    told.deliver(passing(PartialResult("cd", 2)))
    number, text = told.taken()
    assert number == Advanced("a", *THREAD, 2, 1.0)
    assert shown(text) == passing(PartialResult("cd", 2))


async def test_what_has_no_room_is_told_as_a_number(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcer_module, "WAITING", 2)
    told.deliver(thought(1), thought(2))
    told.deliver(thought(3))
    told.deliver(passing(PartialResult("ab", 0)))
    assert [message.last for message in told.taken()] == [3, 2]
    told.deliver(passing(PartialResult("cd", 2)))
    assert [message.head for message in told.taken()] == [3]


async def test_who_follows_a_thread_is_told_after_its_last_events_that_it_is_deleted(told: Told) -> None:
    told.deliver(thought(1))
    told.announcer.tell_deleted(*THREAD, 1.0)
    told.deliver(thought(2))  # of the next thread of that id, which nobody follows yet
    assert told.taken() == [Advanced("a", *THREAD, 1, 1.0), ThreadGone("a", *THREAD, 1.0)]
    told.announcer.tell_deleted(*THREAD, 1.0)
    assert told.taken() == []
