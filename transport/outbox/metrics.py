"""The hook through which connections are counted. This package knows no metrics library: it calls these."""

from collections.abc import Sequence
from typing import Protocol


class ConnectionMetrics(Protocol):
    """What whoever counts implements. Called on the hot path: each must be quick, and must not raise."""

    def on_connection(self, change: int, dialect: str) -> None:
        """A connection began (`change` is 1) or ended (-1)."""

    def on_closed(self, code: int) -> None:
        """A socket was closed with this code, by either side."""

    def on_received(self, command_type: str) -> None:
        """A command came in; `command_type` is its class name in snake case, or `rejected`."""

    def on_returned(self) -> None:
        """A connection's first `resume` names an event that its client has: the client has come back."""

    def on_sent(self, event_types: Sequence[str], times: Sequence[float], now: float) -> None:
        """Events were handed to the socket in one write: the type of each, in order.

        `times`: when those happened that were not replayed (Unix seconds), so it may be shorter, and empty.
        """

    def on_ponged(self, rtt_s: float) -> None:
        """A client answered a ping after so many seconds."""

    def on_acked(self, behind: int) -> None:
        """A client has shown a thread's events; it was handed so many more."""

    def on_error(self, code: str) -> None:
        """A client was told of an error."""

    def on_ignored(self, command_type: str) -> None:
        """A command beyond its limit was not taken, and its client was not told; named as in `on_received`."""

    def on_dropped(self, event_type: str) -> None:
        """An event without `seq` was dropped, as the client reads too slowly."""


class NoConnectionMetrics:
    """An Observer that counts nothing."""

    def on_connection(self, change: int, dialect: str) -> None:
        """Nothing."""

    def on_closed(self, code: int) -> None:
        """Nothing."""

    def on_received(self, command_type: str) -> None:
        """Nothing."""

    def on_returned(self) -> None:
        """Nothing."""

    def on_sent(self, event_types: Sequence[str], times: Sequence[float], now: float) -> None:
        """Nothing."""

    def on_ponged(self, rtt_s: float) -> None:
        """Nothing."""

    def on_acked(self, behind: int) -> None:
        """Nothing."""

    def on_error(self, code: str) -> None:
        """Nothing."""

    def on_ignored(self, command_type: str) -> None:
        """Nothing."""

    def on_dropped(self, event_type: str) -> None:
        """Nothing."""
