"""How far a server that sends one event to everybody may be ahead of its clients."""

from __future__ import annotations

from collections.abc import Callable

from .events import BURST

BURSTS_AHEAD = 5


class Paces:
    """Calls `send(after)` for the next burst whenever all `clients` together have taken enough of those before."""

    def __init__(self, clients: int, send: Callable[[int], None]) -> None:
        self.taken = 0
        self.bursts = 0
        self._clients = clients
        self._send = send

    def take(self) -> None:
        """A client has taken a burst, or is ready for the first."""
        self.taken += 1
        while self.taken >= self._clients * max(1, self.bursts - BURSTS_AHEAD + 2):
            self._send(self.bursts * BURST)
            self.bursts += 1
