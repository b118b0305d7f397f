"""Executes the tool calls of a model's turn concurrently, and records each with its pair of events.

Whether a call may run is decided in `consent`, its tool is called in `tool_call`, and `settling` finds out what became
of one that was interrupted; `asking` has the questions of tools.
"""

import functools
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, TypeAlias

import trio
from attrs import asdict, define, evolve, field

from actors import Actor, Context
from transport.wire.events import Event
from understudy.agents.permissions import FORBIDDEN, refusal
from understudy.chat.messages import RunRequest
from understudy.chat.run.agent_spans import AgentSpans
from understudy.chat.run.asking import Asking
from understudy.chat.run.call_waits import CallWaits
from understudy.chat.run.client_tools import ClientWait, ask_client
from understudy.chat.run.consent import CallConsent
from understudy.chat.run.deadline import PausableDeadline
from understudy.chat.run.meter import Meter
from understudy.chat.run.model_input import ModelInput
from understudy.chat.run.questions import Questions
from understudy.chat.run.recorder import Recorder
from understudy.chat.run.replay import PendingCall, Replay
from understudy.chat.run.settling import EFFECT_UNKNOWN, CallSettling
from understudy.chat.run.tool_call import ToolCalls, stoppable
from understudy.chat.run.tool_outcome import ToolOutcome
from understudy.chat.run_settings import WIDGET_SETTING
from understudy.chat.services import Services
from understudy.chat.stops import sentence as stop_sentence
from understudy.content.filter import Blocked
from understudy.content.summary import build_summary, count_by_kind, is_suspect
from understudy.content.texts import SanitizedValue
from understudy.storage.errors import StorageUnavailable
from understudy.storage.records import StepRecord
from understudy.suggestion import did_you_mean
from understudy.tools.parameters import fitted
from understudy.tools.tool import Tool
from understudy.wire.events import RunStatus, SubagentCompleted, ToolCompleted, ToolExecuting, ToolStatus

MAX_CALLS = 64
"""Tool calls of one turn that are executed; further ones fail, so that a model cannot flood the server."""
CONCURRENT_CALLS = 8
"""Tool calls of one run that work at the same time; the others of the turn are queued."""
MAX_SHOWN = 2000
"""Characters of a parameter in an event; the rest is cut off there. The step has it whole."""
MAX_LISTED = 100
"""Names of tools that a model is told which asked for another one."""
MAX_NAME = 64
"""Characters of the name of an unknown tool; names of tools have no more."""
TOO_MANY = f"{MAX_CALLS} calls in one turn are the limit; make the others in the next turn."
RUN_STATUS = {
    ToolStatus.OK: RunStatus.SUCCESS,
    ToolStatus.CANCELLED: RunStatus.CANCELLED,
    ToolStatus.KILLED: RunStatus.INTERRUPTED,
}
"""How a subagent ended, by how its call did; any other status is a failure."""
SPENT = "The run's budget of tool calls is spent; answer with what you have."


@define
class ToolExecutor:
    """Executes the calls of a run. `begun` are the calls in the log that have not ended there.

    `ask_agent` makes the actor of a call that asks a subagent, which may be given the `conversation`; `replays` is the
    recorded progress of subagents by call id. `said` returns the answer so far.
    """

    job: RunRequest
    services: Services
    recorder: Recorder
    waits: CallWaits
    meter: Meter
    questions: Questions = field(factory=Questions)
    replays: Mapping[str, Replay] = field(factory=dict, repr=False)
    ask_agent: "Callable[[ToolExecutor, Tool, str, ToolOutcome], Actor] | None" = None
    conversation: ModelInput = field(factory=ModelInput, init=False, repr=False)
    client_wait: ClientWait = field(default=ClientWait(), init=False, repr=False)
    begun: dict[str, tuple[ToolOutcome, StepRecord, str | None, str, float]] = field(factory=dict, init=False)
    said: Callable[[], str] = field(default=str, init=False, repr=False)
    slots: trio.Semaphore = field(factory=functools.partial(trio.Semaphore, CONCURRENT_CALLS), init=False)
    deadline: PausableDeadline = field(init=False)
    consent: CallConsent = field(init=False)
    asking: Asking = field(init=False)
    calls: ToolCalls = field(init=False)
    settling: CallSettling = field(init=False)

    def __attrs_post_init__(self) -> None:
        job, services, recorder, waits = self.job, self.services, self.recorder, self.waits
        self.deadline = waits.deadline
        self.consent = CallConsent(job, services, recorder, waits)
        self.asking = Asking(job, services, recorder, waits, self.questions, self.slots)
        # A proxy, as the calls belong to this: a reference back would be a cycle.
        ask_agent = None if self.ask_agent is None else functools.partial(self.ask_agent, weakref.proxy(self))
        self.calls = ToolCalls(
            job, services, recorder, waits, self.meter, self.consent, self.asking, self.replays, ask_agent
        )
        self.settling = CallSettling(job, services, self.asking, self.calls)

    async def execute(
        self, calls: Sequence[PendingCall], tools: Mapping[str, Tool], agent_id: str, context: Context
    ) -> list[ToolOutcome]:
        """Execute all calls that have not finished, which begin in the order of the requests. Return their outcomes in
        that order. `tools` are those that the agent has, by name.

        A call that started before a restart is executed again; calls that must not be are excluded by
        `Replay.calls_in_doubt` before.

        Raises:
            StorageUnavailable: A call could not be recorded. The other calls were stopped.
        """
        names = [each.request.name for each in calls]
        self.recorder.activity = f"running {', '.join(names[:CONCURRENT_CALLS])}"
        allowed = self.meter.allowed_calls(MAX_CALLS)
        self.meter.add_calls(min(allowed, sum(not each.taken for each in calls)))
        own = {each.call_id for each in calls if each.result is None}
        of_client = {each.call_id for each in calls if (tool := tools.get(each.request.name)) and tool.client} & own
        self.waits.unfinished |= own - of_client
        now: list[_Execute] = []
        later: list[_Execute] = []  # those of the client's tools
        outcomes: list[ToolOutcome] = []
        unavailable: StorageUnavailable | None = None
        try:
            for number, call in enumerate(calls):
                request, tool = call.request, tools.get(call.request.name)
                if tool is not None:
                    request = evolve(request, arguments=fitted(request.arguments, tool.parameters))
                outcomes.append(outcome := ToolOutcome(request, call.call_id))
                if (past := call.result) is None:
                    refused = "" if number < allowed else TOO_MANY if number >= MAX_CALLS else SPENT
                    execute = functools.partial(self._execute_one, call, outcome, refused, tools, agent_id, context)
                    (later if call.call_id in of_client else now).append(execute)
                    continue
                assert call.step is not None  # noqa: S101 - for the type checker: a result is that of a step
                outcome.restore(ToolStatus(call.step.status), past)
                self._count_past(call.call_id)
            await _run_all(now)
            if of_client:
                self.waits.unfinished |= of_client
                waited = tuple(each.call_id for each in calls if each.call_id in of_client)
                self.client_wait = ClientWait(waited, self.said(), self.meter.used)
            await _run_all(later)
        except* StorageUnavailable as group:
            unavailable = StorageUnavailable(str(group.exceptions[0]))
        finally:
            self.waits.unfinished -= own
        if unavailable is not None:
            raise unavailable
        return outcomes

    def _count_past(self, call_id: str) -> None:
        """Count what the subagent of a finished call spent, and those below it."""
        past = self.replays.get(call_id)
        if past is None:
            return
        for usage in past.used:
            self.meter.add_usage(usage, turns=1)
        for call in (each for turn in past.turns for each in turn.calls):
            self.meter.add_calls(1)
            self._count_past(call.call_id)

    async def _execute_one(
        self,
        call: PendingCall,
        outcome: ToolOutcome,
        refused: str,
        tools: Mapping[str, Tool],
        agent_id: str,
        context: Context,
        began: Callable[[], None],
    ) -> None:
        """Execute a call as soon as there is a slot for it; `refused` is the sentence why it is not executed.

        A call that may ask its user starts at once, and takes its slot when it is allowed. `began` is called when the
        next one may begin: this one has begun, or waits for a slot.
        """
        tool = tools.get(call.request.name)
        if refused or tool is None or tool.approval is not False:
            await self._execute_now(call, outcome, refused, tools, agent_id, context, began)
        else:
            if not self.slots.value:
                began()
            async with self.slots:
                await self._execute_now(call, outcome, refused, tools, agent_id, context, began)

    async def _execute_now(
        self,
        call: PendingCall,
        outcome: ToolOutcome,
        refused: str,
        tools: Mapping[str, Tool],
        agent_id: str,
        context: Context,
        has_begun: Callable[[], None],
    ) -> None:
        """Execute a call, unless it is refused or its approval denied, and record its outcome.

        The step and the events that a restarted run finds recorded are not recorded again.
        """
        began, name, arguments = self.services.clock(), call.request.name, dict(outcome.request.arguments)
        tool, step, required = tools.get(name), call.step, call.approval_event
        events: tuple[Event, ...] = ()
        if step is None:
            said = await self._sanitize_request(outcome, tool)
            name, sanitized = said["name"], said["arguments"]
            step = self.recorder.next_step("tool", name, outcome.call_id, sanitized, began)
            shown = dict(sanitized)
            for key, value in sanitized.items():
                if isinstance(value, str) and len(value) > MAX_SHOWN and not (tool is not None and tool.client):
                    shown[key] = f"{value[:MAX_SHOWN]}… ({len(value) - MAX_SHOWN:,} more characters)"
            events = (ToolExecuting(agent_id, outcome.call_id, name, shown, said["description"][:MAX_SHOWN], began),)
        elif not call.announced:  # another run began it, with which this one goes on
            words = tool.description if tool is not None else f"Calling {step.name}"
            await self.recorder.record(
                ToolExecuting(agent_id, outcome.call_id, step.name, step.arguments or {}, words[:MAX_SHOWN], began)
            )
        if outcome.status is ToolStatus.KILLED:  # else its text is blocked
            if refused:
                outcome.fail(ToolStatus.FAILED, "invalid_arguments", refused)
            elif tool is None:
                known = ", ".join([*tools][:MAX_LISTED]) or "none"
                meant = did_you_mean(name, tools)
                sentence = f"There is no tool “{name}” here{meant}. This agent has: {known}."
                if call.in_doubt:  # of an MCP server that is away
                    sentence, outcome.effect_unknown = f"{name} was interrupted. {EFFECT_UNKNOWN}", True
                outcome.fail(ToolStatus.FAILED, "invalid_arguments", sentence)
            elif (stop := self.services.stops.find(*stoppable(tool))) is not None:
                outcome.fail(ToolStatus.FAILED, "stopped", stop_sentence(stop))
            elif not self._may_call(tool, call):
                outcome.fail(ToolStatus.FAILED, FORBIDDEN, refusal(tool))
            elif call.request.problem:
                outcome.fail(ToolStatus.FAILED, "invalid_arguments", call.request.problem)
            elif events and tool.approval is not False:
                required = await self.consent.request(tool, outcome, sanitized, agent_id)
        outcome.begin(step)
        runs = outcome.status is ToolStatus.KILLED
        label = None if tool is None else tool.name
        self.begun[outcome.call_id] = outcome, step, label, agent_id, began
        if runs and required is not None and tool is not None:
            if (decided := call.decision_event) is None:
                decided = await self.consent.ask(tool, required, outcome, context, *events, step=step, begun=has_begun)
            runs = self.consent.allows(decided, outcome)
            if runs and not self._may_call(tool, call):  # the rules have changed meanwhile
                outcome.fail(ToolStatus.FAILED, FORBIDDEN, refusal(tool))
                runs = False
            outcome.waited_s = self.services.clock() - began
            arguments = dict(required.parameters if decided.parameters is None else decided.parameters)
        elif events:
            has_begun()
            await self.recorder.record(*events, steps=(step,))
        has_begun()
        if runs and tool is not None:
            whole = call.whole or call.approval_event is not None
            in_doubt = call.in_doubt or (call.asking and tool.reconcile is not None)
            async with nullcontext() if tool.approval is False else self.slots:
                if tool.client:
                    await ask_client(self.asking, name, outcome, self.client_wait, agent_id, context)
                else:
                    await self.settling.run(tool, arguments, outcome, agent_id, context, in_doubt=in_doubt, whole=whole)
        has_place = WIDGET_SETTING not in self.job.settings
        if tool is not None and tool.widget and has_place and outcome.status is ToolStatus.OK:
            outcome.widget = {"server": tool.server, "uri": tool.widget}
        # An unknown name is the model's text: it must not become a label.
        await self.complete(outcome, step, None if tool is None else tool.name, agent_id, began + outcome.waited_s)

    def _may_call(self, tool: Tool, call: PendingCall) -> bool:
        """Return whether the user may have a tool called. A call that the log of this run has was allowed then."""
        logged = call.call_id in self.replays or (call.step is not None and call.announced)
        return logged or self.services.permissions.may_call(tool, self.job)

    async def complete(
        self, outcome: ToolOutcome, step: StepRecord, label: str | None, agent_id: str, worked_from: float
    ) -> None:
        """Record the outcome of a call, which worked since `worked_from` (Unix seconds)."""
        now = self.services.clock()
        worked_s = max(0.0, now - worked_from)
        self.services.metrics.tool_ended(label, outcome.status.value, worked_s)
        clean = await self._sanitize_result(outcome)
        findings, omitted, counts, redactions = clean.findings, clean.omitted, None, None
        if findings or omitted:
            outcome.suspect, counts = is_suspect(findings), count_by_kind(findings) or None
            redactions = build_summary(
                "tool", findings, self.services.settings.summary_from, omitted=omitted, call_id=outcome.call_id
            )
        undo_until = None if outcome.undo_s is None or outcome.status is not ToolStatus.OK else now + outcome.undo_s
        completed = ToolCompleted(
            agent_id=agent_id,
            call_id=outcome.call_id,
            tool_name=step.name,
            result=outcome.value,
            result_summary=outcome.summary,
            status=outcome.status,
            duration_ms=worked_s * 1000,
            timestamp=now,
            findings=counts,
            effect="unknown" if outcome.effect_unknown else None,
            undo_until=undo_until,
            files=outcome.files or None,
            widget=outcome.widget,
        )
        result = asdict(outcome.recorded(undo_until, self.recorder.speaker.name))
        ended: tuple[Event, ...] = ()
        if outcome.agent_id:  # of the subagent that it asked
            status = RUN_STATUS.get(outcome.status, RunStatus.FAILED)
            ended = (SubagentCompleted(outcome.agent_id, outcome.call_id, status, outcome.usage, now),)
        if outcome.below is not None:
            await outcome.below.complete_begun()
        await self.recorder.record(
            *ended,
            completed,
            *([] if redactions is None else [redactions]),
            steps=(evolve(step, result=result, status=outcome.status.value, ended_at=now),),
        )
        if (spans := self.recorder.spans) is not None:
            self._record_span(spans, outcome, step, label, worked_from, now, result["value"])
        self.begun.pop(outcome.call_id, None)
        self.waits.unfinished.discard(outcome.call_id)
        self.waits.pause_if_all_wait()

    @staticmethod
    def _record_span(
        spans: AgentSpans,
        outcome: ToolOutcome,
        step: StepRecord,
        label: str | None,
        worked_from: float,
        now: float,
        result: Any,
    ) -> None:
        error = "" if outcome.status is ToolStatus.OK else outcome.status.value
        if outcome.below is not None:
            outcome.below.end_agent_span(outcome)
        given = {"arguments": step.arguments, "result": result}
        spans.call_ended(label, outcome.call_id, worked_from, now, error=error, **given)

    def end_spans(self, error: str) -> None:
        """Record the spans of the calls that have not ended."""
        if (spans := self.recorder.spans) is None:
            return
        now = self.services.clock()
        for outcome, step, label, _, began in self.begun.values():
            if outcome.below is not None:
                outcome.below.end_spans(error)
                outcome.below.end_agent_span(outcome, error)
            arguments = step.arguments
            spans.call_ended(label, outcome.call_id, began, now, error=error, arguments=arguments)

    def end_agent_span(self, outcome: ToolOutcome, error: str = "") -> None:
        """Record the span of the subagent that makes these calls, if it is open; the call of `outcome` asks it.

        `error` is by default how the call has ended.
        """
        if (spans := self.recorder.spans) is not None:
            error = error or ("" if outcome.status is ToolStatus.OK else outcome.status.value)
            spans.end(outcome.usage, self.services.clock(), error=error)

    async def complete_begun(self) -> None:
        """Complete the calls that were stopped before they ended.

        The log says which of them have begun, and which have ended: events of theirs may have been on their way.
        """
        if self.begun:
            protocol = await self.recorder.log.read_protocol()
            for outcome, step, label, agent_id, began in list(self.begun.values()):
                if outcome.call_id in protocol.calls:
                    killed = ToolOutcome(outcome.request, outcome.call_id, below=outcome.below)
                    if (asked := protocol.subagents.get(outcome.call_id)) is not None:
                        killed.agent_id, killed.usage = asked.agent_id, outcome.usage
                    await self.complete(killed, step, label, agent_id, began)

    async def _sanitize_request(self, outcome: ToolOutcome, tool: Tool | None) -> dict[str, Any]:
        """Return the model's text for a call as it is shown and stored. If it is blocked, the call fails."""
        call = outcome.request
        words = {} if tool is not None else {"name": call.name[:MAX_NAME]}
        if call.description:
            words["description"] = call.description
        try:
            said: dict[str, Any] = await self.services.content_filter.filter_output(
                {"arguments": dict(call.arguments), **words}
            )
        except Blocked as blocked:
            outcome.fail(ToolStatus.FAILED, "content_blocked", blocked.message)
            said = {"name": "(not shown)", "description": "A blocked call", "arguments": {}}
        if tool is not None:
            return {"description": tool.description, **said, "name": tool.name}
        return {"description": f"Calling {said['name']}", **said}

    async def _sanitize_result(self, outcome: ToolOutcome) -> SanitizedValue:
        """Redact or block the result of a call, before it is stored, published or given to the model.

        The server's own sentences are left alone: a chance finding in them would warn the user of nothing.
        """
        if outcome.own:
            return SanitizedValue(outcome.value)
        content_filter = self.services.content_filter
        clean, summary = await content_filter.filter_result(outcome.value, outcome.summary)
        if outcome.answer or outcome.next_steps:
            said = [outcome.answer, outcome.next_steps]
            shown = await content_filter.filter_value(said, content_filter.tool)
            outcome.answer, outcome.next_steps = shown.value
            clean = clean.including(shown.texts) if shown.texts else clean
        if clean.blocked:
            blocked = content_filter.blocked_error("The tool's result is blocked", clean.texts)
            outcome.fail(ToolStatus.FAILED, "content_blocked", blocked.message)
            return clean
        outcome.value, outcome.summary = clean.value, summary
        if outcome.visualization is not None and not await content_filter.accepts_chart(outcome.visualization):
            outcome.visualization = None
            outcome.summary += " (the chart is left out: the content policy does not allow its text)"
        return clean


_Execute: TypeAlias = Callable[[Callable[[], None]], Awaitable[None]]
"""Executes a call, given what is called when the next one may begin."""


async def _run_all(calls: Sequence[_Execute]) -> None:
    """Run calls beside each other, which begin in order; a single one, which is usual, without a task of its own."""
    if len(calls) == 1:
        await calls[0](lambda: None)
        return
    if calls:
        async with trio.open_nursery() as nursery:
            for call in calls:
                begun = trio.Event()
                nursery.start_soon(call, begun.set)
                await begun.wait()
