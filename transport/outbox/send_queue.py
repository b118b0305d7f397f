"""The send queue of a client: four priority lanes, bounded in bytes and count, with high and low water marks. Pure.

Its writes are batched, compressed and chunked as the client can take it.
"""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import count, groupby
from typing import Final, TypeAlias

import msgspec

from transport.outbox.delivery import merge_text
from transport.wire.events import Envelope, PartialResult, Priority
from transport.wire.payloads import CHUNK_BYTES, GZIP_BYTES, ClientCapabilities, pack, split

# Approximate bytes of a text frame besides the text.
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
    would cost their text twice. `text` is a text piece instead, encoded as late as possible so that consecutive pieces
    can be merged.
    """

    frames: list[bytes] = msgspec.field(default_factory=list)
    types: list[str] = msgspec.field(default_factory=list)
    times: list[float] = msgspec.field(default_factory=list)
    thread_id: str | None = None
    text: Envelope | None = None

    @property
    def events(self) -> int:
        """Number of events in the batch."""
        return len(self.frames) if self.text is None else 1

    @property
    def size(self) -> int:
        """Size of the frames in bytes; approximate for a text piece."""
        return sum(map(len, self.frames)) if self.text is None else _text_bytes(self.text)


class SendQueue:
    """Events in sending order: lane by lane, and first in, first out within a lane.

    Durable events and text share the normal lane, so that a thread's events stay in order. `max_bytes` and `max_events`
    bound that lane; any other lane holds at most twice as much. `durable_full` is set when the bound is reached, until
    a quarter of it is left; no durable event or text may be added then. `bytes` is the approximate size.
    `capabilities` are the client's, and may change at any time.
    """

    __slots__ = (
        "_chunk_ids", "_chunks", "_durable", "_lanes", "_max_bytes", "_max_events", "bytes", "capabilities",
        "durable_full",
    )  # fmt: skip

    def __init__(self, max_bytes: int, max_events: int) -> None:
        self._max_bytes = max_bytes
        self._max_events = max_events
        self.bytes = 0
        self.durable_full = False
        self.capabilities = ClientCapabilities()
        self._durable = 0  # number of events in the durable lane
        # The lanes that have entries; None for an empty queue, as most connections are idle.
        self._lanes: dict[Priority, list[FrameBatch]] | None = None
        self._chunks: deque[bytes] | None = None  # the remaining chunks of a large event, and frames after it
        self._chunk_ids: count[int] | None = None

    def __len__(self) -> int:
        return sum(entry.events for lane in (self._lanes or {}).values() for entry in lane)

    def __bool__(self) -> bool:
        return self._lanes is not None or self._chunks is not None

    def full(self, priority: Priority) -> bool:
        """Return whether there is no room for ephemeral events of this priority.

        LOW is full once a quarter of the queue's bytes are used. Other lanes have a bound of their own, however many
        durable events are queued: an alert must reach slow readers too.
        """
        if priority is Priority.LOW and self.bytes >= self._max_bytes // _LOW_WATER_DIVISOR:
            return True
        lane = (self._lanes or {}).get(priority, ())
        if priority is Priority.LOW:
            return len(lane) >= self._max_events
        return len(lane) >= 2 * self._max_events or sum(entry.size for entry in lane) >= 2 * self._max_bytes

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
        entry = FrameBatch(thread_id=envelope.thread_id, text=envelope)
        self._append(_DURABLE, entry, 1, _text_bytes(envelope))

    def _append(self, priority: Priority, entry: FrameBatch, events: int, size: int) -> None:
        if self._lanes is None:
            self._lanes = {priority: [entry]}
        else:
            self._lanes.setdefault(priority, []).append(entry)
        self.bytes += size
        if priority is _DURABLE:
            self._durable += events
        if self.bytes >= self._max_bytes or self._durable >= self._max_events:
            self.durable_full = True

    def discard_thread(self, thread_id: str) -> list[Envelope]:
        """Remove a thread's durable events and text, which will be read from the log. Return the text."""
        lane = (self._lanes or {}).get(_DURABLE, [])
        removed = [entry for entry in lane if entry.thread_id == thread_id]
        if removed:
            lane[:] = [entry for entry in lane if entry.thread_id != thread_id]
            self._remove(_DURABLE, removed)
        return [entry.text for entry in removed if entry.text is not None]

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
        lanes = self._lanes
        if lanes is None:
            return FrameBatch()
        if self.bytes <= max_bytes and not urgent_only:
            entries = [entry for priority in _ORDER for entry in lanes.get(priority, ())]
            self._lanes, self.bytes, self._durable, self.durable_full = None, 0, 0, False
        else:
            entries = self._take(lanes, max_bytes, _URGENT if urgent_only else _ORDER)
        return entries[0] if len(entries) == 1 and entries[0].text is None else _joined(entries, encode)

    def _take(self, lanes: dict[Priority, list[FrameBatch]], room: int, order: Sequence[Priority]) -> list[FrameBatch]:
        """Remove and return entries of about `room` bytes, and at least one event of the first lane that has any."""
        taken: list[FrameBatch] = []
        for priority in order:
            lane, removed = lanes.get(priority, []), list[FrameBatch]()
            while room > 0 and lane:
                entry = lane[0] if lane[0].text is not None else _first_frames(lane[0], room)
                removed.append(entry)
                room -= entry.size
                if lane[0] is entry or not lane[0].frames:
                    del lane[0]
            if removed:
                self._remove(priority, removed)
                taken += removed
        return taken

    def _remove(self, priority: Priority, removed: Sequence[FrameBatch]) -> None:
        """Account for entries that were removed from a lane; delete an empty lane."""
        lanes = self._lanes or {}
        if not lanes[priority]:
            del lanes[priority]
            self._lanes = lanes or None
        self.bytes -= sum(entry.size for entry in removed)
        if priority is _DURABLE:
            self._durable -= sum(entry.events for entry in removed)
        low = self.bytes <= self._max_bytes // _LOW_WATER_DIVISOR
        if self.durable_full and low and self._durable <= self._max_events // _LOW_WATER_DIVISOR:
            self.durable_full = False

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


def _text_bytes(envelope: Envelope) -> int:
    return _FRAME_OVERHEAD + (len(envelope.event.text) if isinstance(envelope.event, PartialResult) else 0)


def _first_frames(batch: FrameBatch, room: int) -> FrameBatch:
    """Remove and return frames of about `room` bytes from the beginning of a batch, and at least one."""
    size = number = 0
    for frame in batch.frames:
        if size >= room:
            break
        size += len(frame)
        number += 1
    first = FrameBatch(batch.frames[:number], batch.types[:number], batch.times[:number], batch.thread_id)
    del batch.frames[:number], batch.types[:number], batch.times[:number]
    return first


def _joined(entries: Sequence[FrameBatch], encode: Encode) -> FrameBatch:
    """Return entries as one, with their text pieces encoded, consecutive ones merged."""
    merged = FrameBatch()
    for is_text, group in groupby(entries, lambda entry: entry.text is not None):
        if not is_text:
            for entry in group:
                merged.frames += entry.frames
                merged.types += entry.types
                merged.times += entry.times
            continue
        texts = [entry.text for entry in group if entry.text is not None]
        for envelope in merge_text(texts) if len(texts) > 1 else texts:
            frame = encode(envelope)
            if frame is not None:
                merged.frames.append(frame)
                merged.types.append(envelope.event.type)
                merged.times.append(envelope.timestamp)
    return merged
