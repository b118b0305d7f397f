"""A log that is followed: whatever is late or lost, each client gets every numbered event once and in order."""

from collections.abc import Sequence
from typing import Any

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from transport.outbox.delivery import SNAPSHOT_NEEDED, DeliveryCursors, Verdict
from transport.wire.events import PartialResult
from understudy.extensions.nodes.followed_log import FollowedLog
from understudy.wire.events import NO_USAGE, AgentProgress, AgentThinking, Envelope, FinalResponse, RunStatus

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def numbered(seq: int) -> Envelope:
    return Envelope(AgentThinking("a", f"{seq}", 0.0), 0.0, seq, "t", "r")


def piece(offset: int, text: str) -> Envelope:
    return Envelope(PartialResult(text, offset), 0.0, None, "t", "r")


def numbers(envelopes: Sequence[Envelope]) -> list[int]:
    return [envelope.seq for envelope in envelopes if envelope.seq is not None]


def test_what_comes_in_order_goes_on_at_once() -> None:
    followed = FollowedLog(3)
    assert numbers(followed.add_numbered(4, [numbered(4), numbered(5)])) == [4, 5]
    assert followed.add_ephemeral(5, [piece(0, "a")]) == [piece(0, "a")]
    assert followed.last_seq == 5


def test_a_passing_event_comes_after_those_before_it_or_not_at_all() -> None:
    followed = FollowedLog(3)
    assert followed.add_ephemeral(5, [piece(0, "a")]) == []
    assert followed.add_numbered(4, [numbered(4), numbered(5)]) == [numbered(4), numbered(5)]
    assert followed.add_ephemeral(5, [piece(0, "a")]) == [piece(0, "a")]


def test_what_came_before_is_not_shown_again() -> None:
    followed = FollowedLog(0)
    followed.add_numbered(1, [numbered(1), numbered(2)])
    assert followed.add_numbered(1, [numbered(1), numbered(2)]) == []
    assert numbers(followed.add_numbered(2, [numbered(2), numbered(3)])) == [3]


def test_text_that_is_late_does_not_come_after_the_end_of_its_run() -> None:
    """A client that came back after the end would show it as new."""
    end = Envelope(FinalResponse("ab", RunStatus.SUCCESS, NO_USAGE), 0.0, 3, "t", "r")
    progress, other = Envelope(AgentProgress(1.0, "half"), 0.0, None, "t", "r"), piece(0, "x").replace(run_id="s")
    followed = FollowedLog(1)
    assert followed.add_numbered(2, [numbered(2), end]) == [numbered(2), end]
    assert followed.add_ephemeral(2, [piece(1, "b"), progress, other]) == [progress, other]
    assert followed.add_numbered(4, [numbered(4)]) == [numbered(4)]
    assert followed.add_ephemeral(4, [piece(1, "b")]) == []

    read = FollowedLog(1)
    assert read.advance(3)
    assert read.add_ephemeral(2, [piece(1, "b"), progress]) == [progress]
    assert read.add_ephemeral(3, [piece(1, "b")]) == [piece(1, "b")]
    assert read.add_numbered(3, [end]) == []
    assert read.add_ephemeral(3, [piece(1, "b")]) == []


def test_a_hole_is_not_waited_for() -> None:
    followed = FollowedLog(0)
    assert numbers(followed.add_numbered(4, [numbered(4)])) == [4]
    assert not followed.advance(3)
    assert followed.advance(6)


@define
class Client:
    """An outbox with the log to read from: `got` are the events its client received, in order."""

    log: list[Envelope]
    session: DeliveryCursors = field(factory=DeliveryCursors)
    got: list[Envelope] = field(factory=list)
    text: str = ""
    wants: bool = False

    def __attrs_post_init__(self) -> None:
        self.session.subscribe("t", 0, 0)

    def shown(self, envelopes: Sequence[Envelope]) -> None:
        for envelope in envelopes:
            if isinstance(envelope.event, PartialResult):
                self._text(envelope.event)
            elif self.session.offer("t", envelope.seq or 0) is Verdict.SEND:
                self.got.append(envelope)
        self.read()

    def _text(self, event: PartialResult) -> None:
        sent = self.session.offer_text("t", "r", event.offset, event.text)
        if isinstance(sent, int):
            assert event.offset + sent == len(self.text)
            self.got.append(piece(event.offset + sent, event.text[sent:]))
            self.text += event.text[sent:]
        self.wants |= sent is SNAPSHOT_NEEDED

    def read(self, head: int = 0) -> None:
        self.session.extend_log("t", head)
        while self.session.extend_log("t"):
            envelope = self.log[self.session.find("t").cursor]
            assert self.session.offer("t", envelope.seq or 0) is Verdict.SEND
            self.got.append(envelope)


@st.composite
def stories(draw: st.DrawFn) -> list[Envelope]:
    """The events of a thread: numbered ones, and deltas of one text between them."""
    kinds = draw(st.lists(st.booleans(), min_size=1, max_size=20))
    story, seq, offset = [], 0, 0
    for is_piece in kinds:
        if is_piece and offset < len(LETTERS):
            story.append(piece(offset, LETTERS[offset]))
            offset += 1
        else:
            seq += 1
            story.append(numbered(seq))
    return story


@given(story=stories(), data=st.data())
def test_whatever_happens_on_the_way_each_client_gets_the_story(story: list[Envelope], data: st.DataObject) -> None:
    """Numbers and text come late against each other, with losses and repetitions. What is read is in the log."""
    logged = [event for event in story if event.seq is not None]
    passing: list[tuple[int, Envelope]] = []
    head = 0
    for event in story:
        head = event.seq or head
        if event.seq is None:
            passing.append((head, event))
    client, followed = Client(logged), FollowedLog(0)

    def read_to(number: int) -> None:
        known = followed.last_seq
        client.shown(followed.add_numbered(known + 1, logged[known:number]) if number > known else ())

    ways: list[list[Any]] = [[event.seq for event in logged], list(passing)]
    while ways[0] or ways[1]:
        way = data.draw(st.sampled_from([number for number, rest in enumerate(ways) if rest]))
        come = ways[way].pop(0)
        for _ in range(data.draw(st.sampled_from([0, 1, 1, 1, 2]))):
            if way == 0:
                read_to(come)
                continue
            after, event = come
            if data.draw(st.booleans()):  # else the log cannot be read
                read_to(after)
            client.shown(followed.add_ephemeral(after, [event]))
        assert followed.last_seq <= len(logged)
    if followed.advance(len(logged)):
        client.read(len(logged))
    assert numbers(client.got) == list(range(1, len(logged) + 1))
    whole = LETTERS[: len(passing)]
    assert whole.startswith(client.text)
    if client.text != whole:
        client.shown(followed.add_ephemeral(followed.last_seq, [piece(0, whole)]))  # the snapshot that it asked for
        assert client.text == whole
