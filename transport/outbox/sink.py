"""The interface that an outbox writes to: a WebSocket or an event stream."""

from collections.abc import Sequence
from typing import Protocol


class Sink(Protocol):
    """Sends payloads to one client; implemented by `transport.server.socket.Socket` and `EventStream`."""

    @property
    def open(self) -> bool:
        """Whether closing has not begun."""

    def write_now(self, payloads: Sequence[bytes]) -> bool:
        """Send as much as possible without waiting. Return whether everything was sent.

        The rest is sent by the next `write`. Raises SocketClosed if the sink is closed.
        """

    async def write(self, payloads: Sequence[bytes]) -> None:
        """Send payloads after the rest of earlier ones, and return when they are on their way.

        Raises SocketClosed if the sink is closed, or the client took nothing within its deadline.
        """

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close with a code of `transport.wire.codes.CLOSES`. Idempotent."""
