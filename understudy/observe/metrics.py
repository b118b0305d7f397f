"""Every metric of the server, declared once, each with its unit in its name.

Each server has its own registry, so that two servers in one process, and tests, count separately. Labels come from
closed sets (codes, event types, dialects, path patterns); the number of names that users could invent is capped.
"""

import math
import platform
import time
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import Any, Final, Protocol

from attrs import frozen
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from actors.events import ActorRestarting, DeadLetter, ShutdownOverdue, SlowHandler, WatchdogDied
from sanitization import Finding
from transport.outbox.metrics import ConnectionMetrics
from transport.wire.codes import CLOSES, ERRORS
from transport.wire.events import Envelope, Error, FinalResponse, Usage
from understudy.observe.paths import OTHER, PathLabels
from understudy.observe.recent import EndedRun, Recent
from understudy.observe.run_watchdog import RunWatchdog

KINDS_MAX: Final = 200
"""Kinds of findings, and detectors, with a label of their own; further ones are counted as `other`."""
TOOLS_MAX: Final = 200
"""Tools with a label of their own; further ones are counted as `other`."""
MODELS_MAX: Final = 50
"""Models with a label of their own; further ones are counted as `other`."""

# Bounds of histograms, in seconds. A delivery takes some hundred microseconds on one machine; a person notices a tenth
# of a second.
DELIVERY_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
RUN_S: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0)
COMMIT_ROWS: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)


RUN_OUTCOMES: Final = ("success", "cancelled", "agent_failed")
RESUME_OUTCOMES: Final = ("resumed", "unknown", "set_aside", "no_agent", "unreadable", "later_release")


class ScrapedNode(Protocol):
    """The part of a supervision tree read at each scrape. `depth` is the number of waiting messages by lane."""

    @property
    def path(self) -> str: ...  # noqa: D102 - named above
    @property
    def depth(self) -> Mapping[Any, int]: ...  # noqa: D102
    @property
    def children(self) -> Sequence[Any]: ...  # noqa: D102


@frozen
class CountedBy:
    """A counter that an extension has, by the values of one label."""

    name: str
    text: str
    label: str


class _Labelled(dict[Any, Any]):
    """The children of a metric by their labels, cached: `labels()` takes a lock and builds a tuple on each call."""

    def __init__(self, metric: Any) -> None:
        self._metric = metric

    def __missing__(self, labels: str | tuple[str, ...]) -> Any:
        child = self[labels] = self._metric.labels(*((labels,) if isinstance(labels, str) else labels))
        return child


class BatchHistogram(Collector):
    """For events at some hundred thousand a second: an observation costs a tenth of `Histogram.observe`.

    prometheus_client takes two locks for each observation. Here one thread observes, and any thread may scrape.
    `bounds` are the upper bounds of the buckets in rising order, without infinity.
    """

    def __init__(self, name: str, help_text: str, bounds: Sequence[float], registry: CollectorRegistry) -> None:
        self._name = name
        self._help = help_text
        self._bounds = (*bounds, math.inf)
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0
        registry.register(self)

    def observe_since(self, times: Sequence[float], now: float) -> None:
        """Record the time from each of `times` to `now`. A time in the future is recorded as 0."""
        counts, bounds = self._counts, self._bounds
        if len(times) == 1:  # as is usual for a word of an answer
            took = max(0.0, now - times[0])
            counts[bisect_left(bounds, took)] += 1
            self._sum += took
            return
        shortest, longest = now - max(times), now - min(times)
        bucket = bisect_left(bounds, shortest)
        if shortest > 0.0 and bucket == bisect_left(bounds, longest):  # as is usual in one write
            counts[bucket] += len(times)
            self._sum += len(times) * now - sum(times)
            return
        for at in times:
            counts[bisect_left(bounds, now - at)] += 1
            self._sum += max(0.0, now - at)

    def collect(self) -> Iterator[Metric]:
        """Yield the cumulative buckets and the sum."""
        named = zip(map(floatToGoString, self._bounds), accumulate(self._counts), strict=True)
        yield HistogramMetricFamily(self._name, self._help, buckets=list(named), sum_value=self._sum)


class BatchCounter(Collector):
    """A counter with one label, for events at some hundred thousand a second: counting takes a tenth of `Counter.inc`.

    prometheus_client takes a lock for each call. Here one thread counts, and any thread may scrape.
    """

    def __init__(self, name: str, help_text: str, label: str, registry: CollectorRegistry) -> None:
        self._name = name
        self._help = help_text
        self._labelnames = (label,)
        self._counts: dict[str, int] = {}
        self._began: dict[str, float] = {}
        registry.register(self)

    def add(self, label: str, count: int = 1) -> None:
        """Count events of a label."""
        try:
            self._counts[label] += count
        except KeyError:
            self._began[label] = time.time()
            self._counts[label] = count

    def collect(self) -> Iterator[Metric]:
        """Yield the counts, each with the time of its first event."""
        family = CounterMetricFamily(self._name, self._help, labels=self._labelnames)
        for label, count in list(self._counts.items()):
            family.add_metric([label], count, created=self._began[label])
        yield family


class Metrics(ConnectionMetrics):
    """The metrics of one server.

    Implements the metrics hooks of connections, runs, content filter and storage; `record` counts the
    events of the actor system. All methods are cheap, and none raises for an unknown label.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.watchdog = RunWatchdog()
        self.recent = Recent(clock)
        self._paths = PathLabels()
        self._tools: set[str] = set()
        self._models: set[str] = set()
        self._kinds: set[str] = set()
        self._detectors: set[str] = set()
        self._brought: dict[CountedBy, Any] = {}
        counter, gauge = partial(self._declare, Counter), partial(self._declare, Gauge)
        histogram = partial(self._declare, Histogram)
        self._connections = gauge(
            "understudy_connections",
            "Open connections, event streams too; `agui` for the runs of AG-UI, `responses` for those of "
            "OpenAI's clients.",
            "dialect",
        )
        self._closed = counter(
            "understudy_connections_closed", "Closed sockets, by close code; `other` for a client's own.", "code"
        )
        for code in CLOSES:  # from 0 on, so that the first of a kind is an increase
            self._closed[str(code)]
        self._reconnects = counter(
            "understudy_reconnects",
            "Clients that reconnected: connections whose first `resume`, and event streams whose "
            "`Last-Event-ID` or `after`, names an event that the client has.",
        )
        self._messages = BatchCounter(
            "understudy_messages",
            "Commands received; `rejected` for frames that are not commands.",
            "type",
            self.registry,
        )
        self._repeated = counter(
            "understudy_messages_repeated",
            "Messages over a connection that had been accepted before: the acceptance did not reach the client.",
        )
        self._ignored = counter(
            "understudy_messages_ignored", "`ack` and `typing` beyond `signals_per_minute`.", "type"
        )
        self._sent = BatchCounter("understudy_events_sent", "Events handed to sockets.", "type", self.registry)
        self._replayed = counter(
            "understudy_events_replayed",
            "Sent events that had happened before their client asked for them: those sent from the log to a "
            "client that reconnects or opens a conversation.",
        )
        self._dropped = counter(
            "understudy_events_dropped", "Events without a number that a slow reader did not get.", "type"
        )
        self._delivery = BatchHistogram(
            "understudy_delivery_latency_seconds",
            "From an event to its socket; not of events that had happened before their client asked for them.",
            DELIVERY_S,
            self.registry,
        )
        self._rtt = histogram("understudy_ping_seconds", "From a ping to its pong.", buckets=DELIVERY_S)
        self._behind = histogram(
            "understudy_rendered_behind_events",
            "Events sent to a client that it had not yet shown at its last `ack`.",
            buckets=COMMIT_ROWS,
        )
        self._errors = counter("understudy_errors", "Errors sent to clients, WebSocket and HTTP.", "code")
        self._events = counter("understudy_events_committed", "Durable events of runs.", "type")
        self._first = histogram(
            "understudy_time_to_first_event_seconds",
            "From the arrival of a message (its first frame was read, or its request began) to the first "
            "event after its acceptance: scrubbing, waiting for storage and queueing included. If another "
            "node forwarded the message, the time starts on this node.",
            buckets=RUN_S,
        )
        self._runs = counter(
            "understudy_runs", "Ended runs: `success`, `cancelled`, or the code of their error.", "outcome"
        )
        self._run_s = histogram("understudy_run_duration_seconds", "From accepted to the end.", buckets=RUN_S)
        self._resumed = counter(
            "understudy_runs_taken_up",
            "Runs that lost their server or their actor: `resumed`, or the reason why the run could not be "
            "resumed: `unknown`, `set_aside`, `no_agent`, `unreadable`, `later_release`.",
            "outcome",
        )
        # An increase is seen only if the count before it was: these begin with 0, not with their first count.
        for metric, labels in ((self._runs, RUN_OUTCOMES), (self._resumed, RESUME_OUTCOMES), (self._errors, ERRORS)):
            for each in labels:
                metric[each].inc(0)
        self._calls = counter("understudy_tool_calls", "Ended tool calls.", "tool", "status")
        self._call_s = histogram("understudy_tool_call_duration_seconds", "Tool calls.", "tool", buckets=RUN_S)
        self._tool_threads = gauge(
            "understudy_tool_threads",
            "Worker threads of tools: `working`, or `lost` (the call was given up, the function goes on).",
            "state",
        )
        self._threads_lost = counter(
            "understudy_tool_threads_lost",
            "Calls that were given up while their function went on; a tool that adds to it hangs.",
            "tool",
        )
        self._model_s = histogram(
            "understudy_model_turn_seconds", "Turns of models, also failed ones.", "model", buckets=RUN_S
        )
        self._tokens = counter(
            "understudy_model_tokens",
            "Tokens of language models (words of the offline one): `input` without what the provider had "
            "cached, `cached`, `output`.",
            "model",
            "kind",
        )
        self._cost = counter(
            "understudy_model_cost",
            "What turns of a model cost, in the currency of the prices; 0 for a model without a price.",
            "model",
        )
        self._findings = counter(
            "understudy_scrub_findings", "What was found in texts.", "category", "kind", "direction", "action"
        )
        self._scrub_failures = counter(
            "understudy_scrub_failures",
            "Detectors that failed on a text; the log has `scrub.detector_failed`.",
            "direction",
            "detector",
        )
        self._webhooks = counter(
            "understudy_webhooks",
            "Attempts to deliver a webhook: `delivered`, `failed` (it is tried again), `given_up`.",
            "outcome",
        )
        self._spans_dropped = counter(
            "understudy_trace_spans_dropped",
            "Spans that did not reach the collector of traces: `queue`, `collector`, `shutdown`.",
            "reason",
        )
        self._feedback = counter(
            "understudy_feedback", "Ratings of answers: `up`, `down`, or `none` for a withdrawn rating.", "rating"
        )
        gauge("understudy_runs_without_end", "Accepted runs that have not ended, of this process.").set_function(
            lambda: len(self.watchdog.open)
        )
        gauge(
            "understudy_runs_silent",
            "Accepted runs of this process that sent nothing for a minute, and wait neither for a person nor "
            "for an earlier run of their conversation.",
        ).set_function(lambda: self.watchdog.count_silent(clock()))
        for name, text, read in (
            (
                "understudy_runs_ended_twice",
                "Ends of runs that had already ended; any value above 0 is a bug.",
                lambda: self.watchdog.double_ends,
            ),
            (
                "understudy_runs_abandoned",
                "Runs that ended while no client of their user was connected, though one was when they began.",
                lambda: self.watchdog.abandoned,
            ),
            (
                "understudy_tool_calls_unpaired",
                "Tool calls that had no result when their run ended; any value above 0 is a bug.",
                lambda: self.watchdog.unpaired_calls,
            ),
            (
                "understudy_events_misplaced",
                "Events that name another conversation than their run; any value above 0 is a bug.",
                lambda: self.watchdog.misplaced,
            ),
        ):
            self.registry.register(_CountedElsewhere(name, text, read))

        self._restarts = counter("understudy_actor_restarts", "Restarts of actors.", "path")
        self._dead_letters = counter("understudy_dead_letters", "Messages to dead actors.", "why")
        self._slow_handlers = counter(
            "understudy_loop_held",
            "Tasks of actors that blocked the event loop for over 50 ms; `other`: a task that no actor started.",
            "path",
        )
        self._watchdogs_died = counter(
            "understudy_watchdog_died",
            "Ends of the thread that looks for held loops, by an error of its own: `understudy_loop_held` "
            "counts no more until the server is restarted.",
        )
        self._lingering = counter(
            "understudy_actors_lingering", "Actors that were killed and had not ended 5 s later.", "path"
        )
        self._breakers = gauge(
            "understudy_breaker_state",
            "0 while closed (calls pass), 2 while open (calls are refused after repeated failures), 1 while "
            "half open (one call probes); of the `database` (reads) and of each `model`.",
            "breaker",
        )
        self._cache_reads = counter(
            "understudy_cache_reads",
            "Reads of threads, messages and events by source: the `database`; the cache while the database is "
            "away (`stale`); neither (`missed`).",
            "outcome",
        )
        self._commit_rows = histogram("understudy_store_commit_events", "Events in one commit.", buckets=COMMIT_ROWS)
        self._removed = counter(
            "understudy_removed",
            "`threads`, `events`, `files`, `audit_entries` that were removed because of their age.",
            "what",
        )
        self._commit_s = histogram("understudy_store_commit_seconds", "Duration of one commit.", buckets=DELIVERY_S)
        self._reads = gauge(
            "understudy_reads_waiting",
            "Reads that wait for a worker thread and its connection; if it stays above 0, all of these are busy.",
        )
        self.read_waits = BatchHistogram(
            "understudy_read_wait_seconds",
            "How long reads waited for a worker thread; if a read waits longer than 0.25 s, the log has "
            "`storage.readers_busy`, at most once a second.",
            DELIVERY_S,
            self.registry,
        )
        self.loop_lag = histogram(
            "understudy_loop_lag_seconds",
            "How late the event loop handles a timer, measured once a second.",
            buckets=DELIVERY_S,
        )
        self._redis: Gauge | None = None
        self._redis_calls = counter(
            "understudy_redis_calls",
            "Calls of Redis: `answered`, `refused` by Redis, `failed`, or `away` if the call was not made "
            "because Redis does not answer.",
            "outcome",
        )
        self._dropped_packets = counter(
            "understudy_node_messages_dropped",
            "Messages in Redis that this node dropped: `not_authentic`, not encrypted by a node with the same "
            "secret; `replayed`; `unreadable`.",
            "reason",
        )

    # connections (transport's ConnectionMetrics)

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
        """Count events handed to their socket; those with a time were not replayed. Clocks may differ slightly."""
        first, number = event_types[0], len(event_types)
        if number == 1 or event_types.count(first) == number:  # a burst is mostly of one kind
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
        """Record how many events a client had been sent, but not rendered, when it acknowledged a thread's events."""
        self._behind.observe(behind)

    def on_error(self, code: str) -> None:
        """Count an error sent to a client."""
        self._errors[_known(code)].inc()
        self.recent.count("refused", _known(code))

    def on_ignored(self, command_type: str) -> None:
        """Count a command ignored because it exceeds its limit."""
        self._ignored[command_type].inc()

    def on_dropped(self, event_type: str) -> None:
        """Count a dropped event without `seq`."""
        self._dropped[event_type].inc()

    # runs (chat's RunMetrics)

    def event(
        self, envelope: Envelope, arrived_at: float | None = None, owner: str = "", *, watched: bool = False
    ) -> float | None:
        """Record a committed event of a run of `owner`. `arrived_at`: when the message arrived that it accepts (Unix
        seconds), if known; `watched`: a client of the user is connected.

        Return how many seconds the run took, if the event ends it and its beginning is known.
        """
        kind = envelope.event.type
        self._events[kind].inc()
        if envelope.run_id is None:
            return None
        run = self.watchdog.open.get(envelope.run_id)
        call_id = getattr(envelope.event, "call_id", None) or ""
        question_id = getattr(envelope.event, "question_id", "")
        first_s, ended_s = self.watchdog.record_event(
            envelope.run_id, kind, envelope.timestamp, arrived_at, owner,
            thread_id=envelope.thread_id, call_id=call_id, question_id=question_id, watched=watched,
        )  # fmt: skip
        if first_s is not None:
            self._first.observe(max(0.0, first_s))
            self.recent.observe("first_event", first_s)
        if ended_s is not None:
            self._run_s.observe(max(0.0, ended_s))
            self.recent.observe("run", ended_s)
            outcome = OTHER
            if isinstance(envelope.event, FinalResponse):
                outcome = envelope.event.status.value
            elif isinstance(envelope.event, Error):
                outcome = _known(envelope.event.code)
            self._runs[outcome].inc()
            self.recent.count("run_ended", outcome)
            begun = None if run is None else run.first_s
            ended = EndedRun(self.recent.clock(), owner, envelope.run_id, begun, max(0.0, ended_s), outcome)
            self.recent.runs.append(ended)
        return ended_s

    def passing(self, envelope: Envelope) -> None:
        """Record an event that is not committed."""
        if envelope.run_id is not None:
            self.watchdog.record_passing(envelope.run_id, self.recent.clock())

    def repeated(self) -> None:
        """Count a message that a client sent again though it had been accepted."""
        self._repeated.inc()

    def feedback(self, rating: str | None) -> None:
        """Count a rating of an answer, or its removal."""
        self._feedback[rating or "none"].inc()

    def webhook(self, outcome: str) -> None:
        """Count an attempt to deliver a webhook: `delivered`, `failed` (it is tried again) or `given_up`."""
        self._webhooks[outcome].inc()

    def describe_build(self, version: str) -> None:
        """Show the release that runs, and the version of its Python."""
        build = Info("understudy_build", "The release that runs.", registry=self.registry)
        build.info({"version": version, "python": platform.python_version()})

    def observe_tree(self, tree: Callable[[], ScrapedNode | None]) -> None:
        """Call `tree` at each scrape for the supervision tree, whose actors and waiting messages are counted then."""
        self.registry.register(MailboxDepths(tree))

    def observe_storage(self, reads_waiting: Callable[[], int], lapses: Callable[[], int]) -> None:
        """Call these at each scrape: the number of reads that wait, and of lapses of this node's membership."""
        self._reads.set_function(reads_waiting)
        lapsed = _CountedElsewhere(
            "understudy_node_lapses",
            "How often other nodes considered this node dead since it started, for example after a pause "
            "longer than its lease.",
            lapses,
        )
        self.registry.register(lapsed)

    def observe_tool_threads(self, working: Callable[[], int], lost: Callable[[], int]) -> None:
        """Call these at each scrape: the threads of tools whose calls go on, and those whose calls were given up."""
        self._tool_threads["working"].set_function(working)
        self._tool_threads["lost"].set_function(lost)

    def tool_thread_lost(self, tool: str) -> None:
        """Count a call of a tool that was given up while its function went on in a thread."""
        self._threads_lost[_capped(tool, self._tools, TOOLS_MAX)].inc()

    def run_resumed(self, what: str) -> None:
        """Count a run that lost its server: `resumed`, or the reason why it cannot be."""
        self._resumed[what].inc()

    def model_answered(self, model: str, seconds: float) -> None:
        """Record how long a turn of a model took, also if it failed or was cut off."""
        model = _capped(model, self._models, MODELS_MAX)
        self._model_s[model].observe(max(0.0, seconds))
        self.recent.observe("model", seconds, model)

    def model_used(self, model: str, usage: Usage) -> None:
        """Count the words or tokens of a model's turn, and what they cost if their price is known."""
        model = _capped(model, self._models, MODELS_MAX)
        cached = usage.cached if isinstance(usage.cached, int) else 0
        self._tokens[model, "input"].inc(max(0, usage.input - cached))
        self._tokens[model, "cached"].inc(cached)
        self._tokens[model, "output"].inc(usage.output)
        self._cost[model].inc(usage.cost if isinstance(usage.cost, float | int) else 0.0)

    def spans_dropped(self, why: str, count: int) -> None:
        """Count spans that did not reach the collector: because of the `queue`, the `collector` or `shutdown`.

        Is called in any thread.
        """
        self._spans_dropped[why].inc(count)

    def tool_ended(self, tool: str | None, status: str, seconds: float) -> None:
        """Count a finished tool call. `tool` None: the model requested a tool that its agent does not have."""
        if tool not in self._tools:
            tool = OTHER if tool is None else _capped(tool, self._tools, TOOLS_MAX)
        self._calls[tool, status].inc()
        self._call_s[tool].observe(max(0.0, seconds))
        self.recent.observe("tool", seconds, tool)
        if status != "ok":
            self.recent.count("tool_ended", f"{tool}: {status}")

    # content filter

    def record_sanitized(self, direction: str, findings: Iterable[Finding], omitted: int) -> None:
        """Count the findings in a text; `omitted`: further findings that are not listed."""
        for finding in findings:
            kind = finding.kind if finding.kind in self._kinds else _capped(finding.kind, self._kinds, KINDS_MAX)
            self._findings[finding.category.value, kind, direction, finding.action.value].inc()
        if omitted:
            self._findings[OTHER, OTHER, direction, OTHER].inc(omitted)

    def record_detector_failure(self, direction: str, detector: str) -> None:
        """Count a detector that failed on a text."""
        detector = _capped(detector, self._detectors, KINDS_MAX)
        self._scrub_failures[direction, detector].inc()

    # the server

    def record(self, event: object) -> None:
        """Count an event of the actor tree."""
        match event:
            case ActorRestarting():
                label = self._paths.label(event.path)
                self._restarts[label].inc()
                self.recent.count("restart", label)
            case DeadLetter():
                self._dead_letters[event.why].inc()
            case SlowHandler():
                label = self._paths.label(event.path or OTHER)
                self._slow_handlers[label].inc()
                self.recent.observe("loop_held", event.held_s, label)
            case WatchdogDied():
                self._watchdogs_died.inc()
            case ShutdownOverdue():
                self._lingering[self._paths.label(event.path)].inc()

    def removed(self, what: str, count: int) -> None:
        """Count what was removed because of its age; see `understudy.privacy.retention`."""
        self._removed[what].inc(count)

    def committed(self, events: int, seconds: float) -> None:
        """Record a transaction with `events` events."""
        self._commit_rows.observe(events)
        self._commit_s.observe(max(0.0, seconds))
        self.recent.observe("commit", seconds)

    def reads_began(self, requested: Sequence[float], now: float) -> None:
        """Record that reads, requested at these times, got a thread now."""
        self.read_waits.observe_since(requested, now)
        self.recent.observe("read_wait", now - min(requested))

    def read(self, query: str, seconds: float) -> None:
        """Record a read of the database by the name of its query."""
        self.recent.observe("read", seconds, query)

    def redis_up(self, up: bool) -> None:
        """Record whether Redis answers. A server without Redis never calls this, and has no such metric."""
        if self._redis is None:
            self._redis = Gauge(
                "understudy_redis_up",
                "1 while Redis answers, otherwise 0; a server without Redis does not have it.",
                registry=self.registry,
            )
        self._redis.set(up)

    def node_message_dropped(self, reason: str) -> None:
        """Count a message of a node that was dropped as `not_authentic`, `replayed` or `unreadable`."""
        self._dropped_packets[reason].inc()

    def redis_called(self, outcome: str) -> None:
        """Count a call of Redis that was `answered`, `refused`, `failed`, or not made because Redis is `away`."""
        self._redis_calls[outcome].inc()

    def breaker_changed(self, name: str, state: str) -> None:
        """Record the state of a breaker: closed, half open or open."""
        self._breakers[name].set(("closed", "half_open", "open").index(state))

    def cache_read(self, outcome: str) -> None:
        """Count a read by its outcome: answered by the database, by the cache, or by neither."""
        self._cache_reads[outcome].inc()

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def declare(self, counter: CountedBy) -> None:
        """Have a counter of an extension."""
        self._brought[counter] = self._declare(Counter, counter.name, counter.text, counter.label)

    def count(self, counter: CountedBy, value: str) -> None:
        """Count one more with this value of the counter's label."""
        self._brought[counter][value].inc()

    def _declare(self, kind: Any, name: str, text: str, *labels: str, **more: Any) -> Any:
        """Return a metric, or its children by their labels."""
        metric = kind(name, text, labels, registry=self.registry, **more)
        return _Labelled(metric) if labels else metric


class _CountedElsewhere(Collector):
    """A counter whose value something else keeps, and is read at each scrape."""

    def __init__(self, name: str, help_text: str, read: Callable[[], int]) -> None:
        self._name, self._help, self._read = name, help_text, read

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(self._name, self._help, value=self._read())


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
        depth = GaugeMetricFamily(
            "understudy_mailbox_depth_messages",
            "Messages in mailboxes, counted at each scrape.",
            labels=["path", "lane"],
        )
        for (pattern, lane), count in sorted(waiting.items()):
            depth.add_metric([pattern, lane], count)
        yield depth
        actors = GaugeMetricFamily("understudy_actors", "Actors alive.", labels=["path"])
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
