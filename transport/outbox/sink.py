"""Where an outbox writes to: a WebSocket, or whatever else takes payloads one after the other."""

from collections.abc import Sequence
from typing import Protocol


class Sink(Protocol):
    """The way to one client. `transport.server.socket.Socket` is one."""

    @property
    def open(self) -> bool:
        """Whether it has not begun to close."""

    def write_now(self, payloads: Sequence[bytes]) -> bool:
        """Send what can be sent without waiting; whether that was all.

        The rest goes out with the next `write`. Raises SocketClosed when it is closed.
        """

    async def write(self, payloads: Sequence[bytes]) -> None:
        """Send these, after what is left of earlier ones, and return when they are on their way.

        Raises SocketClosed when it is closed, or the client took nothing for too long.
        """

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it with a code of `transport.wire.codes.CLOSES`; harmless a second time."""
