"""The reorder buffer: whatever order, loss and repetition, each client gets every numbered event once and in order."""

from collections.abc import Sequence

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from transport.outbox.delivery import SNAPSHOT_NEEDED, DeliveryCursors, Verdict
from transport.wire.events import PartialResult
from understudy.extensions.nodes.reorder import HELD, ReorderBuffer
from understudy.wire.events import NO_USAGE, AgentProgress, AgentThinking, Envelope, FinalResponse, RunStatus

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def numbered(seq: int) -> Envelope:
    return Envelope(AgentThinking("a", f"{seq}", 0.0), 0.0, seq, "t", "r")


def piece(offset: int, text: str) -> Envelope:
    return Envelope(PartialResult(text, offset), 0.0, None, "t", "r")


def numbers(envelopes: Sequence[Envelope]) -> list[int]:
    return [envelope.seq for envelope in envelopes if envelope.seq is not None]


def test_what_comes_in_order_goes_on_at_once() -> None:
    joining = ReorderBuffer(3)
    assert numbers(joining.add_numbered(4, [numbered(4), numbered(5)])) == [4, 5]
    assert joining.add_ephemeral(5, [piece(0, "a")]) == [piece(0, "a")]
    assert joining.last_seq == 5


def test_a_passing_event_waits_for_those_before_it() -> None:
    joining = ReorderBuffer(3)
    assert joining.add_ephemeral(5, [piece(0, "a")]) == []
    assert joining.add_ephemeral(4, [piece(1, "b")]) == []  # not before the one that came first
    shown = joining.add_numbered(4, [numbered(4), numbered(5), numbered(6)])
    assert shown == [numbered(4), numbered(5), piece(0, "a"), piece(1, "b"), numbered(6)]
    assert not joining


def test_nothing_waits_for_long() -> None:
    joining = ReorderBuffer(0)
    for offset in range(HELD + 10):
        joining.add_ephemeral(1, [piece(offset, "x")])
    assert len(joining) == HELD
    assert joining.release()[0] == piece(10, "x")


def test_what_came_before_is_not_shown_again() -> None:
    joining = ReorderBuffer(0)
    joining.add_numbered(1, [numbered(1), numbered(2)])
    assert joining.add_numbered(1, [numbered(1), numbered(2)]) == []
    assert numbers(joining.add_numbered(2, [numbered(2), numbered(3)])) == [3]


def test_text_that_is_late_does_not_come_after_the_end_of_its_run() -> None:
    """A client that came back after the end would show it as new. Text held before the end comes out before it."""
    end = Envelope(FinalResponse("ab", RunStatus.SUCCESS, NO_USAGE), 0.0, 3, "t", "r")
    progress, other = Envelope(AgentProgress(1.0, "half"), 0.0, None, "t", "r"), piece(0, "x").replace(run_id="s")
    joining = ReorderBuffer(1)
    assert joining.add_ephemeral(2, [piece(0, "a")]) == []
    assert joining.add_numbered(2, [numbered(2), end]) == [numbered(2), piece(0, "a"), end]
    assert joining.add_ephemeral(2, [piece(1, "b"), progress, other]) == [progress, other]
    assert joining.add_ephemeral(4, [piece(1, "b")]) == []
    assert joining.add_numbered(4, [numbered(4)]) == [numbered(4)]
    assert not joining

    read = ReorderBuffer(1)
    assert read.advance(3)
    assert read.add_ephemeral(2, [piece(1, "b"), progress]) == [progress]
    assert read.add_ephemeral(3, [piece(1, "b")]) == [piece(1, "b")]
    assert read.add_numbered(3, [end]) == []
    assert read.add_ephemeral(3, [piece(1, "b")]) == []


def test_a_hole_is_not_waited_for() -> None:
    joining = ReorderBuffer(0)
    assert numbers(joining.add_numbered(4, [numbered(4)])) == [4]
    assert not joining.advance(3)
    assert joining.advance(6)


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
    """Two flows, each in order but late against each other, with losses and repetitions; missing events are read
    from the log."""
    streamed: list[Envelope] = [each for each in story if each.seq is not None]
    passing: list[tuple[int, Envelope]] = []
    head = 0
    for each in story:
        head = each.seq or head
        if each.seq is None:
            passing.append((head, each))
    client, joining = Client(streamed), ReorderBuffer(0)
    ways = [list(streamed), list(passing)]
    while ways[0] or ways[1]:
        way = data.draw(st.sampled_from([number for number, rest in enumerate(ways) if rest]))
        fate = data.draw(st.sampled_from(["arrives", "arrives", "arrives", "twice", "lost"]))
        if way == 0:
            together = data.draw(st.integers(1, len(ways[0])))
            batch, ways[0] = ways[0][:together], ways[0][together:]
            for _ in range({"lost": 0, "arrives": 1, "twice": 2}[fate]):
                client.shown(joining.add_numbered(batch[0].seq or 0, batch))
        else:
            after, event = ways[1].pop(0)
            for _ in range({"lost": 0, "arrives": 1, "twice": 2}[fate]):
                client.shown(joining.add_ephemeral(after, [event]))
        assert joining.last_seq <= len(streamed)
    if joining.advance(len(streamed)):
        client.read(len(streamed))
    client.shown(joining.release())
    assert numbers(client.got) == list(range(1, len(streamed) + 1))
    whole = LETTERS[: len(passing)]
    assert whole.startswith(client.text)
    if client.text != whole:
        client.shown(joining.add_ephemeral(joining.last_seq, [piece(0, whole)]))  # the snapshot that it asked for
        assert client.text == whole


@given(story=stories())
def test_without_losses_no_piece_comes_before_what_it_came_after(story: list[Envelope]) -> None:
    joining, shown, head = ReorderBuffer(0), [], 0
    for each in story:
        head = each.seq or head
        if each.seq is None:
            shown += joining.add_ephemeral(head, [each])
    for each in story:
        if each.seq is not None:
            shown += joining.add_numbered(each.seq, [each])
    assert [each for each in shown if each.seq is not None] == [each for each in story if each.seq is not None]
    assert [each for each in shown if each.seq is None] == [each for each in story if each.seq is None]
    if len([each for each in story if each.seq is None]) <= HELD:
        assert shown == story
