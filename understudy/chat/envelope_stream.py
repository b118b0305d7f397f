"""The event stream of a thread for a reader in this process."""

from collections import deque
from collections.abc import Sequence

from transport.server.eventstream import EventStream
from understudy.wire.events import Envelope
from understudy.wire.vocabulary import from_log


class EnvelopeStream(EventStream):
    """The events of a thread for a reader in this process: iterate it."""

    wrap_frame = None

    def __init__(self) -> None:
        super().__init__(lambda: b"")
        self._envelopes: deque[Envelope] = deque()

    @property
    def ready(self) -> bool:
        """Whether the next event has come."""
        return bool(self._envelopes)

    def write_now(self, payloads: Sequence[bytes]) -> bool:
        """Queue events. Return whether the reader has taken all earlier ones. Raises SocketClosed after the end."""
        in_step = super().write_now([b"."])
        self._envelopes.extend(map(from_log, payloads))
        return in_step

    async def __anext__(self) -> Envelope:  # type: ignore[override] # it is no response's body
        while not self._envelopes:
            await super().__anext__()
        return self._envelopes.popleft()
