"""The metrics of runs, of their tool calls, and of the models that they ask."""

from collections.abc import Callable
from typing import Final

from transport.wire.events import Error
from understudy.observe.collectors import RUN_S, CountedElsewhere, MetricRegistry, Names
from understudy.observe.connection_metrics import known_code
from understudy.observe.paths import OTHER
from understudy.observe.recent import EndedRun, Recent
from understudy.observe.run_watchdog import RunWatchdog
from understudy.wire.events import Envelope, FinalResponse, Usage

TOOLS_MAX: Final = 200
"""Tools with a label of their own; further ones are counted as `other`."""
MODELS_MAX: Final = 50
"""Models with a label of their own; further ones are counted as `other`."""
RUN_OUTCOMES: Final = ("success", "cancelled", "agent_failed")
RESUME_OUTCOMES: Final = ("resumed", "unknown", "set_aside", "no_agent", "unreadable", "later_release")


class ModelMetrics:
    """Measures the turns of models, their tokens and their cost. All methods are cheap."""

    def __init__(self, registry: MetricRegistry, recent: Recent) -> None:
        self._recent = recent
        self._models = Names(MODELS_MAX)
        self._model_s = registry.histogram(
            "understudy_model_turn_seconds", "Turns of models, also failed ones.", "model", buckets=RUN_S
        )
        self._tokens = registry.counter(
            "understudy_model_tokens",
            "Tokens of language models (words of the offline one): `input` without what the provider had "
            "cached, `cached`, `output`.",
            "model",
            "kind",
        )
        self._cost = registry.counter(
            "understudy_model_cost",
            "What turns of a model cost, in the currency of the prices; 0 for a model without a price.",
            "model",
        )

    def answered(self, model: str, seconds: float) -> None:
        """Record how long a turn of a model took, also if it failed or was cut off."""
        model = self._models(model)
        self._model_s[model].observe(max(0.0, seconds))
        self._recent.observe("model", seconds, model)

    def used(self, model: str, usage: Usage) -> None:
        """Count the words or tokens of a model's turn, and what they cost if their price is known."""
        model = self._models(model)
        cached = usage.cached if isinstance(usage.cached, int) else 0
        self._tokens[model, "input"].inc(max(0, usage.input - cached))
        self._tokens[model, "cached"].inc(cached)
        self._tokens[model, "output"].inc(usage.output)
        self._cost[model].inc(usage.cost if isinstance(usage.cost, float | int) else 0.0)


class RunMetrics:
    """Measures runs and their tool calls. All methods are cheap."""

    def __init__(self, registry: MetricRegistry, recent: Recent) -> None:
        self.watchdog = RunWatchdog()
        self._recent = recent
        self._tools = Names(TOOLS_MAX)
        self.models = ModelMetrics(registry, recent)
        self._repeated = registry.counter(
            "understudy_messages_repeated",
            "Messages over a connection that had been accepted before: the acceptance did not reach the client.",
        )
        self._events = registry.counter("understudy_events_committed", "Durable events of runs.", "type")
        self._first = registry.histogram(
            "understudy_time_to_first_event_seconds",
            "From the arrival of a message (its first frame was read, or its request began) to the first "
            "event after its acceptance: scrubbing, waiting for storage and queueing included. If another "
            "node forwarded the message, the time starts on this node.",
            buckets=RUN_S,
        )
        self._runs = registry.counter(
            "understudy_runs", "Ended runs: `success`, `cancelled`, or the code of their error.", "outcome"
        )
        self._run_s = registry.histogram("understudy_run_duration_seconds", "From accepted to the end.", buckets=RUN_S)
        self._resumed = registry.counter(
            "understudy_runs_taken_up",
            "Runs that lost their server or their actor: `resumed`, or the reason why the run could not be "
            "resumed: `unknown`, `set_aside`, `no_agent`, `unreadable`, `later_release`.",
            "outcome",
        )
        # Create these counters at 0, so that the first count of each is seen as an increase.
        for metric, labels in ((self._runs, RUN_OUTCOMES), (self._resumed, RESUME_OUTCOMES)):
            for label in labels:
                metric[label].inc(0)
        self._calls = registry.counter("understudy_tool_calls", "Ended tool calls.", "tool", "status")
        self._call_s = registry.histogram("understudy_tool_call_duration_seconds", "Tool calls.", "tool", buckets=RUN_S)
        self._tool_threads = registry.gauge(
            "understudy_tool_threads",
            "Worker threads of tools: `working`, or `lost` (the call was given up, the function goes on).",
            "state",
        )
        self._threads_lost = registry.counter(
            "understudy_tool_threads_lost",
            "Calls that were given up while their function went on; a tool that adds to it hangs.",
            "tool",
        )
        self._feedback = registry.counter(
            "understudy_feedback", "Ratings of answers: `up`, `down`, or `none` for a withdrawn rating.", "rating"
        )
        _register_watchdog(registry, self.watchdog, recent.clock)

    def event(
        self, envelope: Envelope, arrived_at: float | None = None, owner: str = "", *, watched: bool = False
    ) -> float | None:
        """Record a committed event of a run of `owner`. `arrived_at`: when the message of a `message_accepted` arrived,
        in Unix seconds; `watched`: a client of the user is connected.

        Return the duration of the run in seconds if the event ends it and its beginning is known, else None.
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
            self._recent.observe("first_event", first_s)
        if ended_s is not None:
            self._run_s.observe(max(0.0, ended_s))
            self._recent.observe("run", ended_s)
            outcome = OTHER
            if isinstance(envelope.event, FinalResponse):
                outcome = envelope.event.status.value
            elif isinstance(envelope.event, Error):
                outcome = known_code(envelope.event.code)
            self._runs[outcome].inc()
            self._recent.count("run_ended", outcome)
            first = None if run is None else run.first_s
            ended = EndedRun(self._recent.clock(), owner, envelope.run_id, first, max(0.0, ended_s), outcome)
            self._recent.runs.append(ended)
        return ended_s

    def passing(self, envelope: Envelope) -> None:
        """Record an event that is not committed, such as a piece of an answer."""
        if envelope.run_id is not None:
            self.watchdog.record_passing(envelope.run_id, self._recent.clock())

    def repeated(self) -> None:
        """Count a message that a client sent again after it had been accepted."""
        self._repeated.inc()

    def feedback(self, rating: str | None) -> None:
        """Count a rating of an answer, or its removal."""
        self._feedback[rating or "none"].inc()

    def observe_tool_threads(self, working: Callable[[], int], lost: Callable[[], int]) -> None:
        """Call these at each scrape for the number of working and of lost threads of tools."""
        self._tool_threads["working"].set_function(working)
        self._tool_threads["lost"].set_function(lost)

    def tool_thread_lost(self, tool: str) -> None:
        """Count a call of a tool that was given up while its function continues in a lost thread."""
        self._threads_lost[self._tools(tool)].inc()

    def run_resumed(self, what: str) -> None:
        """Count a run that lost its server by `what` became of it, one of `RESUME_OUTCOMES`."""
        self._resumed[what].inc()

    def tool_ended(self, tool: str | None, status: str, seconds: float) -> None:
        """Count a finished tool call. `tool` None: the model requested a tool that its agent does not have."""
        tool = OTHER if tool is None else self._tools(tool)
        self._calls[tool, status].inc()
        self._call_s[tool].observe(max(0.0, seconds))
        self._recent.observe("tool", seconds, tool)
        if status != "ok":
            self._recent.count("tool_ended", f"{tool}: {status}")


def _register_watchdog(registry: MetricRegistry, watchdog: RunWatchdog, clock: Callable[[], float]) -> None:
    registry.gauge("understudy_runs_without_end", "Accepted runs that have not ended, of this process.").set_function(
        lambda: len(watchdog.open)
    )
    registry.gauge(
        "understudy_runs_silent",
        "Accepted runs of this process that sent nothing for a minute, and wait neither for a person nor "
        "for an earlier run of their conversation.",
    ).set_function(lambda: watchdog.count_silent(clock()))
    for name, text, read in (
        (
            "understudy_runs_ended_twice",
            "Ends of runs that had already ended; any value above 0 is a bug.",
            lambda: watchdog.double_ends,
        ),
        (
            "understudy_runs_abandoned",
            "Runs that ended while no client of their user was connected, though one was when they began.",
            lambda: watchdog.abandoned,
        ),
        (
            "understudy_tool_calls_unpaired",
            "Tool calls that had no result when their run ended; any value above 0 is a bug.",
            lambda: watchdog.unpaired_calls,
        ),
        (
            "understudy_events_misplaced",
            "Events that name another conversation than their run; any value above 0 is a bug.",
            lambda: watchdog.misplaced,
        ),
    ):
        registry.register(CountedElsewhere(name, text, read))
