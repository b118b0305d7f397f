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


class Shape:
    """One way to show events: a dialect, with or without rendered answers. Call it with an envelope for its frame.

    The last frames are remembered, at most `max_entries` of them and `max_bytes` in all.
    """

    def __init__(self, dialect: Dialect, html: Html | None, max_entries: int, max_bytes: int) -> None:
        self.dialect = dialect
        self._html = html
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._bytes = 0
        # By identity: an envelope may hold what has no hash. The entry keeps its envelope, so the id stays its own.
        self._known: dict[int, tuple[Envelope, bytes | None]] = {}

    def __call__(self, envelope: Envelope) -> bytes | None:
        """The frame of an event, None where the dialect does not show it. Raises TypeError as `codec.encode`."""
        known = self._known.get(id(envelope))
        if known is not None:
            return known[1]
        frame = encode(envelope, self.dialect, html=self._html)
        self._known[id(envelope)] = (envelope, frame)
        self._bytes += len(frame or b"")
        while len(self._known) > self._max_entries or self._bytes > self._max_bytes:
            self._bytes -= len(self._known.pop(next(iter(self._known)))[1] or b"")
        return frame


class Encoder:
    """`codec.encode` with a small memory for each shape. Share one between all connections.

    `html` renders answers for connections that asked for it. The bounds are those of each shape.
    """

    def __init__(self, html: Html | None = None, *, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self._shapes = {
            (dialect, rendered): Shape(dialect, html if rendered else None, max_entries, max_bytes)
            for dialect in Dialect
            for rendered in (False, True)
        }

    def shape(self, dialect: Dialect, *, html: bool = False) -> Shape:
        """The shape of a dialect, with rendered answers or without."""
        return self._shapes[dialect, html]

    def encode(self, envelope: Envelope, dialect: Dialect, *, html: bool = False) -> bytes | None:
        """The frame of an event in a dialect, None where the dialect does not show it. Raises TypeError as encode."""
        return self.shape(dialect, html=html)(envelope)
