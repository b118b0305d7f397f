"""The send queue of a client: four priority lanes, bounded in bytes and count, with high and low water marks. Pure.

Its writes are batched, compressed and chunked as the client can take it.
"""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import Final, TypeAlias

from attrs import Factory, define

from transport.outbox.delivery import merge_text
from transport.wire.events import AnswerPreview, Envelope, PartialResult, Priority
from transport.wire.payloads import CHUNK_BYTES, ClientCapabilities, pack, split

# Bytes of a text frame besides the text, roughly.
_FRAME_OVERHEAD: Final = 300
# A full queue accepts durable events again below a quarter of its bound: a client that has just begun to read again
# then gets pages from the log, not one event for each that it has read.
_LOW_WATER_DIVISOR: Final = 4

_ORDER: Final = tuple(Priority)
_URGENT: Final = (Priority.ALERT, Priority.HIGH)
_DURABLE: Final = Priority.NORMAL

Encode: TypeAlias = Callable[[Envelope], bytes | None]


@define
class FrameBatch:
    """Frames in order, the types of their events, and the times of the live events (Unix seconds).

    A replayed event has no entry in `times`, as its age is not its delivery lag. A queued batch is live or replayed as
    a whole, so taking a part of it keeps the lists in step. The events are not stored: a client that does not read
    would cost their text twice.
    """

    frames: list[bytes] = Factory(list)
    types: list[str] = Factory(list)
    times: list[float] = Factory(list)
    thread_id: str | None = None


# Frames; or a text piece or preview, encoded as late as possible so that consecutive pieces can be merged.
QueueEntry: TypeAlias = FrameBatch | Envelope


class SendQueue:
    """Events in sending order: lane by lane, and first in, first out within a lane.

    Durable events and text share the normal lane, so that a thread's events stay in order. `max_bytes` and `max_events`
    bound that lane; any other lane holds at most twice as much. `durable_full` is set when the bound is reached, until
    a quarter of it is left; no durable event or text may be added then. `bytes` is the approximate size.
    `capabilities` are the client's, and may change at any time.
    """

    __slots__ = (
        "_chunk_ids", "_chunks", "_counts", "_lanes", "_max_bytes", "_max_events", "bytes", "capabilities",
        "durable_full",
    )  # fmt: skip

    def __init__(self, max_bytes: int, max_events: int) -> None:
        self._max_bytes = max_bytes
        self._max_events = max_events
        self.bytes = 0
        self.durable_full = False
        self.capabilities = ClientCapabilities()
        # Empty lanes have no entry, so that an idle client costs little memory.
        self._lanes: dict[Priority, deque[QueueEntry]] = {}
        self._counts: dict[Priority, int] = {}
        self._chunks: deque[bytes] | None = None  # the remaining chunks of a large event, and frames after it
        self._chunk_ids: count[int] | None = None

    def __len__(self) -> int:
        return sum(self._counts.values())

    def __bool__(self) -> bool:
        return bool(self._lanes) or self._chunks is not None

    def full(self, priority: Priority) -> bool:
        """Return whether there is no room for ephemeral events of this priority.

        LOW is full once a quarter of the queue's bytes are used. Other lanes have a bound of their own, however many
        durable events are queued: an alert must reach slow readers too.
        """
        if priority is Priority.LOW:
            return (
                self.bytes >= self._max_bytes // _LOW_WATER_DIVISOR or self._counts.get(priority, 0) >= self._max_events
            )
        lane = self._lanes.get(priority, ())
        if self._counts.get(priority, 0) >= 2 * self._max_events:
            return True
        return sum(map(_entry_bytes, lane)) >= 2 * self._max_bytes

    def add(self, frames: list[bytes], envelopes: Sequence[Envelope], *, live: bool = True) -> None:
        """Queue durable events of one thread, or an ephemeral event in the lane of its priority, with their frames.

        The caller has checked `durable_full`, or `full`. `live` False: replayed from before the subscription.
        """
        first = envelopes[0]
        priority = first.event.priority if first.seq is None else _DURABLE
        types = [envelope.event.type for envelope in envelopes]
        times = [envelope.timestamp for envelope in envelopes] if live else []
        self._append(priority, FrameBatch(frames, types, times, first.thread_id), len(frames), sum(map(len, frames)))

    def add_text(self, envelope: Envelope) -> None:
        """Queue a text piece or a preview. The caller has checked `durable_full`."""
        self._append(_DURABLE, envelope, 1, _entry_bytes(envelope))

    def _append(self, priority: Priority, entry: QueueEntry, events: int, size: int) -> None:
        lane = self._lanes.get(priority)
        if lane is None:
            lane = self._lanes[priority] = deque()
            self._counts[priority] = 0
        lane.append(entry)
        self._counts[priority] += events
        self.bytes += size
        if self.bytes >= self._max_bytes or (priority is _DURABLE and self._counts[priority] >= self._max_events):
            self.durable_full = True

    def discard_thread(self, thread_id: str) -> list[Envelope]:
        """Remove a thread's durable events, text and previews, which will be read from the log. Return the text."""
        lane = self._lanes.get(_DURABLE, ())
        gone = [entry for entry in lane if entry.thread_id == thread_id]
        if gone:
            self._lanes[_DURABLE] = deque(entry for entry in lane if entry.thread_id != thread_id)
            events = sum(len(entry.frames) if isinstance(entry, FrameBatch) else 1 for entry in gone)
            self._remove(_DURABLE, events, sum(map(_entry_bytes, gone)))
        return [entry for entry in gone if isinstance(entry, Envelope) and isinstance(entry.event, PartialResult)]

    def next_write(self, max_bytes: int, encode: Encode) -> FrameBatch:
        """Remove the next events to send, and return their payloads, with the types and times of the events.

        The payloads have about `max_bytes`. Urgent events overtake the remaining chunks of a large one.
        """
        capabilities = self.capabilities
        if self._chunks is None and not capabilities.chunk:
            batch = self.pop(max_bytes, encode)
        else:
            batch = self.pop(max_bytes, encode, urgent_only=self._chunks is not None)
            batch.frames = self._chunked(batch.frames, max_bytes)
        if capabilities.batch or capabilities.gzip:
            batch.frames = pack(batch.frames, capabilities)
        return batch

    def pop(self, max_bytes: int, encode: Encode, *, urgent_only: bool = False) -> FrameBatch:
        """Remove and return the next events to send: about `max_bytes`, and at least one event if there is any.

        `encode` encodes text pieces, consecutive ones merged. `urgent_only`: take only events that may overtake an
        event that was sent in part.
        """
        taken = FrameBatch()
        texts: list[Envelope] = []
        if len(self._lanes) == 1 and self.bytes <= max_bytes and not urgent_only:
            (waiting,) = self._lanes.values()
            if len(waiting) == 1:  # as nearly always: the client reads what comes
                self._lanes, self._counts, self.bytes, self.durable_full = {}, {}, 0, False
                entry = waiting[0]
                if isinstance(entry, FrameBatch):
                    return entry
                _encode_texts([entry], taken, encode)
                return taken
        room = max_bytes
        for priority in _URGENT if urgent_only else _ORDER:
            lane = self._lanes.get(priority)
            if lane is None:
                continue
            size = events = 0
            while lane and size < room:
                entry = lane[0]
                if isinstance(entry, Envelope):
                    lane.popleft()
                    texts.append(entry)
                    size += _entry_bytes(entry)
                    events += 1
                    continue
                if texts:
                    _encode_texts(texts, taken, encode)
                    texts = []
                number, frames = 0, entry.frames
                while not number or (number < len(frames) and size < room):
                    size += len(frames[number])
                    number += 1
                events += number
                taken.frames += frames[:number]
                taken.types += entry.types[:number]
                taken.times += entry.times[:number]
                if number == len(frames):
                    lane.popleft()
                else:
                    del frames[:number], entry.types[:number], entry.times[:number]
            room -= size
            self._remove(priority, events, size)
        if texts:
            _encode_texts(texts, taken, encode)
        return taken

    def _remove(self, priority: Priority, events: int, size: int) -> None:
        """Account for removed events; an empty lane goes."""
        self._counts[priority] -= events
        if not self._lanes[priority]:
            del self._lanes[priority], self._counts[priority]
            if not self._lanes:  # an emptied dict keeps its table
                self._lanes, self._counts = {}, {}
        self.bytes -= size
        if self.durable_full and self.bytes <= self._max_bytes // _LOW_WATER_DIVISOR:
            self.durable_full = self._counts.get(_DURABLE, 0) > self._max_events // _LOW_WATER_DIVISOR

    def _chunked(self, frames: list[bytes], max_bytes: int) -> list[bytes]:
        """Split large frames. Return what to write now; urgent frames precede the remaining chunks."""
        out: list[bytes] = []
        if self._chunks is None:
            self._chunks = deque()
            self._chunk_ids = self._chunk_ids or count(1)
            for frame in frames:
                self._chunks.extend([frame] if len(frame) <= CHUNK_BYTES else split(frame, str(next(self._chunk_ids))))
        else:
            out.extend(frames)  # the urgent ones
        size = 0
        while self._chunks and size < max_bytes:
            out.append(self._chunks.popleft())
            size += len(out[-1])
        if not self._chunks:
            self._chunks = None
        return out


def _entry_bytes(entry: QueueEntry) -> int:
    if isinstance(entry, FrameBatch):
        return sum(map(len, entry.frames))
    match entry.event:
        case PartialResult(text=shown) | AnswerPreview(html=shown):
            return _FRAME_OVERHEAD + len(shown)
    return _FRAME_OVERHEAD


def _encode_texts(texts: list[Envelope], taken: FrameBatch, encode: Encode) -> None:
    """Encode text pieces into `taken`, consecutive ones merged."""
    for envelope in merge_text(texts) if len(texts) > 1 else texts:
        frame = encode(envelope)
        if frame is not None:
            taken.frames.append(frame)
            taken.types.append(envelope.event.type)
            taken.times.append(envelope.timestamp)
