"""The send queue of a client: four priority lanes, bounded in bytes and count, with high and low water marks. Pure."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from attrs import Factory, define

from transport.outbox.delivery import merge_text
from transport.wire.events import Envelope, PartialResult, Priority

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
    a whole, so moving a part of it keeps the lists in step. The events are not stored: a client that does not read
    would cost their text twice.
    """

    thread_id: str | None = None
    frames: list[bytes] = Factory(list)
    types: list[str] = Factory(list)
    times: list[float] = Factory(list)

    def extend(self, frames: Iterable[bytes], envelopes: Sequence[Envelope], *, live: bool = True) -> None:
        """Append the frames of these events."""
        self.frames += frames
        self.types += [envelope.event.type for envelope in envelopes]
        if live:
            self.times += [envelope.timestamp for envelope in envelopes]

    def move_to(self, room: int, other: "FrameBatch") -> int:
        """Move frames to the end of `other` until they have `room` bytes, at least one. Return their bytes."""
        size = sum(map(len, self.frames))
        count = len(self.frames)
        if size > room:
            count, size = 0, 0
            while not count or (count < len(self.frames) and size < room):
                size += len(self.frames[count])
                count += 1
        other.frames += self.frames[:count]
        other.types += self.types[:count]
        other.times += self.times[:count]
        del self.frames[:count], self.types[:count], self.times[:count]
        return size


# Frames; or a text piece, encoded as late as possible so that consecutive pieces can be merged.
QueueEntry: TypeAlias = FrameBatch | Envelope


class SendQueue:
    """Events in sending order: lane by lane, and first in, first out within a lane.

    Durable events and text share the normal lane, so that a thread's events stay in order. `max_bytes` and `max_events`
    bound that lane; any other lane holds at most twice as much. `durable_full` is set when the bound is reached, until
    a quarter of it is left; no durable event or text may be added then. `bytes` is the approximate size.
    """

    __slots__ = ("_counts", "_lanes", "_max_bytes", "_max_events", "bytes", "durable_full")

    def __init__(self, max_bytes: int, max_events: int) -> None:
        self._max_bytes = max_bytes
        self._max_events = max_events
        self.bytes = 0
        self.durable_full = False
        # Empty lanes have no entry, so that an idle client costs little memory.
        self._lanes: dict[Priority, deque[QueueEntry]] = {}
        self._counts: dict[Priority, int] = {}

    def __len__(self) -> int:
        return sum(self._counts.values())

    def __bool__(self) -> bool:
        return bool(self._lanes)

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

    def add_durable(
        self, thread_id: str | None, frames: Sequence[bytes], envelopes: Sequence[Envelope], *, live: bool = True
    ) -> None:
        """Queue durable events of one thread. The caller has checked `durable_full`.

        `live` False: they are replayed from before the subscription.
        """
        run = FrameBatch(thread_id)
        run.extend(frames, envelopes, live=live)
        self._add(_DURABLE, run, len(frames), sum(map(len, frames)))

    def add_text(self, envelope: Envelope) -> None:
        """Queue a text piece. The caller has checked `durable_full`."""
        self._add(_DURABLE, envelope, 1, _text_bytes(envelope))

    def add_ephemeral(self, envelope: Envelope, frame: bytes) -> None:
        """Queue an ephemeral event in the lane of its priority. The caller has checked `full`."""
        run = FrameBatch(envelope.thread_id)
        run.extend([frame], [envelope])
        self._add(envelope.event.priority, run, 1, len(frame))

    def _add(self, priority: Priority, entry: QueueEntry, count: int, size: int) -> None:
        lane = self._lanes.get(priority)
        if lane is None:
            lane = self._lanes[priority] = deque()
            self._counts[priority] = 0
        lane.append(entry)
        self._counts[priority] += count
        self.bytes += size
        if self.bytes >= self._max_bytes or (priority is _DURABLE and self._counts[priority] >= self._max_events):
            self.durable_full = True

    def discard_thread(self, thread_id: str) -> list[Envelope]:
        """Remove a thread's durable events and text, which will be read from the log. Return the removed text."""
        story = self._lanes.get(_DURABLE, ())
        gone = [entry for entry in story if entry.thread_id == thread_id]
        kept = deque(entry for entry in story if entry.thread_id != thread_id)
        for entry in gone:
            self._subtract(_DURABLE, len(entry.frames) if isinstance(entry, FrameBatch) else 1, _entry_bytes(entry))
        if gone:
            self._set_lane(_DURABLE, kept)
        return [entry for entry in gone if isinstance(entry, Envelope)]

    def pop_batch(self, max_bytes: int, encode: Encode) -> FrameBatch:
        """Remove and return the next events to send: about `max_bytes`, and at least one event if there is any."""
        return self._pop(_ORDER, max_bytes, encode)

    def pop_urgent(self, max_bytes: int, encode: Encode) -> FrameBatch:
        """Remove and return events that may overtake an event that was sent in part."""
        return self._pop(_URGENT, max_bytes, encode)

    def _pop(self, order: Sequence[Priority], max_bytes: int, encode: Encode) -> FrameBatch:
        taken = FrameBatch()
        texts: list[Envelope] = []
        room = max_bytes
        for priority in order if len(self._lanes) > 1 else [each for each in self._lanes if each in order]:
            lane = self._lanes.get(priority)
            while lane and room > 0:
                entry = lane[0]
                if isinstance(entry, Envelope):
                    texts.append(entry)
                    size, count = _text_bytes(entry), 1
                    lane.popleft()
                else:
                    texts = _encode_texts(texts, taken, encode)
                    count = len(entry.frames)
                    size = entry.move_to(room, taken)
                    count -= len(entry.frames)
                    if not entry.frames:
                        lane.popleft()
                room -= size
                self._subtract(priority, count, size)
            if lane is not None:
                self._set_lane(priority, lane)
        _encode_texts(texts, taken, encode)
        return taken

    def _subtract(self, priority: Priority, count: int, size: int) -> None:
        self._counts[priority] -= count
        self.bytes -= size
        if self.durable_full and self.bytes <= self._max_bytes // _LOW_WATER_DIVISOR:
            self.durable_full = self._counts.get(_DURABLE, 0) > self._max_events // _LOW_WATER_DIVISOR

    def _set_lane(self, priority: Priority, lane: deque[QueueEntry]) -> None:
        if lane:
            self._lanes[priority] = lane
        else:
            del self._lanes[priority], self._counts[priority]


def _entry_bytes(entry: QueueEntry) -> int:
    return sum(map(len, entry.frames)) if isinstance(entry, FrameBatch) else _text_bytes(entry)


def _text_bytes(text: Envelope) -> int:
    return _FRAME_OVERHEAD + (len(text.event.text) if isinstance(text.event, PartialResult) else 0)


def _encode_texts(texts: list[Envelope], taken: FrameBatch, encode: Encode) -> list[Envelope]:
    """Encode text pieces into `taken`, consecutive ones merged. Return the remaining pieces: none."""
    if texts:
        for envelope in merge_text(texts) if len(texts) > 1 else texts:
            frame = encode(envelope)
            if frame is not None:
                taken.extend([frame], [envelope])
    return []
