"""Events to frames, each once per dialect, however many connections it goes to."""

from collections.abc import Callable
from typing import Final, TypeAlias

from transport.codec import encode
from transport.dialects import Dialect
from transport.events import Envelope

Html: TypeAlias = Callable[[str], str]

# Room for the events of some hundred running answers, and a bound on what large tool results can hold on to.
MAX_ENTRIES: Final = 512
MAX_BYTES: Final = 4 * 1024 * 1024


class Encoder:
    """`codec.encode` behind a small memory of what was encoded last. Share one between all connections.

    `html` renders answers for connections that asked for it.
    """

    def __init__(self, html: Html | None = None, *, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self.html = html
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._bytes = 0
        # By identity: an envelope may hold what has no hash. The entry keeps its envelope, so the id stays its own.
        self._known: dict[tuple[int, Dialect, bool], tuple[Envelope, bytes | None]] = {}

    def encode(self, envelope: Envelope, dialect: Dialect, *, html: bool = False) -> bytes | None:
        """The frame of an event in a dialect, None where the dialect does not show it. Raises TypeError as encode."""
        key = (id(envelope), dialect, html)
        known = self._known.get(key)
        if known is not None:
            return known[1]
        frame = encode(envelope, dialect, html=self.html if html else None)
        self._known[key] = (envelope, frame)
        self._bytes += len(frame or b"")
        while len(self._known) > self._max_entries or self._bytes > self._max_bytes:
            self._bytes -= len(self._known.pop(next(iter(self._known)))[1] or b"")
        return frame
