"""The metrics hooks of connections. This package depends on no metrics library."""

from collections.abc import Sequence


class ConnectionMetrics:
    """Discards metrics of connections; override the methods whose metrics you record.

    Called on the hot path: each method must be quick and must not raise.
    """

    def on_connection(self, change: int, dialect: str) -> None:
        """A connection began (`change` is 1) or ended (-1)."""

    def on_closed(self, code: int) -> None:
        """A socket was closed with this code, by either side."""

    def on_received(self, command_type: str) -> None:
        """A command came in; `command_type` is its class name in snake case, or `rejected`."""

    def on_returned(self) -> None:
        """A client has come back: its connection's first `resume` names an event that it has."""

    def on_sent(self, event_types: Sequence[str], times: Sequence[float], now: float) -> None:
        """Events of these types were written to the socket at once, in order.

        `times`: when the live ones among them happened (Unix seconds); replayed events have none.
        """

    def on_ponged(self, rtt_s: float) -> None:
        """A client answered a ping after `rtt_s` seconds."""

    def on_acked(self, behind: int) -> None:
        """A client acknowledged events of a thread; `behind` more had been sent."""

    def on_error(self, code: str) -> None:
        """An error was sent to a client."""

    def on_ignored(self, command_type: str) -> None:
        """A command beyond its rate limit was dropped without an error; named as in `on_received`."""

    def on_dropped(self, event_type: str) -> None:
        """An ephemeral event was dropped because the client reads too slowly."""
