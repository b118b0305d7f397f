"""The metrics of connections, which the transport reports."""

from collections import Counter as Tally
from collections.abc import Sequence

from transport.outbox.metrics import ConnectionMetrics
from transport.wire.codes import CLOSES
from understudy.observe.collectors import DELIVERY_S, ROWS, BatchCounter, BatchHistogram, MetricRegistry
from understudy.observe.paths import OTHER
from understudy.observe.recent import Recent
from understudy.wire.codes import ERRORS


class PrometheusConnectionMetrics(ConnectionMetrics):
    """Counts connections, commands and events. All methods are cheap, and none raises for an unknown label."""

    def __init__(self, registry: MetricRegistry, recent: Recent) -> None:
        self._recent = recent
        self._connections = registry.gauge(
            "understudy_connections",
            "Open connections, event streams too; `agui` for the runs of AG-UI, `responses` for those of "
            "OpenAI's clients.",
            "dialect",
        )
        self._closed = registry.counter(
            "understudy_connections_closed", "Closed sockets, by close code; `other` for a client's own.", "code"
        )
        for close in CLOSES:  # create each counter at 0, so that its first count is seen as an increase
            self._closed[str(close)]
        self._reconnects = registry.counter(
            "understudy_reconnects",
            "Clients that reconnected: connections whose first `resume`, and event streams whose "
            "`Last-Event-ID` or `after`, names an event that the client has.",
        )
        self._messages = BatchCounter(
            "understudy_messages",
            "Commands received; `rejected` for frames that are not commands.",
            "type",
            registry,
        )
        self._ignored = registry.counter(
            "understudy_messages_ignored", "`ack` and `typing` beyond `signals_per_minute`.", "type"
        )
        self._sent = BatchCounter("understudy_events_sent", "Events handed to sockets.", "type", registry)
        self._replayed = registry.counter(
            "understudy_events_replayed",
            "Sent events that had happened before their client asked for them: those sent from the log to a "
            "client that reconnects or opens a conversation.",
        )
        self._dropped = registry.counter(
            "understudy_events_dropped", "Events without a number that a slow reader did not get.", "type"
        )
        self._delivery = BatchHistogram(
            "understudy_delivery_latency_seconds",
            "From an event to its socket; not of events that had happened before their client asked for them.",
            DELIVERY_S,
            registry,
        )
        self._rtt = registry.histogram("understudy_ping_seconds", "From a ping to its pong.", buckets=DELIVERY_S)
        self._behind = registry.histogram(
            "understudy_rendered_behind_events",
            "Events sent to a client that it had not yet shown at its last `ack`.",
            buckets=ROWS,
        )
        self._errors = registry.counter("understudy_errors", "Errors sent to clients, WebSocket and HTTP.", "code")
        for code in ERRORS:  # create each counter at 0
            self._errors[code].inc(0)

    def on_connection(self, change: int, dialect: str) -> None:
        """Count a connection that opened (`change` is 1) or closed (-1)."""
        self._connections[dialect].inc(change)

    def on_closed(self, code: int) -> None:
        """Count a closed socket by its close code."""
        self._closed[str(code) if code in CLOSES or code in (1005, 1006) else OTHER].inc()

    def on_received(self, command_type: str) -> None:
        """Count a command received."""
        self._messages.add(command_type)

    def on_returned(self) -> None:
        """Count a client that reconnected."""
        self._reconnects.inc()

    def on_sent(self, event_types: Sequence[str], times: Sequence[float], now: float) -> None:
        """Count events handed to their socket. Replayed events have no entry in `times`; clocks may differ slightly."""
        first, number = event_types[0], len(event_types)
        if number == 1 or event_types.count(first) == number:  # most bursts have one type of event
            self._sent.add(first, number)
        else:
            for event_type, count in Tally(event_types).items():
                self._sent.add(event_type, count)
        if len(times) < number:
            self._replayed.inc(number - len(times))
        if times:
            self._delivery.observe_since(times, now)

    def on_ponged(self, rtt_s: float) -> None:
        """Record the round-trip time of a ping."""
        self._rtt.observe(rtt_s)

    def on_acked(self, behind: int) -> None:
        """Record how many events a client had been sent but not yet rendered when it acknowledged some."""
        self._behind.observe(behind)

    def on_error(self, code: str) -> None:
        """Count an error sent to a client."""
        self._errors[known_code(code)].inc()
        self._recent.count("refused", known_code(code))

    def on_ignored(self, command_type: str) -> None:
        """Count a command ignored because it exceeds its limit."""
        self._ignored[command_type].inc()

    def on_dropped(self, event_type: str) -> None:
        """Count a dropped event without `seq`."""
        self._dropped[event_type].inc()


def known_code(code: str) -> str:
    """Return a registered error code, or `other` for a code that another release wrote into the log."""
    return code if code in ERRORS else OTHER
