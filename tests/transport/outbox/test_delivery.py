import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from tests.rigs.event_samples import WHEN
from transport.outbox.delivery import (
    ASK_AGAIN,
    MAX_DELETED,
    MAX_ENDED,
    SNAPSHOT_NEEDED,
    DeliveryCursors,
    Verdict,
    merge_text,
)
from transport.wire.errors import CommandRejected
from transport.wire.events import PartialResult
from understudy.wire.events import AgentThinking, Envelope

THREADS = st.sampled_from(["a", "b"])


class DeliveryMachine(RuleBasedStateMachine):
    """A connection between a log that grows and a client: live events are lost, doubled and late, pages too."""

    @initialize(after=st.integers(0, 3), more=st.integers(0, 4))
    def connect(self, after: int, more: int) -> None:
        """The client comes with a position in each thread; the log may hold more."""
        self.session = DeliveryCursors()
        self.heads = dict.fromkeys(("a", "b"), after + more)
        self.after = {"a": after, "b": after}
        self.given: dict[str, list[int]] = {"a": [], "b": []}
        self.live: list[tuple[str, int]] = []
        self.pages: list[tuple[str, list[int], int]] = []
        for thread in ("a", "b"):
            self.session.subscribe(thread, after, self.heads[thread])

    @rule(thread=THREADS, count=st.integers(1, 4))
    def commit(self, thread: str, count: int) -> None:
        """Events are committed to the log, and their live copies are on the way."""
        for _ in range(count):
            self.heads[thread] += 1
            self.live.append((thread, self.heads[thread]))

    @rule(data=st.data(), keep=st.booleans(), lost=st.booleans())
    def live_event(self, data: st.DataObject, keep: bool, lost: bool) -> None:
        """Any live event arrives: perhaps not, perhaps again later, perhaps before an earlier one."""
        if not self.live:
            return
        index = data.draw(st.integers(0, len(self.live) - 1))
        thread, seq = self.live[index] if keep else self.live.pop(index)
        if not lost and self.session.offer(thread, seq) is Verdict.SEND:
            self.given[thread].append(seq)

    @rule(limit=st.integers(1, 3))
    def read_log(self, limit: int) -> None:
        """Whatever is behind is asked from the log; the page is on the way while the log may grow on."""
        for thread, after in self.session.behind():
            head = self.heads[thread]
            self.pages.append((thread, list(range(after + 1, min(head, after + limit) + 1)), head))

    @rule(data=st.data(), keep=st.booleans())
    def page(self, data: st.DataObject, keep: bool) -> None:
        if not self.pages:
            return
        index = data.draw(st.integers(0, len(self.pages) - 1))
        self.take(*(self.pages[index] if keep else self.pages.pop(index)))

    @rule(thread=THREADS, back=st.integers(0, 3))
    def resume(self, thread: str, back: int) -> None:
        """The client resumes up to a few events back, and discards later events."""
        position = max(self.after[thread], self.session.find(thread).cursor - back)
        self.session.subscribe(thread, position, self.heads[thread])
        del self.given[thread][position - self.after[thread] :]

    def take(self, thread: str, seqs: list[int], head: int) -> None:
        for seq in seqs:
            if self.session.offer(thread, seq) is Verdict.SEND:
                self.given[thread].append(seq)
        self.session.extend_log(thread, head)

    @invariant()
    def in_order_and_once(self) -> None:
        """At every moment the client has exactly the events after its position, in order, each once."""
        for thread, seqs in getattr(self, "given", {}).items():
            assert seqs == list(range(self.after[thread] + 1, self.after[thread] + 1 + len(seqs)))
            assert self.session.find(thread).cursor == self.after[thread] + len(seqs)

    def teardown(self) -> None:
        """Once the network is quiet, reading the log gives the client everything, and then nothing is behind."""
        if not hasattr(self, "heads"):
            return
        for thread, head in self.heads.items():
            self.session.extend_log(thread, head)
        while behind := self.session.behind():
            for thread, after in behind:
                head = self.heads[thread]
                self.take(thread, list(range(after + 1, min(head, after + 2) + 1)), head)
        for thread, head in self.heads.items():
            assert self.given[thread] == list(range(self.after[thread] + 1, head + 1))


class TextMachine(RuleBasedStateMachine):
    """A streamed answer whose pieces are lost, doubled and late, and a client that assembles the returned ones."""

    pieces = Bundle("pieces")

    @initialize(text=st.text(max_size=5))
    def begin(self, text: str) -> None:
        """The connection may come when some text is there already."""
        self.session = DeliveryCursors()
        self.text = text
        self.given = ""

    @rule(target=pieces, text=st.text(min_size=1, max_size=4))
    def stream(self, text: str) -> tuple[int, str]:
        offset = len(self.text)
        self.text += text
        return offset, text

    @rule(piece=pieces)
    def arrive(self, piece: tuple[int, str]) -> None:
        self.take(*piece)

    @rule()
    def snapshot(self) -> None:
        assert self.take(0, self.text) is not SNAPSHOT_NEEDED
        assert self.given == self.text

    @rule()
    def drop(self) -> None:
        self.given = ""
        self.session.forget_texts("t")

    def take(self, offset: int, text: str) -> object:
        verdict = self.session.offer_text("t", "m", offset, text)
        if isinstance(verdict, int):
            assert offset + verdict == len(self.given)
            self.given += text[verdict:]
        return verdict

    @invariant()
    def a_prefix(self) -> None:
        """At every moment the client has the beginning of the answer, without a hole and without a repeat."""
        assert getattr(self, "text", "").startswith(getattr(self, "given", ""))


TestDelivery = DeliveryMachine.TestCase
TestDelivery.settings = settings(deadline=None, max_examples=150, stateful_step_count=40)
TestText = TextMachine.TestCase
TestText.settings = settings(deadline=None, max_examples=100, stateful_step_count=30)


def test_cursors_have_no_table_of_attributes() -> None:
    """There are some for every connection: 100 bytes each."""
    assert not hasattr(DeliveryCursors(), "__dict__")


def test_a_position_beyond_the_log_is_its_end() -> None:
    session = DeliveryCursors()
    session.subscribe("t", after=90, head=5)
    assert session.behind() == []
    assert session.offer("t", 6) is Verdict.SEND


def test_a_higher_head_puts_a_thread_behind() -> None:
    """When the last live event was lost, the head that somebody else mentions is enough; a lower one is old news."""
    session = DeliveryCursors()
    session.subscribe("t", after=2, head=2)
    session.extend_log("t", 4)
    session.extend_log("t", 3)
    assert session.behind() == [("t", 2)]
    session.offer("t", 3)
    assert session.behind() == [("t", 3)]


def test_a_trimmed_log_is_jumped_over() -> None:
    """After a resync the thread goes on from there and is not behind; it never jumps back."""
    session = DeliveryCursors()
    session.subscribe("t", after=2, head=50)
    session.skip_to("t", 40)
    assert session.behind() == []
    assert session.offer("t", 41) is Verdict.SEND
    session.skip_to("t", 10)
    assert session.find("t").cursor == 41


def test_a_thread_nobody_follows_is_told_apart() -> None:
    session = DeliveryCursors()
    session.subscribe("t", after=0, head=0)
    session.delete("t")
    session.delete("t")
    session.extend_log("t", 4)
    session.skip_to("t", 4)
    assert session.offer("t", 1) is Verdict.NOT_SUBSCRIBED
    assert session.find("t") is None
    assert session.behind() == []


def test_a_deleted_thread_is_remembered_until_its_id_is_used_again() -> None:
    session = DeliveryCursors()
    for number in range(MAX_DELETED + 1):
        session.delete(f"t{number}")
    assert [session.is_deleted(f"t{number}") for number in (0, 1, MAX_DELETED)] == [False, True, True]
    session.subscribe("t1", after=0, head=0)
    assert not session.is_deleted("t1")


def test_the_silent_thread_makes_room() -> None:
    """At the bound the least recently used thread that is not behind is dropped, and returned."""
    session = DeliveryCursors(max_threads=3)
    for thread, head in (("behind", 5), ("busy", 0), ("silent", 0)):
        assert session.subscribe(thread, after=0, head=head) is None
    session.offer("busy", 1)
    assert session.subscribe("new", after=0, head=0) == "silent"
    assert [name for name in ("behind", "busy", "silent", "new") if session.find(name)] == ["behind", "busy", "new"]
    assert session.subscribe("new", after=0, head=0) is None


def test_no_room_is_said() -> None:
    """When every thread still needs its events, one more is refused and nothing is lost."""
    session = DeliveryCursors(max_threads=2)
    session.subscribe("a", after=0, head=1)
    session.subscribe("b", after=0, head=1)
    with pytest.raises(CommandRejected) as caught:
        session.subscribe("c", after=0, head=0)
    assert caught.value.code == "busy"
    assert [name for name in "abc" if session.find(name)] == ["a", "b"]


def test_an_overlap_is_trimmed() -> None:
    session = DeliveryCursors()
    session.offer_text("t", "m", 0, "abc")
    assert session.offer_text("t", "m", 1, "bcde") == 2
    assert session.offer_text("t", "m", 0, "abcde") is None
    assert session.offer_text("t", "m", 1, "b") is None
    assert session.offer_text("t", "m", 3, "") is None


def test_an_empty_piece_in_its_place_passes() -> None:
    session = DeliveryCursors()
    session.offer_text("t", "m", 0, "abc")
    assert session.offer_text("t", "m", 3, "") == 0


def test_an_answer_that_is_written_again_is_handed_over_from_its_beginning() -> None:
    """The text of another epoch replaces the longer one before, also if its first pieces are lost."""
    session = DeliveryCursors()
    session.offer_text("t", "m", 0, "abcdef", "1")
    assert session.offer_text("t", "m", 0, "abc", "2") == 0
    assert session.offer_text("t", "m", 3, "xyz", "2") == 0
    assert session.offer_text("t", "m", 20, "lost", "2") is SNAPSHOT_NEEDED
    assert session.offer_text("t", "m", 2, "lost", "3") is SNAPSHOT_NEEDED
    assert session.offer_text("t", "m", 0, "uv", "3") == 0


def test_a_hole_asks_once_for_a_snapshot() -> None:
    """One question is enough, though many pieces follow; a lost question is asked again."""
    session = DeliveryCursors()
    assert session.offer_text("t", "m", 5, "x") is SNAPSHOT_NEEDED
    assert [session.offer_text("t", "m", 6 + n, "x") for n in range(ASK_AGAIN)] == [None] * ASK_AGAIN
    assert session.offer_text("t", "m", 90, "x") is SNAPSHOT_NEEDED
    assert session.offer_text("t", "m", 0, "a" * 91) == 0
    assert session.offer_text("t", "m", 95, "x") is SNAPSHOT_NEEDED


def test_a_finished_answer_has_no_more_text() -> None:
    session = DeliveryCursors()
    session.offer_text("t", "m", 0, "abc")
    session.finish_text("m")
    session.finish_text("m")
    assert session.offer_text("t", "m", 0, "abc") is None
    assert session.offer_text("t", "m", 3, "d") is None
    for number in range(MAX_ENDED):
        session.finish_text(str(number))
    assert session.offer_text("t", "m", 0, "xyz") == 0


def test_the_answers_of_a_thread_can_begin_anew() -> None:
    session = DeliveryCursors()
    for thread_id, run_id in (("t", "a"), ("t", "b"), ("u", "c")):
        session.offer_text(thread_id, run_id, 0, "abc")
    session.forget_texts("t")
    assert session.offer_text("t", "a", 0, "abc") == 0
    assert session.offer_text("t", "b", 3, "d") is SNAPSHOT_NEEDED
    assert session.offer_text("u", "c", 3, "d") == 0


def test_the_number_of_texts_is_bounded() -> None:
    """The answer heard of least recently is forgotten; if it goes on, it comes again from the start."""
    session = DeliveryCursors(max_texts=2)
    for message in ("a", "b", "c"):
        session.offer_text("t", message, 0, "xy")
    assert session.offer_text("t", "c", 2, "z") == 0
    assert session.offer_text("t", "a", 2, "z") is SNAPSHOT_NEEDED


def piece(thread: str, message: str, offset: int, text: str) -> Envelope:
    return Envelope(PartialResult(text, offset), WHEN + offset, None, thread, message_id=message)


def test_neighbouring_text_is_joined() -> None:
    [joined] = merge_text([piece("t", "m", 0, "a"), piece("t", "m", 1, "b"), piece("t", "m", 2, "c")])
    assert joined == piece("t", "m", 0, "abc")


def test_text_joins_across_other_threads() -> None:
    """Two answers that stream at once are two frames, not as many as there are pieces."""
    waiting = [piece("t", "m", 0, "a"), piece("u", "n", 0, "x"), piece("t", "m", 1, "b"), piece("u", "n", 1, "y")]
    assert merge_text(waiting) == [piece("t", "m", 0, "ab"), piece("u", "n", 0, "xy")]


def test_text_does_not_overtake_events_of_its_thread() -> None:
    thought = Envelope(AgentThinking("a", "hm", WHEN), WHEN, 3, "t", message_id="m")
    waiting = [piece("t", "m", 0, "a"), thought, piece("t", "m", 1, "b"), piece("t", "m", 2, "c")]
    assert merge_text(waiting) == [piece("t", "m", 0, "a"), thought, piece("t", "m", 1, "bc")]


def test_only_what_continues_is_joined() -> None:
    """A hole, another message, a snapshot or another text begins a new frame."""
    first, again = piece("t", "m", 0, "a"), piece("t", "m", 1, "b").replace(text_epoch="2")
    assert merge_text([first, again]) == [first, again]
    waiting = [piece("t", "m", 0, "a"), piece("t", "m", 5, "b"), piece("t", "n", 6, "c"), piece("t", "n", 0, "c")]
    assert merge_text(waiting) == waiting
    assert merge_text([]) == []
