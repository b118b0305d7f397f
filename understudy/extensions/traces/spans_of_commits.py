"""Records the spans of a thread's commits."""

from weakref import WeakKeyDictionary

import trio
from attrs import define, field

from understudy.chat.conversation.active_run import ActiveRun
from understudy.chat.conversation.thread_part import ThreadPart
from understudy.extensions.traces.sender import SentTraces
from understudy.observe import conventions as names
from understudy.observe.spans import Attribute, SpanContext, SpanKind, span_of
from understudy.storage.changes import Change
from understudy.storage.records import LoggedEvent, RunAttempt, StepRecord
from understudy.wire.events import AgentStarted
from understudy.wire.vocabulary import from_log


@define(eq=False)
class SpansOfCommits(ThreadPart):
    """Records the spans of commits of traced runs. Their parents are the spans of the runs' agents, in `agents`."""

    agents: WeakKeyDictionary[ActiveRun, SpanContext] = field(factory=WeakKeyDictionary, init=False)

    def committed(self, change: Change, began_at: float, error: BaseException | None) -> None:
        """Record the span of a commit, if its run is traced."""
        traces = self.thread.services.parts[SentTraces]
        attempts = [] if change.attempt is None else [change.attempt]
        parts: tuple[LoggedEvent | RunAttempt | StepRecord, ...] = (*change.events[-1:], *attempts, *change.steps)
        run_id = parts[0].run_id if parts else None
        if run_id is None or not traces.of_run(run_id):
            return
        live = self.thread.runs.get(run_id)
        parent = span_of(run_id) if live is None else self._above(live, change)
        attributes: dict[str, Attribute] = {
            names.DATABASE: traces.database,
            names.DATABASE_OPERATION: "COMMIT",
            names.EVENTS: len(change.events),
            names.STEPS: len(change.steps),
        }
        span, now = traces.new_context(parent.trace_id), self.thread.now
        why = "" if error is None else "cancelled" if isinstance(error, trio.Cancelled) else type(error).__name__
        traces.add("commit", span, parent, began_at, now, attributes, kind=SpanKind.CLIENT, error=why)

    def _above(self, live: ActiveRun, change: Change) -> SpanContext:
        """Return the span of an agent that starts in this commit, or of the agent at work, or else of the message."""
        request = live.request
        started = [event for event in change.events if event.type == AgentStarted.type]
        if started and change.run is None:
            event = from_log(started[-1].body).event
            if isinstance(event, AgentStarted):
                return span_of(request.run_id, request.attempt, event.agent_id)
        return self.agents.get(live) or span_of(request.run_id)
