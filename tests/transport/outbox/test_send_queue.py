"""The send queue without a socket: lanes, bounds, merging, chunks."""

import gc
import json
import sys

import pytest

from transport.outbox.send_queue import SendQueue
from transport.wire.events import PartialResult, Pong, Priority
from transport.wire.payloads import CHUNK_BYTES, ClientCapabilities
from understudy.wire.dialects import Dialect
from understudy.wire.events import AgentThinking, Alert, Envelope
from understudy.wire.vocabulary import VOCABULARY


def thought(seq: int, thread_id: str = "t") -> Envelope:
    return Envelope(AgentThinking("a", "hm", 1.0), 1.0, seq=seq, thread_id=thread_id)


def text(offset: int, words: str, thread_id: str = "t") -> Envelope:
    return Envelope(PartialResult(words, offset), 1.0, thread_id=thread_id, message_id="m")


def words_of(envelope: Envelope) -> bytes:
    assert isinstance(envelope.event, PartialResult)
    return envelope.event.text.encode()


def test_a_write_is_bounded_and_never_empty() -> None:
    pending = SendQueue(10_000, 10)
    for seq in range(1, 4):
        pending.add([b"x" * 100], [thought(seq)])
    assert len(pending.pop(150, words_of).frames) == 2
    assert len(pending.pop(1, words_of).frames) == 1


def test_full_by_bytes_and_by_count() -> None:
    """Either bound fills the queue, and taking makes room again."""
    pending = SendQueue(100, 3)
    pending.add([b"x" * 99], [thought(1)])
    assert not pending.durable_full
    pending.add([b"x"], [thought(2)])
    assert pending.durable_full
    assert pending.full(Priority.LOW)
    pending.pop(1000, words_of)
    assert not pending.durable_full
    for seq in range(3):
        pending.add([b""], [thought(seq)])
    assert pending.durable_full
    assert not pending.full(Priority.LOW)


def test_a_queue_that_was_drained_takes_no_more_memory_than_a_new_one() -> None:
    def held(queue: SendQueue) -> int:
        return sum(sys.getsizeof(part) for part in gc.get_referents(queue) if isinstance(part, dict))

    pending = SendQueue(10_000, 10)
    pending.add([b"x"], [thought(1)])
    pending.add([b"x"], [Envelope(Alert("news"), 0.0)])
    pending.pop(10_000, words_of)
    assert held(pending) == held(SendQueue(10_000, 10))


def test_text_nobody_is_shown_is_left_out() -> None:
    pending = SendQueue(10_000, 10)
    pending.add_text(text(0, "ab"))
    assert pending.pop(10_000, lambda envelope: None).frames == []


def test_a_thread_can_be_forgotten() -> None:
    """Its text is returned and its bytes are free; other threads are unchanged."""
    pending = SendQueue(1_000, 10)
    pending.add([b"x" * 400], [thought(1)])
    pending.add_text(text(0, "ab"))
    pending.add([b"y" * 400], [thought(1, "u")])
    assert pending.durable_full
    assert pending.discard_thread("t") == [text(0, "ab")]
    assert pending.discard_thread("t") == []
    assert pending.bytes == 400
    assert [frame[:1] for frame in pending.pop(10_000, words_of).frames] == [b"y"]
    assert not pending.durable_full


def test_from_the_high_mark_down_to_the_low_one() -> None:
    """`durable_full` stays set until a quarter is left."""
    pending = SendQueue(1_000, 100)
    for seq in range(1, 11):
        pending.add([b"x" * 100], [thought(seq)])
    assert pending.durable_full
    pending.pop(700, words_of)
    assert (pending.durable_full, pending.bytes) == (True, 300)
    pending.pop(100, words_of)
    assert (pending.durable_full, pending.bytes) == (False, 200)


def test_urgent_frames_can_be_taken_alone() -> None:
    pending = SendQueue(1_000, 10)
    pending.add([b"one"], [thought(1)])
    pending.add([b"high"], [Envelope(Pong(), 1.0)])
    pending.add([b"alert"], [Envelope(Alert("!"), 1.0)])
    assert pending.pop(1_000, words_of, urgent_only=True).frames == [b"alert", b"high"]
    assert len(pending) == 1


def test_taken_frames_are_known_by_type_and_time() -> None:
    pending = SendQueue(10_000, 100)
    events = [Envelope(AgentThinking("a", "hm", 1.0), float(seq), seq=seq, thread_id="t") for seq in range(1, 4)]
    pending.add([b"1" * 10, b"2" * 10, b"3" * 10], events)
    pending.add([b"alert"], [Envelope(Alert("!"), 9.0)])
    first, second = pending.pop(16, words_of), pending.pop(16, words_of)
    assert (first.types, first.times) == (["alert", "agent_thinking", "agent_thinking"], [9.0, 1.0, 2.0])
    assert (second.frames, second.types, second.times) == ([b"3" * 10], ["agent_thinking"], [3.0])
    assert not pending
    assert pending.bytes == 0


@pytest.mark.promise("wire.alert")
@pytest.mark.promise("wire.hello-chunk")
def test_an_alert_overtakes_the_remaining_chunks_of_a_large_event() -> None:
    """A large event is sent in part, then an alert is queued: the alert precedes the other chunks; the thread's next
    event follows them.
    """
    pending = SendQueue(10**6, 100)
    pending.capabilities = ClientCapabilities(chunk=True)
    encode = VOCABULARY.encoder_for(Dialect.CANONICAL)
    for seq, size in ((1, 6 * CHUNK_BYTES), (2, 1)):
        envelope = Envelope(AgentThinking("a", "x" * size, 1.0), 1.0, seq=seq, thread_id="t")
        pending.add([encode(envelope) or b""], [envelope])
    writes = [pending.next_write(2 * CHUNK_BYTES, encode).frames]
    alert = Envelope(Alert("now"), 1.0)
    pending.add([encode(alert) or b""], [alert])
    while pending:
        writes.append(pending.next_write(2 * CHUNK_BYTES, encode).frames)
    decoded = [[json.loads(payload) for payload in write] for write in writes]
    first, second, *rest = [[frame["type"] for frame in write] for write in decoded]
    assert set(first) == {"chunk"}
    assert second[0] == "alert"
    assert set(second[1:]) == {"chunk"}
    assert rest[-1][-1] == "agent_thinking"
    whole = "".join(frame["data"] for write in decoded for frame in write if frame["type"] == "chunk")
    assert json.loads(whole)["data"]["thought"] == "x" * 6 * CHUNK_BYTES
