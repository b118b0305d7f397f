"""What waits for a socket: lanes, bounds, merging. Without a socket."""

from transport.events import AgentProgress, AgentThinking, Alert, Envelope, PartialResult, Pong, Priority
from transport.pending import Pending


def thought(seq: int, thread_id: str = "t") -> Envelope:
    """An event with a seq."""
    return Envelope(AgentThinking("a", "hm", 1.0), 1.0, seq=seq, thread_id=thread_id)


def text(offset: int, words: str, thread_id: str = "t") -> Envelope:
    """A piece of text."""
    return Envelope(PartialResult(words, offset), 1.0, thread_id=thread_id, message_id="m")


def words_of(envelope: Envelope) -> bytes:
    """A frame for a piece of text."""
    assert isinstance(envelope.event, PartialResult)
    return envelope.event.text.encode()


def test_lanes_go_out_one_after_the_other() -> None:
    """Alert, high, the story, low; each as it came."""
    pending = Pending(1000, 10)
    for event, name in ((AgentProgress(1, "…"), b"low"), (Pong(), b"high"), (Alert("!"), b"alert"), (Pong(), b"high2")):
        pending.add(Envelope(event, 1.0), name)
    pending.add_story(thought(1), b"one")
    assert len(pending) == 5
    assert [frame for _, frame in pending.take(1000, words_of)] == [b"alert", b"high", b"high2", b"one", b"low"]
    assert len(pending) == 0
    assert pending.take(1000, words_of) == []


def test_a_write_is_bounded_and_never_empty() -> None:
    """About as many bytes as asked for; one event at least, however large."""
    pending = Pending(10_000, 10)
    for seq in range(1, 4):
        pending.add_story(thought(seq), b"x" * 100)
    assert len(pending.take(150, words_of)) == 2
    assert len(pending.take(1, words_of)) == 1


def test_full_by_bytes_and_by_count() -> None:
    """Either bound fills the queue, and taking makes room again."""
    pending = Pending(100, 3)
    pending.add_story(thought(1), b"x" * 99)
    assert not pending.story_full
    pending.add_story(thought(2), b"x")
    assert pending.story_full
    assert pending.full(Priority.LOW)
    pending.take(1000, words_of)
    assert not pending.story_full
    for seq in range(3):
        pending.add_story(thought(seq), b"")
    assert pending.story_full
    assert not pending.full(Priority.LOW)


def test_text_is_merged_only_with_its_neighbours() -> None:
    """An event between two pieces keeps them apart: the story is told in order."""
    pending = Pending(10_000, 10)
    for envelope in (text(0, "ab"), text(2, "cd")):
        pending.add_text(envelope, 2)
    pending.add_story(thought(1), b"one")
    pending.add_text(text(4, "ef"), 2)
    assert [frame for _, frame in pending.take(10_000, words_of)] == [b"abcd", b"one", b"ef"]


def test_text_nobody_is_shown_is_left_out() -> None:
    """An encoder without a frame for text leaves nothing to send."""
    pending = Pending(10_000, 10)
    pending.add_text(text(0, "ab"), 2)
    assert pending.take(10_000, lambda envelope: None) == []


def test_a_thread_can_be_forgotten() -> None:
    """Its events and text are given back and their bytes are free; other threads stay as they were."""
    pending = Pending(1_000, 10)
    pending.add_story(thought(1), b"x" * 400)
    pending.add_text(text(0, "ab"), 2)
    pending.add_story(thought(1, "u"), b"y" * 400)
    assert pending.story_full
    assert pending.forget("t") == [thought(1), text(0, "ab")]
    assert pending.forget("t") == []
    pending.add_story(thought(2, "u"), b"z" * 599)
    assert not pending.story_full
    assert [frame[:1] for _, frame in pending.take(10_000, words_of)] == [b"y", b"z"]
