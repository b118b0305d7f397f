"""Every metric of the server, declared once, each with its unit in its name.

Each server has its own registry, so that two servers in one process, and tests, count separately. Labels come from
closed sets (codes, event types, dialects, path patterns); the number of names that users could invent is capped.
"""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from actors.events import ActorRestarting, DeadLetter, ShutdownOverdue, SlowHandler
from sanitization import Finding
from transport.wire.codes import CLOSES, ERRORS
from transport.wire.events import Envelope, Error, FinalResponse
from understudy.observe.histogram import BatchHistogram
from understudy.observe.paths import OTHER, PathLabels
from understudy.observe.run_watchdog import RunWatchdog

KINDS_MAX: Final = 200  # kinds of finds; those of detectors of one's own beyond count under `other`
TOOLS_MAX: Final = 200  # tools a server may register; beyond, their calls count under `other`

# Seconds. A delivery is some hundred microseconds on one machine; a person feels a tenth of a second.
DELIVERY_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Seconds. A short text takes twenty microseconds; a megabyte that was made to take long, two seconds.
SCRUB_S: Final = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.05, 0.25, 1.0, 4.0)
RUN_S: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0)
COMMIT_ROWS: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)


class ScrapedNode(Protocol):
    """The part of a supervision tree read at each scrape. `depth` is the number of waiting messages by lane."""

    @property
    def path(self) -> str: ...  # noqa: D102 - named above
    @property
    def depth(self) -> Mapping[Any, int]: ...  # noqa: D102
    @property
    def children(self) -> Sequence[Any]: ...  # noqa: D102


class Metrics:
    """The metrics of one server.

    Implements the metrics hooks of connections, runs, content filter and storage; its `record` is called with every
    event of the actor system. All methods are cheap, and none raises for an unknown label.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.watchdog = RunWatchdog()
        self._paths = PathLabels()
        self._tools: set[str] = set()
        self._kinds: set[str] = set()
        self._detectors: set[str] = set()
        self._children: dict[tuple[int, str, str], Any] = {}
        self._declare_wire()
        self._declare_runs()
        self._declare_server()

    def _declare_wire(self) -> None:
        r = self.registry
        self._connections = Gauge("understudy_connections", "Open connections.", ["dialect"], registry=r)
        self._closed = Counter("understudy_connections_closed", "Closed sockets, by close code.", ["code"], registry=r)
        self._reconnects = Counter("understudy_reconnects", "Connections of clients that came back.", registry=r)
        self._messages = Counter("understudy_messages", "Commands received.", ["type"], registry=r)
        self._ignored = Counter(
            "understudy_messages_ignored", "Commands beyond their limit, not taken.", ["type"], registry=r
        )
        self._sent = Counter("understudy_events_sent", "Events handed to sockets.", ["type"], registry=r)
        self._replayed = Counter("understudy_events_replayed", "Older events sent from the log.", registry=r)
        self._dropped = Counter("understudy_events_dropped", "Events dropped for slow readers.", ["type"], registry=r)
        self._delivery = BatchHistogram(
            "understudy_delivery_latency_seconds", "From an event to its socket.", DELIVERY_S, r
        )
        self._rtt = Histogram("understudy_ping_seconds", "From a ping to its pong.", buckets=DELIVERY_S, registry=r)
        self._behind = Histogram(
            "understudy_rendered_behind_events", "Events sent and not yet shown.", buckets=COMMIT_ROWS, registry=r
        )
        self._errors = Counter("understudy_errors", "Errors told to clients.", ["code"], registry=r)
        self._deprecated = Counter(
            "understudy_deprecated_endpoint_uses", "Uses of deprecated endpoints.", ["endpoint"], registry=r
        )

    def _declare_runs(self) -> None:
        r = self.registry
        self._events = Counter("understudy_events_committed", "Events of runs, logged.", ["type"], registry=r)
        self._first = Histogram(
            "understudy_time_to_first_event_seconds",
            "From a message to its run's first event.",
            buckets=RUN_S,
            registry=r,
        )
        self._runs = Counter("understudy_runs", "Ended runs.", ["outcome"], registry=r)
        self._run_s = Histogram(
            "understudy_run_duration_seconds", "From accepted to a run's end.", buckets=RUN_S, registry=r
        )
        self._taken_up = Counter(
            "understudy_runs_taken_up", "Runs that lost their server, by what became of them.", ["outcome"], registry=r
        )
        self._calls = Counter("understudy_tool_calls", "Ended tool calls.", ["tool", "status"], registry=r)
        self._call_s = Histogram(
            "understudy_tool_call_duration_seconds", "Tool calls.", ["tool"], buckets=RUN_S, registry=r
        )
        self._finds = Counter(
            "understudy_scrub_findings",
            "What was found in texts.",
            ["category", "kind", "direction", "action"],
            registry=r,
        )
        self._scrub_s = Histogram(
            "understudy_scrub_seconds", "Looking through one text.", ["direction"], buckets=SCRUB_S, registry=r
        )
        self._scrub_failures = Counter(
            "understudy_scrub_failures", "Detectors that failed.", ["direction", "detector"], registry=r
        )
        self._feedback = Counter("understudy_feedback", "Ratings of answers.", ["rating"], registry=r)
        Gauge("understudy_runs_without_end", "Accepted runs that have not ended.", registry=r).set_function(
            lambda: len(self.watchdog)
        )
        Gauge("understudy_runs_ended_twice", "Terminal events of runs that had ended.", registry=r).set_function(
            lambda: self.watchdog.double_ends
        )

    def _declare_server(self) -> None:
        r = self.registry
        self._restarts = Counter("understudy_actor_restarts", "Restarts of actors.", ["path"], registry=r)
        self._letters = Counter("understudy_dead_letters", "Messages that reached nobody.", ["why"], registry=r)
        self._held = Counter("understudy_loop_held", "Messages whose handling held the loop.", ["path"], registry=r)
        self._lingering = Counter("understudy_actors_lingering", "Killed actors that go on.", ["path"], registry=r)
        self._breakers = Gauge(
            "understudy_breaker_state", "0: calls pass, 1: one is on trial, 2: none.", ["breaker"], registry=r
        )
        self._cache_reads = Counter("understudy_cache_reads", "Reads, by who answered them.", ["outcome"], registry=r)
        self._commit_rows = Histogram(
            "understudy_store_commit_events", "Events in one commit.", buckets=COMMIT_ROWS, registry=r
        )
        self._removed = Counter("understudy_removed", "What was removed because of its age.", ["what"], registry=r)
        self._commit_s = Histogram(
            "understudy_store_commit_seconds", "Duration of one commit.", buckets=DELIVERY_S, registry=r
        )
        self._reads = Gauge("understudy_reads_waiting", "Reads that wait for a thread.", registry=r)
        self._read_waits = BatchHistogram("understudy_read_wait_seconds", "From a read to its thread.", DELIVERY_S, r)
        self._lapses = Gauge("understudy_node_lapses", "How often others took this node for dead.", registry=r)
        self._redis = Gauge("understudy_redis_up", "Whether Redis answers, where there is one.", registry=r)
        self._redis_calls = Counter("understudy_redis_calls", "Calls of Redis.", ["outcome"], registry=r)
        self._dropped_mail = Counter(
            "understudy_node_messages_dropped", "What came from Redis and was not heard.", ["reason"], registry=r
        )
        self._redis_s = Histogram(
            "understudy_redis_call_seconds", "Calls of Redis that it answered.", buckets=DELIVERY_S, registry=r
        )

    # connections (transport's ConnectionMetrics)

    def on_connection(self, change: int, dialect: str) -> None:
        """Count a connection that opened (`change` is 1) or closed (-1)."""
        self._labelled(self._connections, dialect).inc(change)

    def on_closed(self, code: int) -> None:
        """Count a closed socket by its close code."""
        self._labelled(self._closed, str(code) if code in CLOSES or code in (1005, 1006) else OTHER).inc()

    def on_received(self, command_type: str) -> None:
        """Count a command received."""
        self._labelled(self._messages, command_type).inc()

    def on_returned(self) -> None:
        """Count a client that reconnected."""
        self._reconnects.inc()

    def on_sent(self, event_types: Sequence[str], times: Sequence[float], now: float) -> None:
        """Count events handed to their socket; those with a time were not replayed. Clocks may differ slightly."""
        first = event_types[0]
        if event_types.count(first) == len(event_types):  # a burst is mostly of one kind
            self._labelled(self._sent, first).inc(len(event_types))
        else:
            for event_type, count in Tally(event_types).items():
                self._labelled(self._sent, event_type).inc(count)
        if len(times) < len(event_types):
            self._replayed.inc(len(event_types) - len(times))
        if times:
            self._delivery.observe_since(times, now)

    def on_ponged(self, rtt_s: float) -> None:
        """Record the round-trip time of a ping."""
        self._rtt.observe(rtt_s)

    def on_acked(self, behind: int) -> None:
        """Record how many events a client had been sent, but not rendered, when it acknowledged a thread's events."""
        self._behind.observe(behind)

    def on_error(self, code: str) -> None:
        """Count an error sent to a client."""
        self._labelled(self._errors, _known(code)).inc()

    def on_ignored(self, command_type: str) -> None:
        """Count a command ignored because it exceeds its limit."""
        self._labelled(self._ignored, command_type).inc()

    def on_dropped(self, event_type: str) -> None:
        """Count a dropped event without `seq`."""
        self._labelled(self._dropped, event_type).inc()

    # HTTP

    def count_error(self, code: str) -> None:
        """Count a request answered with an error."""
        self.on_error(code)

    def count_deprecated_use(self, endpoint: str) -> None:
        """Count the use of a deprecated endpoint. `endpoint` is the agent type of its path, not a name chosen by a
        client."""
        self._labelled(self._deprecated, endpoint).inc()

    # runs (chat's RunMetrics)

    def event(self, envelope: Envelope, arrived_at: float | None = None) -> None:
        """Record a committed event. `arrived_at`: when the message arrived that it accepts (Unix seconds), if known."""
        kind = envelope.event.type
        self._labelled(self._events, kind).inc()
        if envelope.run_id is None:
            return
        noted = self.watchdog.record_event(envelope.run_id, kind, envelope.timestamp, arrived_at)
        if noted.first_s is not None:
            self._first.observe(max(0.0, noted.first_s))
        if noted.ended_s is not None:
            self._run_s.observe(max(0.0, noted.ended_s))
            self._labelled(self._runs, _outcome(envelope)).inc()

    def feedback(self, rating: str | None) -> None:
        """Count a rating of an answer, or its removal."""
        self._labelled(self._feedback, rating or "none").inc()

    def observe_tree(self, tree: Callable[[], ScrapedNode | None]) -> None:
        """Call `tree` at each scrape for the supervision tree, whose actors and waiting messages are counted then."""
        self.registry.register(MailboxDepths(tree))

    def observe_storage(self, reads_waiting: Callable[[], int], lapses: Callable[[], int]) -> None:
        """Call these at each scrape: the number of reads that wait, and of lapses of this node's membership."""
        self._reads.set_function(reads_waiting)
        self._lapses.set_function(lapses)

    def run_resumed(self, what: str) -> None:
        """Count a run that lost its server: `resumed`, or the reason why it cannot be."""
        self._labelled(self._taken_up, what).inc()

    def tool_ended(self, tool: str | None, status: str, seconds: float) -> None:
        """Count a finished tool call. `tool` None: the model requested a tool that its agent does not have."""
        tool = OTHER if tool is None else _capped(tool, self._tools, TOOLS_MAX)
        self._labelled(self._calls, tool, status).inc()
        self._labelled(self._call_s, tool).observe(max(0.0, seconds))

    # content filter (ContentMetrics)

    def record_sanitized(self, direction: str, findings: Iterable[Finding], omitted: int, seconds: float) -> None:
        """Record the findings in a text and the duration; `omitted`: further findings that are not listed."""
        self._labelled(self._scrub_s, direction).observe(max(0.0, seconds))
        for finding in findings:
            kind = _capped(finding.kind, self._kinds, KINDS_MAX)
            self._finds.labels(finding.category.value, kind, direction, finding.action.value).inc()
        if omitted:
            self._finds.labels(OTHER, OTHER, direction, OTHER).inc(omitted)

    def record_detector_failure(self, direction: str, detector: str) -> None:
        """Count a detector that failed on a text."""
        detector = _capped(detector, self._detectors, KINDS_MAX)
        self._labelled(self._scrub_failures, direction, detector).inc()

    # the server

    def record(self, event: object) -> None:
        """Count an event of the actor tree."""
        match event:
            case ActorRestarting():
                self._labelled(self._restarts, self._paths.label(event.path)).inc()
            case DeadLetter():
                self._labelled(self._letters, event.why).inc()
            case SlowHandler():
                self._labelled(self._held, self._paths.label(event.path or "other")).inc()
            case ShutdownOverdue():
                self._labelled(self._lingering, self._paths.label(event.path)).inc()

    def removed(self, what: str, count: int) -> None:
        """Count threads, events or files removed because of their age; see `understudy.privacy.retention`."""
        self._labelled(self._removed, what).inc(count)

    def committed(self, events: int, seconds: float) -> None:
        """Record a transaction with `events` events."""
        self._commit_rows.observe(events)
        self._commit_s.observe(max(0.0, seconds))

    def redis_up(self, up: bool) -> None:
        """Record whether Redis answers."""
        self._redis.set(up)

    def node_message_dropped(self, reason: str) -> None:
        """Count a message of a node that was dropped as `not_authentic`, `replayed` or `unreadable`."""
        self._labelled(self._dropped_mail, reason).inc()

    def redis_called(self, outcome: str, seconds: float) -> None:
        """Record a call of Redis that was `answered`, `refused`, `failed`, or not made because Redis is `away`."""
        self._labelled(self._redis_calls, outcome).inc()
        if outcome == "answered":
            self._redis_s.observe(seconds)

    def breaker_changed(self, name: str, state: str) -> None:
        """Record the state of a breaker: closed, half open or open."""
        self._labelled(self._breakers, name).set(("closed", "half_open", "open").index(state))

    def cache_read(self, outcome: str) -> None:
        """Count a read by its outcome: answered by the database, by the cache, or by neither."""
        self._labelled(self._cache_reads, outcome).inc()

    def reads_began(self, times: Sequence[float], now: float) -> None:
        """Record how long reads requested at these times waited for a thread and a connection."""
        self._read_waits.observe_since(times, now)

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _labelled(self, metric: Any, first: str, second: str = "") -> Any:
        """Return the child for these labels, cached: `labels()` takes a lock and builds a tuple on each call."""
        key = (id(metric), first, second)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(first, second) if second else metric.labels(first)
        return child


class MailboxDepths(Collector):
    """Waiting messages by path pattern and lane, counted at each scrape."""

    def __init__(self, tree: Callable[[], ScrapedNode | None]) -> None:
        self._tree = tree
        self._paths = PathLabels()

    def describe(self) -> list[Metric]:
        """Return nothing, so that registering does not walk a tree that may not exist yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield two gauges. Actors of one pattern are added up."""
        waiting: Tally[tuple[str, str]] = Tally()
        alive: Tally[str] = Tally()
        root = self._tree()
        rest = [root] if root is not None else []
        while rest:
            node = rest.pop()
            pattern = self._paths.label(node.path)
            alive[pattern] += 1
            for lane, count in node.depth.items():
                waiting[pattern, str(getattr(lane, "value", lane)).lower()] += count
            rest.extend(node.children)
        depth = GaugeMetricFamily("understudy_mailbox_depth_messages", "Waiting messages.", labels=["path", "lane"])
        for (pattern, lane), count in sorted(waiting.items()):
            depth.add_metric([pattern, lane], count)
        yield depth
        actors = GaugeMetricFamily("understudy_actors", "Actors in the tree.", labels=["path"])
        for pattern, count in sorted(alive.items()):
            actors.add_metric([pattern], count)
        yield actors


def _capped(name: str, known: set[str], limit: int) -> str:
    """Return the name if it is known or there is room for it, otherwise `other`."""
    if name not in known:
        if len(known) >= limit:
            return OTHER
        known.add(name)
    return name


def _known(code: str) -> str:
    """Return a registered error code unchanged, any other as `other`: it may come from the log of another release."""
    return code if code in ERRORS else OTHER


def _outcome(envelope: Envelope) -> str:
    """Return the status of an answer, or the code of an error."""
    match envelope.event:
        case FinalResponse(status=status):
            return status.value
        case Error(code=code):
            return _known(code)
        case _:
            return OTHER
