"""What waits for a socket: four lanes, bounded in bytes and count. Pure."""

from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

from transport.events import Envelope, PartialResult, Priority
from transport.session import merged

# What a frame of text has besides the text, roughly.
_FRAME_OVERHEAD: Final = 300

# An event and its frame; None: text, encoded as late as possible so that neighbours can be merged.
Entry: TypeAlias = tuple[Envelope, bytes | None]
# An event as it goes out.
Ready: TypeAlias = tuple[Envelope, bytes]


class Pending:
    """Events in the order in which they go out: lane before lane, and in each lane as they came.

    Events with `seq`, and text, are `story`: they share the normal lane, so that a thread's story is told in order.
    `max_bytes` and `max_events` bound that lane; each other lane holds at most `max_events`.
    """

    def __init__(self, max_bytes: int, max_events: int) -> None:
        self._max_bytes = max_bytes
        self._max_events = max_events
        self._bytes = 0
        self._story: deque[Entry] = deque()
        self._lanes: dict[Priority, deque[Entry]] = {lane: deque() for lane in Priority}
        self._lanes[Priority.NORMAL] = self._story

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    @property
    def story_full(self) -> bool:
        """Whether there is no room for events with `seq`, or text."""
        return self._bytes >= self._max_bytes or len(self._story) >= self._max_events

    def full(self, priority: Priority) -> bool:
        """Whether there is no room for other events of this priority."""
        return self._bytes >= self._max_bytes or len(self._lanes[priority]) >= self._max_events

    def add_story(self, envelope: Envelope, frame: bytes) -> None:
        """Queue an event with `seq`. The caller has asked `story_full`."""
        self._bytes += len(frame)
        self._story.append((envelope, frame))

    def add_text(self, envelope: Envelope, length: int) -> None:
        """Queue a piece of text of so many characters. The caller has asked `story_full`."""
        self._bytes += _FRAME_OVERHEAD + length
        self._story.append((envelope, None))

    def add(self, envelope: Envelope, frame: bytes) -> None:
        """Queue another event in the lane of its priority. The caller has asked `full`."""
        self._bytes += len(frame)
        self._lanes[envelope.event.priority].append((envelope, frame))

    def forget(self, thread_id: str) -> list[Envelope]:
        """Take out a thread's story and return it: it is to be told from elsewhere."""
        gone = [entry for entry in self._story if entry[0].thread_id == thread_id]
        if gone:
            kept = [entry for entry in self._story if entry[0].thread_id != thread_id]
            self._story.clear()
            self._story.extend(kept)
            self._bytes -= sum(map(_weight, gone))
        return [envelope for envelope, _ in gone]

    def take(self, max_bytes: int, encode: Callable[[Envelope], bytes | None]) -> list[Ready]:
        """Take what goes out next: about `max_bytes` of it, and at least one event when there is one."""
        ready: list[Ready] = []
        texts: list[Envelope] = []
        size = 0
        for lane in self._lanes.values():
            while lane and size < max_bytes:
                envelope, frame = lane.popleft()
                if frame is None:
                    size += _weight((envelope, None))
                    texts.append(envelope)
                    continue
                if texts:
                    ready += _encoded(texts, encode)
                    texts = []
                size += len(frame)
                ready.append((envelope, frame))
        ready += _encoded(texts, encode)
        self._bytes -= size
        return ready


def _weight(entry: Entry) -> int:
    envelope, frame = entry
    if frame is not None:
        return len(frame)
    return _FRAME_OVERHEAD + (len(envelope.event.text) if isinstance(envelope.event, PartialResult) else 0)


def _encoded(texts: list[Envelope], encode: Callable[[Envelope], bytes | None]) -> list[Ready]:
    """The texts with each run of neighbours as one."""
    frames = [(envelope, encode(envelope)) for envelope in (merged(texts) if len(texts) > 1 else texts)]
    return [(envelope, frame) for envelope, frame in frames if frame is not None]
