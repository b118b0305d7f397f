"""The send queue of a client: four priority lanes, bounded in bytes and count, with high and low water marks. Pure.

Its writes are batched, compressed and chunked as the client can take it.
"""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import Final, TypeAlias

import msgspec
from attrs import define

from transport.outbox.delivery import merge_text
from transport.wire.events import Envelope, PartialResult, Priority
from transport.wire.payloads import CHUNK_BYTES, GZIP_BYTES, ClientCapabilities, pack, split

# Bytes of a text frame besides the text, roughly.
_FRAME_OVERHEAD: Final = 300
# A full queue accepts durable events again below a quarter of its bound: a client that has just begun to read again
# then gets pages from the log, not one event for each that it has read.
_LOW_WATER_DIVISOR: Final = 4

_ORDER: Final = tuple(Priority)
_URGENT: Final = (Priority.ALERT, Priority.HIGH)
_DURABLE: Final = Priority.NORMAL

Encode: TypeAlias = Callable[[Envelope], bytes | None]


class FrameBatch(msgspec.Struct):
    """Frames in order, the types of their events, and the times of the live events (Unix seconds).

    A replayed event has no entry in `times`, as its age is not its delivery lag. A queued batch is live or replayed as
    a whole, so taking a part of it keeps the lists in step. The events are not stored: a client that does not read
    would cost their text twice.
    """

    frames: list[bytes] = msgspec.field(default_factory=list)
    types: list[str] = msgspec.field(default_factory=list)
    times: list[float] = msgspec.field(default_factory=list)
    thread_id: str | None = None


# Frames; or a text piece, encoded as late as possible so that consecutive pieces can be merged.
QueueEntry: TypeAlias = FrameBatch | Envelope


@define
class _Lane:
    """Entries of one priority, first in, first out, and the number of their events."""

    entries: deque[QueueEntry]
    events: int


class SendQueue:
    """Events in sending order: lane by lane, and first in, first out within a lane.

    Durable events and text share the normal lane, so that a thread's events stay in order. `max_bytes` and `max_events`
    bound that lane; any other lane holds at most twice as much. `durable_full` is set when the bound is reached, until
    a quarter of it is left; no durable event or text may be added then. `bytes` is the approximate size.
    `capabilities` are the client's, and may change at any time.
    """

    __slots__ = (
        "_chunk_ids", "_chunks", "_lanes", "_max_bytes", "_max_events", "_only", "bytes", "capabilities",
        "durable_full",
    )  # fmt: skip

    def __init__(self, max_bytes: int, max_events: int) -> None:
        self._max_bytes = max_bytes
        self._max_events = max_events
        self.bytes = 0
        self.durable_full = False
        self.capabilities = ClientCapabilities()
        # The only entry, its priority and the number of its events. Nearly always there is one or none, as the client
        # reads what comes: it gets no lane, which would cost as much as all else that is done for a word of an answer.
        self._only: tuple[Priority, QueueEntry, int] | None = None
        self._lanes: dict[Priority, _Lane] | None = None  # those that have entries
        self._chunks: deque[bytes] | None = None  # the remaining chunks of a large event, and frames after it
        self._chunk_ids: count[int] | None = None

    def __len__(self) -> int:
        return sum(lane.events for lane in self._filled_lanes().values())

    def __bool__(self) -> bool:
        return self._only is not None or self._lanes is not None or self._chunks is not None

    def _filled_lanes(self) -> dict[Priority, _Lane]:
        """Return the lanes that have entries, after moving an only entry to its lane."""
        if self._only is not None:
            priority, entry, events = self._only
            self._only, self._lanes = None, {priority: _Lane(deque((entry,)), events)}
        return self._lanes or {}

    def full(self, priority: Priority) -> bool:
        """Return whether there is no room for ephemeral events of this priority.

        LOW is full once a quarter of the queue's bytes are used. Other lanes have a bound of their own, however many
        durable events are queued: an alert must reach slow readers too.
        """
        if priority is Priority.LOW and self.bytes >= self._max_bytes // _LOW_WATER_DIVISOR:
            return True
        lane = self._filled_lanes().get(priority)
        if lane is None:
            return False
        if priority is Priority.LOW:
            return lane.events >= self._max_events
        return lane.events >= 2 * self._max_events or sum(map(_entry_bytes, lane.entries)) >= 2 * self._max_bytes

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
        """Queue a text piece. The caller has checked `durable_full`."""
        self._append(_DURABLE, envelope, 1, _entry_bytes(envelope))

    def _append(self, priority: Priority, entry: QueueEntry, events: int, size: int) -> None:
        if self._lanes is None and self._only is None:
            self._only = priority, entry, events
        else:
            lanes = self._filled_lanes()
            lane = lanes.get(priority)
            if lane is None:
                lane = lanes[priority] = _Lane(deque(), 0)
            lane.entries.append(entry)
            events = lane.events = lane.events + events
        self.bytes += size
        if self.bytes >= self._max_bytes or (priority is _DURABLE and events >= self._max_events):
            self.durable_full = True

    def discard_thread(self, thread_id: str) -> list[Envelope]:
        """Remove a thread's durable events and text, which will be read from the log. Return the text."""
        lane = self._filled_lanes().get(_DURABLE)
        gone = [] if lane is None else [entry for entry in lane.entries if entry.thread_id == thread_id]
        if lane is not None and gone:
            lane.entries = deque(entry for entry in lane.entries if entry.thread_id != thread_id)
            events = sum(len(entry.frames) if isinstance(entry, FrameBatch) else 1 for entry in gone)
            self._remove(_DURABLE, events, sum(map(_entry_bytes, gone)))
        return [entry for entry in gone if isinstance(entry, Envelope) and isinstance(entry.event, PartialResult)]

    def next_write(self, max_bytes: int, encode: Encode) -> FrameBatch:
        """Remove the next events to send, and return their payloads, with the types and times of the events.

        The payloads have about `max_bytes`. Urgent events overtake the remaining chunks of a large one.
        """
        capabilities = self.capabilities
        batch = self.pop(max_bytes, encode, urgent_only=self._chunks is not None)
        frames = batch.frames
        if self._chunks is None and len(frames) == 1 and len(frames[0]) <= GZIP_BYTES:  # no capability changes it
            return batch
        if capabilities.chunk or self._chunks is not None:
            batch.frames = self._chunked(frames, max_bytes)
        if capabilities.batch or capabilities.gzip:
            batch.frames = pack(batch.frames, capabilities)
        return batch

    def pop(self, max_bytes: int, encode: Encode, *, urgent_only: bool = False) -> FrameBatch:
        """Remove and return the next events to send: about `max_bytes`, and at least one event if there is any.

        `encode` encodes text pieces, consecutive ones merged. `urgent_only`: take only events that may overtake an
        event that was sent in part.
        """
        only = self._only
        if only is not None and self.bytes <= max_bytes and not urgent_only:
            self._only, self.bytes, self.durable_full = None, 0, False
            entry = only[1]
            if isinstance(entry, FrameBatch):
                return entry
            frame = encode(entry)
            return FrameBatch() if frame is None else FrameBatch([frame], [entry.event.type], [entry.timestamp])
        taken = FrameBatch()
        texts: list[Envelope] = []
        lanes, room = self._filled_lanes(), max_bytes
        for priority in _URGENT if urgent_only else _ORDER:
            lane = lanes.get(priority)
            if lane is None:
                continue
            entries = lane.entries
            size = events = 0
            while entries and size < room:
                entry = entries[0]
                if isinstance(entry, Envelope):
                    entries.popleft()
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
                    entries.popleft()
                else:
                    del frames[:number], entry.types[:number], entry.times[:number]
            room -= size
            self._remove(priority, events, size)
        if texts:
            _encode_texts(texts, taken, encode)
        return taken

    def _remove(self, priority: Priority, events: int, size: int) -> None:
        """Account for events that were removed from a lane; an empty lane goes."""
        lanes = self._filled_lanes()
        lanes[priority].events -= events
        if not lanes[priority].entries:
            del lanes[priority]
            if not lanes:
                self._lanes = None
        self.bytes -= size
        if self.durable_full and self.bytes <= self._max_bytes // _LOW_WATER_DIVISOR:
            durable = lanes.get(_DURABLE)
            self.durable_full = durable is not None and durable.events > self._max_events // _LOW_WATER_DIVISOR

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
    return _FRAME_OVERHEAD + (len(entry.event.text) if isinstance(entry.event, PartialResult) else 0)


def _encode_texts(texts: list[Envelope], taken: FrameBatch, encode: Encode) -> None:
    """Encode text pieces into `taken`, consecutive ones merged."""
    for envelope in merge_text(texts) if len(texts) > 1 else texts:
        frame = encode(envelope)
        if frame is not None:
            taken.frames.append(frame)
            taken.types.append(envelope.event.type)
            taken.times.append(envelope.timestamp)
