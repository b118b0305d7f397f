"""What waits for a socket: four lanes, bounded in bytes and count. Pure."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from attrs import define, frozen

from transport.events import Envelope, PartialResult, Priority
from transport.session import merged

_LANES: Final = tuple(Priority)  # alert, high, normal, low
# What is not text and not the event's own fields, roughly, in a frame.
_FRAME_OVERHEAD: Final = 300


@frozen
class Ready:
    """A frame for the socket, with what is counted about it: the event's type and when it happened."""

    frame: bytes
    type: str
    timestamp: float


@define
class _Entry:
    envelope: Envelope
    frame: bytes | None  # None: text, encoded as late as possible so that neighbours can be merged


class Pending:
    """Events in the order in which they go out: lane before lane, and in each lane as they came.

    Events with `seq`, and text, share the normal lane: a thread's story is told in order. `max_bytes` and
    `max_events` bound that lane; each other lane holds at most `max_events`.
    """

    def __init__(self, max_bytes: int, max_events: int) -> None:
        self._max_bytes = max_bytes
        self._max_events = max_events
        self._bytes = 0
        self._lanes: dict[Priority, deque[_Entry]] = {lane: deque() for lane in _LANES}

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def full(self, envelope: Envelope) -> bool:
        """Whether there is no room for this event in its lane."""
        return self._bytes >= self._max_bytes or len(self._lanes[_lane(envelope)]) >= self._max_events

    def add(self, envelope: Envelope, frame: bytes | None) -> None:
        """Queue an event with its frame; text comes without one. The caller has asked `full`."""
        entry = _Entry(envelope, frame)
        self._bytes += _weight(entry)
        self._lanes[_lane(envelope)].append(entry)

    def forget(self, thread_id: str) -> list[Envelope]:
        """Take out a thread's story (events with `seq`, and text), and return it: it is to be told from elsewhere."""
        gone = [entry for entry in self._lanes[Priority.NORMAL] if entry.envelope.thread_id == thread_id]
        kept = [entry for entry in self._lanes[Priority.NORMAL] if entry.envelope.thread_id != thread_id]
        self._lanes[Priority.NORMAL] = deque(kept)
        self._bytes -= sum(map(_weight, gone))
        return [entry.envelope for entry in gone]

    def take(self, max_bytes: int, encode: Callable[[Envelope], bytes | None]) -> list[Ready]:
        """Take what goes out next: about `max_bytes` of it, and at least one event when there is one."""
        entries: list[_Entry] = []
        size = 0
        for lane in self._lanes.values():
            while lane and size < max_bytes:
                entries.append(lane.popleft())
                size += _weight(entries[-1])
        self._bytes -= size
        return list(_ready(entries, encode))


def _lane(envelope: Envelope) -> Priority:
    if envelope.seq is not None or isinstance(envelope.event, PartialResult):
        return Priority.NORMAL
    return envelope.event.priority


def _weight(entry: _Entry) -> int:
    if entry.frame is not None:
        return len(entry.frame)
    event = entry.envelope.event
    return _FRAME_OVERHEAD + (len(event.text) if isinstance(event, PartialResult) else 0)


def _ready(entries: Iterable[_Entry], encode: Callable[[Envelope], bytes | None]) -> Iterable[Ready]:
    """Encode the texts, each run of neighbours as one."""
    texts: list[Envelope] = []
    for entry in entries:
        if entry.frame is None:
            texts.append(entry.envelope)
            continue
        yield from _encoded(texts, encode)
        texts = []
        envelope = entry.envelope
        yield Ready(entry.frame, envelope.event.type, envelope.timestamp)
    yield from _encoded(texts, encode)


def _encoded(texts: list[Envelope], encode: Callable[[Envelope], bytes | None]) -> Iterable[Ready]:
    for envelope in merged(texts) if len(texts) > 1 else texts:
        frame = encode(envelope)
        if frame is not None:
            yield Ready(frame, envelope.event.type, envelope.timestamp)
