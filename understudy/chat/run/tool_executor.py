"""Executes the tool calls of a model's turn concurrently, each in an actor of its own with its pair of events.

1. The crash of a tool is a failed outcome of its call, and never crashes the run.
2. The arguments that a user approves are those that run: if some were redacted, the redacted ones run.
"""

import functools
import itertools
import logging
import math
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import msgspec
import trio
from attrs import asdict, define, evolve, field

from actors import Actor, ActorRef, ChildSpec, Context, Crashed, Exit, Lane, Restart, StopMode
from transport.wire.codes import ERRORS
from transport.wire.events import (
    AnswerOutcome,
    ApprovalDecided,
    ApprovalDecision,
    ApprovalRequired,
    Event,
    QuestionAnswered,
    QuestionAsked,
    RunStatus,
    SubagentCompleted,
    SubagentStarted,
    ToolCompleted,
    ToolExecuting,
    ToolStatus,
    Usage,
)
from understudy.agents.agent import Agent
from understudy.chat.effects import GRACE_S, MAX_ASKED, Attempt
from understudy.chat.messages import Decide, EndTurn, RunRequest
from understudy.chat.run.approval import Approval, check_parameters, copy_arguments, needs_approval
from understudy.chat.run.deadline import PausableDeadline, suspend_deadlines
from understudy.chat.run.meter import Meter
from understudy.chat.run.model_input import ModelInput
from understudy.chat.run.partials import Partials
from understudy.chat.run.questions import MAX_QUESTIONS, Check, LoggedQuestion, Questions, calls_that_ask, question_id
from understudy.chat.run.recorder import Recorder
from understudy.chat.run.replay import PendingCall, RecordedResult, Replay
from understudy.chat.services import Services, tool_context
from understudy.content.filter import Blocked
from understudy.content.summary import build_summary, count_by_kind, is_suspect
from understudy.content.texts import SanitizedValue
from understudy.models.model import ToolRequest
from understudy.observe.logs import new_error_id
from understudy.storage.errors import StorageUnavailable
from understudy.storage.records import StepRecord
from understudy.tools.context import ToolContext
from understudy.tools.effects import Done, NotDone, Reconciled, Unknown
from understudy.tools.errors import QuestionDeclined, QuestionExpired, ToolError
from understudy.tools.form import Question
from understudy.tools.loop import ToolLoop
from understudy.tools.result import ToolResult
from understudy.tools.schema import Misfit
from understudy.tools.tool import Tool

log = logging.getLogger(__name__)

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
SPENT = "The run's budget of tool calls is spent; answer with what you have."
_RUN_STATUS = {
    ToolStatus.OK: RunStatus.SUCCESS,
    ToolStatus.CANCELLED: RunStatus.CANCELLED,
    ToolStatus.KILLED: RunStatus.INTERRUPTED,
}
RECORDED = ("value", "summary", "visualization", "note", "suspect", "kind", "answer", "next_steps")
"""Fields of an outcome that its step keeps under the same names."""
MAX_MADE = 5
"""Times that one call is made or settled: one whose actor is killed each time must not go on for ever."""
EFFECT_UNKNOWN = "Whether it took effect is unknown."
REDIRECTED = "The user has sent a new message instead."
"""The note with which calls are denied that wait when a steer is to enter now."""
AWAITING_APPROVAL = "Waiting for your consent to"
REMEMBERED = "remembered"
"""The door of a decision that the user made before, for every call of the tool in the thread."""
AWAITING_ANSWER = "Waiting for your answer:"


@define(eq=False)
class ToolOutcome:
    """The outcome of a call: created by the run, filled in by the call. Left as created, it means the call was killed.

    `call_id` is the server's own id: the ids that models give need not be unique. `note` is the user's note with the
    approval. `suspect`: the result contains text that looks like instructions, of which the model is warned. `answer`,
    unless empty, is the answer of the run. `limits` are the scopes of the call's time limits, `questions` counts what
    its tool has asked, one question at a time; `waited_s` is how long it waited for the user.
    `crashed`: the tool raised something else than a `ToolError`;
    `own`: the result is the server's own sentence, in which nothing is looked for;
    `effect_unknown`: the call may have taken effect although it did not succeed; `by_user`: its user says that it did;
    `undo_s` is how long it can be undone. `agent_id` is that of the subagent that it asked, if any, `usage` what that
    used of its model, and `below` executes the calls of that.
    """

    request: ToolRequest
    call_id: str
    status: ToolStatus = ToolStatus.KILLED
    value: Any = field(default=None, repr=False)
    summary: str = "Was interrupted before it was finished."
    visualization: dict[str, Any] | None = field(default=None, repr=False)
    kind: str = ""
    answer: str = field(default="", repr=False)
    next_steps: list[dict[str, str]] = field(factory=list, repr=False)
    note: str = field(default="", repr=False)
    suspect: bool = False
    crashed: bool = False
    own: bool = False
    effect_unknown: bool = False
    by_user: bool = False
    undo_s: float | None = None
    ended: trio.Event = field(factory=trio.Event, repr=False)
    limits: list[trio.CancelScope] = field(factory=list, repr=False)
    questions: int = 0
    waited_s: float = 0.0
    asking: trio.Lock = field(factory=trio.Lock, repr=False)
    agent_id: str = ""
    usage: Usage = field(factory=Usage)
    below: "ToolExecutor | None" = field(default=None, repr=False)

    def subagent_events(self, now: float) -> tuple[Event, ...]:
        """Return the end of the subagent that the call asked, if it asked one."""
        if not self.agent_id:
            return ()
        status = _RUN_STATUS.get(self.status, RunStatus.FAILED)
        return (SubagentCompleted(self.agent_id, self.call_id, status, self.usage, now),)

    def fail(self, status: ToolStatus, code: str, sentence: str, *, own: bool = False) -> None:
        """Set the failure, as a result that clients and models can read."""
        self.own = own
        self.status, self.summary, self.visualization, self.kind, self.answer = status, sentence, None, "", ""
        self.next_steps = []
        self.value = {"error": {"code": code, "message": sentence}}

    def succeed(self, result: ToolResult) -> None:
        """Set the result of the tool."""
        self.own = self.by_user
        self.status, self.value, self.summary = ToolStatus.OK, result.value, result.summary
        self.visualization, self.kind, self.answer = result.visualization, result.kind, result.answer
        self.next_steps = [asdict(each) for each in result.next_steps]

    def recorded(self, undo_until: float | None = None, agent: str = "") -> RecordedResult:
        """Return the outcome as the call's step keeps it; see `RecordedResult` for the arguments."""
        return RecordedResult(**{name: getattr(self, name) for name in RECORDED}, undo_until=undo_until, agent=agent)

    def restore(self, status: ToolStatus, past: RecordedResult) -> None:
        """Set the outcome of a call that finished before, from its step."""
        self.status = status
        for name in RECORDED:
            setattr(self, name, getattr(past, name))


class ToolCall(Actor):
    """Calls a tool within its time limit, fills in the outcome, and stops."""

    def __init__(
        self,
        tool: Tool,
        arguments: dict[str, Any],
        context: ToolContext,
        outcome: ToolOutcome,
        loop: ToolLoop | None = None,
        partials: Partials | None = None,
    ) -> None:
        self.tool = tool
        self.partials = partials
        self.loop = loop
        self.arguments = arguments
        self.tool_context = context
        self.outcome = outcome

    async def on_start(self, context: Context) -> None:
        """Start the call in a task of its own; the run does not wait for it."""
        context.start_soon(functools.partial(self._call, context))
        if self.partials is not None:
            context.start_soon(self.partials.publish_forever)

    async def receive(self, message: object, context: Context) -> None:
        """Ignore messages: a tool call is only stopped or killed."""

    async def _call(self, context: Context) -> None:
        outcome = self.outcome
        trio.lowlevel.current_task().name = f"tool {self.tool.name}"  # in the watchdog's record of a hold
        with trio.move_on_after(self.tool.timeout_s) as limit:
            outcome.limits.append(limit)
            try:
                result = await self.tool.call(self.arguments, self.tool_context, self.loop)
            except ToolError as error:
                outcome.fail(ToolStatus.FAILED, error.code, error.message)
            else:
                outcome.succeed(result)
        if limit.cancelled_caught:
            sentence = f"{self.tool.name} was stopped after {self.tool.timeout_s:g} s without a result."
            outcome.fail(ToolStatus.TIMED_OUT, "tool_timeout", sentence)
        context.stop()


@define
class ToolExecutor:
    """Executes the calls of a run. `running` maps the actors of calls to the outcomes they fill in.

    `unfinished` are the calls of the turn that have not finished. `awaiting_approval` maps those of them that wait for
    approval, or for a permit after it, to the names of their tools: if it holds all, the run is paused. `approvals`
    maps call ids to approvals; after a restart a decision may arrive before its call is resumed.

    `ask_agent` makes the actor of a call that asks a subagent, which may be given the `conversation`; `replays` is the
    recorded progress of subagents by call id, and `used` what they used of models. `begun` are the calls in the log
    that have not ended there.
    """

    job: RunRequest
    services: Services
    recorder: Recorder
    deadline: PausableDeadline
    meter: Meter
    questions: Questions = field(factory=Questions)
    replays: Mapping[str, Replay] = field(factory=dict, repr=False)
    ask_agent: "Callable[[ToolExecutor, Tool, str, ToolOutcome], Actor] | None" = None
    conversation: ModelInput = field(factory=ModelInput, init=False, repr=False)
    used: Usage = field(factory=Usage, init=False)
    begun: dict[str, tuple[ToolOutcome, StepRecord, str | None, str, float]] = field(factory=dict, init=False)
    slots: trio.Semaphore = field(factory=lambda: trio.Semaphore(CONCURRENT_CALLS), init=False)
    running: dict[ActorRef, ToolOutcome | Attempt] = field(factory=dict, init=False)
    unfinished: set[str] = field(factory=set, init=False)
    awaiting_approval: dict[str, str] = field(factory=dict, init=False)
    awaiting_answer: dict[str, str] = field(factory=dict, init=False)
    approvals: dict[str, Approval] = field(factory=dict, init=False)
    redirected: bool = field(default=False, init=False)

    async def execute(
        self, calls: Sequence[PendingCall], agent: Agent, agent_id: str, context: Context
    ) -> list[ToolOutcome]:
        """Execute all calls that have not finished. Return the outcomes of all calls in order of the requests.

        A call that started before a restart is executed again; calls that must not be are excluded by
        `Replay.calls_in_doubt` before.

        Raises:
            StorageUnavailable: A call could not be recorded. The other calls were stopped.
        """
        names = [each.request.name for each in calls]
        self.recorder.activity = f"running {', '.join(names[:CONCURRENT_CALLS])}"
        allowed = self.meter.allowed_calls(MAX_CALLS)
        self.meter.add_calls(min(allowed, len(calls)))
        own = {each.call_id for each in calls if each.result is None}
        self.unfinished |= own
        outcomes: list[ToolOutcome] = []
        unavailable: StorageUnavailable | None = None
        try:
            async with trio.open_nursery() as nursery:
                for number, call in enumerate(calls):
                    outcomes.append(outcome := ToolOutcome(call.request, call.call_id))
                    if (past := call.result) is None:
                        refused = "" if number < allowed else TOO_MANY if number >= MAX_CALLS else SPENT
                        nursery.start_soon(self._execute_one, call, outcome, refused, agent, agent_id, context)
                        continue
                    assert call.step is not None  # noqa: S101 - for the type checker: a result is that of a step
                    outcome.restore(ToolStatus(call.step.status), past)
                    self._count_past(call.call_id)
        except* StorageUnavailable as group:
            unavailable = StorageUnavailable(str(group.exceptions[0]))
        finally:
            self.unfinished -= own
        if unavailable is not None:
            raise unavailable
        return outcomes

    def _count_past(self, call_id: str) -> None:
        """Count what the subagent of a finished call spent, and those below it."""
        past = self.replays.get(call_id)
        if past is None:
            return
        for usage in past.used:
            self.meter.add_turn(usage)
            self.used = self.used + usage
        for call in (each for turn in past.turns for each in turn.calls):
            self.meter.add_calls(1)
            self._count_past(call.call_id)

    def call_exited(self, ref: ActorRef, reason: Exit) -> None:
        """Complete the outcome of a call whose actor has stopped; `reason` says whether the tool crashed."""
        outcome = self.running.pop(ref, None)
        if outcome is None:
            return
        if isinstance(outcome, Attempt):
            outcome.exited(reason)
            return
        if isinstance(reason, Crashed):
            self._record_crash(outcome, reason.error)
            outcome.crashed = True
        outcome.ended.set()

    def decide(self, ask: Decide) -> None:
        """Accept the user's decision about a call that waits according to the log."""
        self._approval(ask.call_id).accept_decision(ask)

    def set_redirected(self, redirected: bool) -> None:
        """Deny the calls that wait for approval from now on, as a steer that is to enter now waits; or end that.

        Subagents end their turn, and answer with what they have, so that the steer enters soon.
        """
        self.redirected = redirected
        for call_id in list(self.awaiting_approval) if redirected else ():
            self._deny_redirected(call_id)
        for ref in self.running if redirected else ():
            self._end_subagent_turn(ref)

    def _end_subagent_turn(self, ref: ActorRef) -> None:
        """End the turn of a subagent; other calls go on."""
        outcome = self.running[ref]
        if isinstance(outcome, ToolOutcome) and outcome.below is not None:
            ref.try_tell(EndTurn(""), lane=Lane.HIGH)

    def _deny_redirected(self, call_id: str) -> None:
        self.decide(Decide(call_id, ApprovalDecision.DENY, REDIRECTED))

    def waiting_note(self) -> str:
        """Return a line about the permit or approval that the run waits for; empty if it does not wait."""
        if note := self.deadline.waiting_note:
            return note
        asked = [name for call_id, name in self.awaiting_approval.items() if self._approval(call_id).decision is None]
        return f"{AWAITING_APPROVAL} {', '.join(asked)}" if asked else next(iter(self.awaiting_answer.values()), "")

    def _approval(self, call_id: str) -> Approval:
        return self.approvals.setdefault(call_id, Approval())

    async def stop(self) -> None:
        """Stop the calls that are running; return when all have stopped."""
        for ref in list(self.running):
            await ref.stop(StopMode.NOW)

    async def _execute_one(
        self, call: PendingCall, outcome: ToolOutcome, refused: str, agent: Agent, agent_id: str, context: Context
    ) -> None:
        """Execute a call as soon as there is a slot for it; `refused` is the sentence why it is not executed.

        A call that may ask its user starts at once, and takes its slot when it is allowed.
        """
        tool = agent.tool(call.request.name)
        if refused or tool is None or tool.approval is not False:
            await self._execute_now(call, outcome, refused, agent, agent_id, context)
        else:
            async with self.slots:
                await self._execute_now(call, outcome, refused, agent, agent_id, context)

    async def _execute_now(
        self, call: PendingCall, outcome: ToolOutcome, refused: str, agent: Agent, agent_id: str, context: Context
    ) -> None:
        """Execute a call, unless it is refused or its approval denied, and record its outcome.

        The step and the events that a restarted run finds recorded are not recorded again.
        """
        began, name, arguments = self.services.clock(), call.request.name, dict(call.request.arguments)
        tool, step, required = agent.tool(name), call.step, call.approval_event
        events: tuple[Event, ...] = ()
        if step is None:
            said = await self._sanitize_request(outcome, tool)
            name, sanitized = said["name"], said["arguments"]
            step = self.recorder.next_step("tool", name, outcome.call_id, sanitized, began)
            shown = dict(sanitized)
            for key, value in sanitized.items():
                if isinstance(value, str) and len(value) > MAX_SHOWN:
                    shown[key] = f"{value[:MAX_SHOWN]}… ({len(value) - MAX_SHOWN:,} more characters)"
            events = (ToolExecuting(agent_id, outcome.call_id, name, shown, said["description"][:MAX_SHOWN], began),)
        if outcome.status is ToolStatus.KILLED:  # else its text is blocked
            if refused:
                outcome.fail(ToolStatus.FAILED, "invalid_arguments", refused)
            elif tool is None:
                known = ", ".join(each.name for each in agent.tools[:MAX_LISTED]) or "none"
                sentence = f"This agent has no tool called {name}. Its tools: {known}."
                outcome.fail(ToolStatus.FAILED, "invalid_arguments", sentence)
            elif tool.agent is not None and not self._may_ask(tool.agent, outcome):
                sentence = f"Your user may not use {tool.agent.display_title}, which {name} asks."
                outcome.fail(ToolStatus.FAILED, "forbidden", sentence)
            elif call.request.problem:
                outcome.fail(ToolStatus.FAILED, "invalid_arguments", call.request.problem)
            elif events and tool.approval is not False:
                required = await self._approval_request(tool, outcome, sanitized, agent_id)
        runs = outcome.status is ToolStatus.KILLED
        label = None if tool is None else tool.name
        self.begun[outcome.call_id] = ToolOutcome(call.request, outcome.call_id), step, label, agent_id, began
        if runs and required is not None and tool is not None:
            if (decided := call.decision_event) is None:
                decided = await self._ask_user(tool, required, outcome, context, *events, step=step)
            runs = self._apply_decision(decided, outcome)
            outcome.waited_s = self.services.clock() - began
            arguments = dict(required.parameters if decided.parameters is None else decided.parameters)
        elif events:
            await self.recorder.record(*events, steps=(step,))
        if runs and tool is not None:
            whole = call.whole or call.approval_event is not None
            in_doubt = call.in_doubt or (call.asking and tool.reconcile is not None)
            async with nullcontext() if tool.approval is False else self.slots:
                await self._run_to_outcome(tool, arguments, outcome, agent_id, context, in_doubt=in_doubt, whole=whole)
        # An unknown name is the model's text: it must not become a label.
        await self.complete(outcome, step, None if tool is None else tool.name, agent_id, began + outcome.waited_s)

    def _may_ask(self, agent: Agent, outcome: ToolOutcome) -> bool:
        """Return whether the user may use a subagent. One that the log has at work was allowed when it began."""
        job = self.job
        return outcome.call_id in self.replays or bool(agent.allows(job.owner, job.roles, job.groups))

    async def _approval_request(
        self, tool: Tool, outcome: ToolOutcome, arguments: dict[str, Any], agent_id: str
    ) -> ApprovalRequired | None:
        """Return the request for the user's approval; None if the call needs none, or fails because that is unknown."""
        try:
            if not await needs_approval(tool, dict(outcome.request.arguments), self.job.owner):
                return None
            expires_at, asked = self.services.clock() + self.services.limits.approval_s, copy_arguments(arguments)
            return ApprovalRequired(agent_id, outcome.call_id, tool.name, asked, expires_at, tool.parameters)
        except ToolError as error:
            outcome.fail(ToolStatus.FAILED, error.code, error.message)
        except Exception as error:  # of the tool's own `approval`
            self._record_crash(outcome, error)
        return None

    async def complete(
        self, outcome: ToolOutcome, step: StepRecord, label: str | None, agent_id: str, worked_from: float
    ) -> None:
        """Record the outcome of a call, which worked since `worked_from` (Unix seconds)."""
        now = self.services.clock()
        worked_s = max(0.0, now - worked_from)
        self.services.metrics.tool_ended(label, outcome.status.value, worked_s)
        clean = await self._sanitize_result(outcome)
        findings, omitted = clean.findings, clean.omitted
        outcome.suspect = is_suspect(findings)
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
            findings=count_by_kind(findings) or None,
            effect="unknown" if outcome.effect_unknown else None,
            undo_until=undo_until,
        )
        redactions = build_summary(
            "tool", findings, self.services.summary_from, omitted=omitted, call_id=outcome.call_id
        )
        result = asdict(outcome.recorded(undo_until, self.recorder.speaker.name))
        if (below := outcome.below) is not None:
            for each in list(below.begun.values()):  # its actor was stopped before they ended
                await below.complete(*each)
        await self.recorder.record(
            *outcome.subagent_events(now),
            completed,
            *([] if redactions is None else [redactions]),
            steps=(
                evolve(
                    step,
                    result=result,
                    status=outcome.status.value,
                    ended_at=now,
                ),
            ),
        )
        self.begun.pop(outcome.call_id, None)
        self.unfinished.discard(outcome.call_id)
        self._pause_if_all_wait()

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

    async def _ask_user(
        self,
        tool: Tool,
        required: ApprovalRequired,
        outcome: ToolOutcome,
        context: Context,
        *events: Event,
        step: StepRecord,
    ) -> ApprovalDecided:
        """Wait for the user's decision about a call, and return it.

        `events`, the request and `step` are recorded first, unless there are no `events`: then the log has them. A tool
        that the user has allowed always in this thread is allowed at once, unless its arguments were redacted.
        """
        call_id, left_s = outcome.call_id, required.expires_at - self.services.clock()
        deadline = trio.current_time() + min(max(0.0, left_s), self.services.limits.approval_s)
        approval = self._approval(call_id)
        self.awaiting_approval[call_id] = required.tool_name
        try:
            if events and required.parameters == outcome.request.arguments and await self._is_allowed_always(required):
                decided = ApprovalDecided(call_id, ApprovalDecision.ALLOW, by=self.job.owner, door=REMEMBERED)
                await self.recorder.record(*events, required, decided, steps=(step,))
                return decided
            if events:
                await self.recorder.record(*events, required, steps=(step,))
            if self.redirected:
                self._deny_redirected(call_id)
            self._pause_if_all_wait()
            check = functools.partial(check_parameters, tool, self.job.owner)
            decided = await approval.wait_for_decision(call_id, deadline, check)
            try:
                if decided.remember:  # before the decision: an acknowledged one is remembered
                    now = self.services.clock()
                    await self.services.store.allow_tool(self.job.owner, self.job.thread_id, required.tool_name, now)
                await self.recorder.record(decided)
            except StorageUnavailable as error:
                approval.fail_stored(error)
                raise
            approval.confirm_stored()
            await self.deadline.resume(context.ref)
        finally:
            del self.awaiting_approval[call_id]
        return decided

    async def _is_allowed_always(self, required: ApprovalRequired) -> bool:
        """Return whether the user has allowed the tool always in this thread; False if that cannot be read now."""
        try:
            consents = await self.services.store.consents(self.job.owner, self.job.thread_id)
        except StorageUnavailable:
            return False
        return any(each.tool_name == required.tool_name for each in consents)

    def _apply_decision(self, decided: ApprovalDecided, outcome: ToolOutcome) -> bool:
        """Return whether a decided call may run; if not, set the outcome."""
        decision, note = decided.decision, decided.note or ""
        if decision is ApprovalDecision.ALLOW:
            outcome.note = note
            if decided.parameters is not None:
                changed = f"I changed the arguments to {msgspec.json.encode(decided.parameters).decode()}."
                outcome.note = f"{changed} {note}".rstrip()
            return True
        sentence = f"Not allowed: {note}" if note else "Not allowed."
        if decision is ApprovalDecision.EXPIRED:
            sentence = f"It was not allowed within {self.services.limits.approval_s:g} s."
        outcome.fail(ToolStatus.DENIED, "forbidden", sentence)
        return False

    async def ask(
        self, name: str, question: Question, check: Check, asked_by: str, call_id: str, agent_id: str, context: Context
    ) -> QuestionAnswered:
        """Ask the user a question of a call, under the id `name`. Return the answer, which the log may have already.

        `check` raises `Misfit` for an answer that does not fit. `asked_by` is `tool` or `server`. The run's deadline is
        suspended as for an approval.

        A hand-written agent asks under its own id, `agent_id`, instead of a call's.

        Raises:
            StorageUnavailable: The question or its answer could not be recorded.
            ToolError: `tool_failed`: the log has another question under that id.
        """
        now, limit_s = self.services.clock(), self.services.limits.approval_s
        logged = self.questions.logged.get(name)
        if logged is not None and logged.asked.schema != question.schema:
            raise ToolError("tool_failed", "The tool asks something else than before the server restarted.")
        if logged is not None and logged.answered is not None:
            return logged.answered
        if logged is None:
            event = QuestionAsked(
                question_id=name,
                agent_id=agent_id,
                title=question.title,
                schema=question.schema,
                expires_at=now + limit_s,
                asked_by=asked_by,
                call_id=None if call_id == agent_id else call_id,
                text=question.text or None,
                choices=question.choices or None,
            )
        else:
            event = logged.asked
        deadline = trio.current_time() + min(max(0.0, event.expires_at - now), limit_s)
        waiting = self.questions.ask(name, check)
        self.questions.logged[name] = LoggedQuestion(event)  # a call that is made again asks under the same id
        self.awaiting_answer[call_id] = f"{AWAITING_ANSWER} {event.title}"
        self.slots.release()  # other calls run while this one waits for its user
        try:
            if logged is None:
                await self.recorder.record(event)
            self._pause_if_all_wait()
            reply = await waiting.wait(deadline)
            try:
                await self.recorder.record(reply)
            except StorageUnavailable as error:
                waiting.fail_stored(error)
                raise
            waiting.confirm_stored()
            self.questions.logged[name] = LoggedQuestion(event, reply)
            await self.deadline.resume(context.ref)
        finally:
            self.questions.abandon(waiting)
            del self.awaiting_answer[call_id]
            with trio.CancelScope(shield=True):  # the slot of this call, which its caller releases
                await self.slots.acquire()
        return reply

    async def ask_for_tool(
        self, outcome: ToolOutcome, agent_id: str, context: Context, question: Question, check: Check
    ) -> Mapping[str, Any]:
        """Ask a question of a running tool, whose time limits are suspended meanwhile. Return the answer."""
        async with outcome.asking:
            outcome.questions += 1
            if outcome.questions > MAX_QUESTIONS:
                raise ToolError("tool_failed", f"A tool may ask {MAX_QUESTIONS} questions in one call.")
            content_filter = self.services.content_filter
            shown = await content_filter.filter_value([question.title, question.text], content_filter.tool)
            if shown.blocked:
                raise ToolError("content_blocked", content_filter.blocked_error("Not asked", shown.texts).message)
            question = evolve(question, title=shown.value[0], text=shown.value[1])
            name = question_id(self.job.run_id, outcome.call_id, outcome.questions)
            began = self.services.clock()
            with suspend_deadlines(outcome.limits):
                try:
                    reply = await self.ask(name, question, check, "tool", outcome.call_id, agent_id, context)
                except StorageUnavailable:
                    raise ToolError("storage_unavailable", ERRORS["storage_unavailable"].text) from None
                finally:
                    outcome.waited_s += max(0.0, self.services.clock() - began)
        if reply.answer is not None:
            return reply.answer
        if reply.outcome is AnswerOutcome.DECLINED:
            raise QuestionDeclined("forbidden", f"The user declined to answer: {question.title}")
        raise QuestionExpired("forbidden", f"The user did not answer in time: {question.title}")

    def _pause_if_all_wait(self) -> None:
        """Suspend the run's deadline if calls wait for the user, and no other call is running."""
        waiting = self.awaiting_approval.keys() | self.awaiting_answer.keys()
        if waiting and self.unfinished <= waiting:
            self.deadline.pause()

    def _record_crash(self, outcome: ToolOutcome, error: BaseException) -> None:
        error_id = new_error_id()
        extra = {"tool": outcome.request.name, "error_id": error_id, "run_id": self.job.run_id}
        log.error("tool.crashed", extra=extra, exc_info=error)
        outcome.fail(ToolStatus.FAILED, "tool_failed", f"{ERRORS['tool_failed'].text} (error {error_id})", own=True)

    async def _run_to_outcome(
        self,
        tool: Tool,
        arguments: dict[str, Any],
        outcome: ToolOutcome,
        agent_id: str,
        context: Context,
        *,
        in_doubt: bool,
        whole: bool,
    ) -> None:
        """Run the tool until the outcome of the call is known, or cannot be.

        A call that may have taken effect, because its server, its actor or its time ended, is settled by the tool's
        `reconcile`, or else by the user, and made again only if it took none. `whole`: its arguments are not redacted.
        """
        for _ in range(MAX_MADE):
            killed = in_doubt
            if not in_doubt:
                await self._run(tool, arguments, outcome, agent_id, context)
                killed = outcome.status is ToolStatus.KILLED
                if not (killed or outcome.crashed or outcome.status is ToolStatus.TIMED_OUT):
                    break
                outcome.effect_unknown = not outcome.crashed and not tool.retry_safe
                if killed and tool.reconcile is None and outcome.call_id in calls_that_ask(self.questions.logged):
                    outcome.ended, outcome.effect_unknown = trio.Event(), False
                    continue
                if tool.reconcile is None:
                    break
            again = await self._settle(tool, arguments, outcome, agent_id, context, killed=killed, whole=whole)
            if not again:
                break
            in_doubt, outcome.crashed, outcome.effect_unknown = False, False, False
            outcome.ended = trio.Event()
        self.questions.forget(outcome.call_id)
        if outcome.status is ToolStatus.OK and tool.undo is not None and not outcome.by_user:
            outcome.undo_s = tool.undo_s
        elif outcome.effect_unknown:
            outcome.summary = f"{outcome.summary} {EFFECT_UNKNOWN}"

    async def _settle(
        self,
        tool: Tool,
        arguments: dict[str, Any],
        outcome: ToolOutcome,
        agent_id: str,
        context: Context,
        *,
        killed: bool,
        whole: bool,
    ) -> bool:
        """Find out whether a call took effect, and set its outcome. Return whether it is to be made again."""
        outcome.effect_unknown = True
        answer = await self._reconcile(tool, arguments, outcome, context)
        if isinstance(answer, Unknown) and killed and not (tool.retry_safe and whole):
            answer = await self._ask_about_effect(tool, outcome, agent_id, context, whole=whole)
        match answer:
            case Done(result):
                outcome.succeed(result)
                outcome.effect_unknown = False
                return False
            case NotDone():
                outcome.effect_unknown = False
                if not whole:
                    sentence = "It was interrupted and took no effect; what it was called with is redacted."
                    outcome.fail(ToolStatus.KILLED, "run_interrupted", sentence)
                return killed and whole
        return killed and whole and tool.retry_safe

    async def _ask_about_effect(
        self, tool: Tool, outcome: ToolOutcome, agent_id: str, context: Context, *, whole: bool
    ) -> Reconciled:
        """Ask the user what became of a call. Without an answer in time it is unknown."""
        titles = {"happened": "It happened"} | ({"again": "Try again"} if whole else {}) | {"skip": "Skip it"}
        question = Question(
            f"Did {tool.name} take effect?",
            {
                "type": "object",
                "properties": {"choice": {"enum": [*titles], "title": "What became of it"}},
                "required": ["choice"],
                "additionalProperties": False,
            },
            f"The call was interrupted, and it is unknown whether it took effect. {tool.description}",
            tuple({"value": value, "title": title} for value, title in titles.items()),
        )

        def check(answer: Mapping[str, Any]) -> None:
            if answer.keys() != {"choice"} or answer["choice"] not in titles:
                raise Misfit("choice", f"it is one of {', '.join(titles)}")

        # A call that was made again at the user's wish, and interrupted again, is a new question.
        for number in itertools.count(1):
            name = question_id(self.job.run_id, outcome.call_id, f"effect{number}")
            logged = self.questions.logged.get(name)
            if logged is None or logged.answered is None or logged.answered.answer != {"choice": "again"}:
                break
        began = self.services.clock()
        reply = await self.ask(name, question, check, "server", outcome.call_id, agent_id, context)
        outcome.waited_s += max(0.0, self.services.clock() - began)
        match (reply.answer or {}).get("choice"):
            case "happened":
                outcome.by_user = True
                return Done(ToolResult({"confirmed_by_user": True, "result": None}, "The user says that it happened."))
            case "again":
                return NotDone()
        return Unknown()

    async def _reconcile(
        self, tool: Tool, arguments: dict[str, Any], outcome: ToolOutcome, context: Context
    ) -> Reconciled:
        """Ask the tool, in an actor of its own, whether a call took effect. An error or a timeout counts as unknown.

        An actor that is killed says nothing about the call: the tool is asked again.
        """
        for _ in range(MAX_ASKED if tool.reconcile is not None else 0):
            ask = functools.partial(
                tool.settle, outcome.call_id, arguments, self.tool_context(outcome.call_id), self.services.tool_loop
            )
            attempt = Attempt("reconcile", tool.name, self.job.run_id, outcome.call_id, tool.timeout_s, ask)
            ref = await attempt.start(context)
            self.running[ref] = attempt
            with trio.move_on_after(tool.timeout_s + GRACE_S) as limit:
                await attempt.ended.wait()
            if limit.cancelled_caught:
                self.running.pop(ref, None)
                ref.kill()
                attempt.expire()
            if not attempt.killed:
                answer = attempt.answer
                return answer if isinstance(answer, Done | NotDone) else Unknown()
        return Unknown()

    def tool_context(self, call_id: str, **means: Any) -> ToolContext:
        """Return the context of a call; `means` are further fields, such as the `asker` by which it asks its user."""
        job, speaker = self.job, self.recorder.speaker
        names = (job.owner, job.thread_id, job.run_id, call_id)
        given = tool_context(self.services, *names, agent=speaker.name, notebook=speaker.notebook, roles=job.roles)
        found, references = job.findings_summary, job.references
        return evolve(given, references=references, progress=self._progress, found=found, **means)

    async def _run(
        self, tool: Tool, arguments: dict[str, Any], outcome: ToolOutcome, agent_id: str, context: Context
    ) -> None:
        """Run the tool in an actor of its own; the outcome is set afterwards, even if the actor crashes or hangs."""
        outcome.limits, outcome.questions = [], 0
        asker = functools.partial(self.ask_for_tool, outcome, agent_id, context)
        partials = Partials(functools.partial(self._publish_partial, outcome.call_id))
        given = self.tool_context(
            outcome.call_id,
            asker=asker,
            show_partial=partials.add,
            while_queued=functools.partial(self._while_queued, tool.name, outcome),
        )
        call: Callable[[], Actor] = functools.partial(
            ToolCall, tool, arguments, given, outcome, self.services.tool_loop, partials
        )
        if tool.agent is not None and self.ask_agent is not None:
            try:
                request = tool.check(arguments)["request"]
            except ToolError as error:
                outcome.fail(ToolStatus.FAILED, error.code, error.message)
                return
            await self._start_subagent(tool.agent, outcome)
            call = functools.partial(self.ask_agent, self, tool, request, outcome)
        spec = ChildSpec(outcome.call_id, call, restart=Restart.TEMPORARY, shutdown_s=GRACE_S)
        ref = await context.spawn(spec)
        self.running[ref] = outcome
        context.watch(ref)
        if self.redirected:  # since the subagent began
            self._end_subagent_turn(ref)
        tool_s, run_s = tool.timeout_s + GRACE_S, self.meter.left_s(self.deadline.worked_s)
        if tool.agent is not None:
            run_s = math.inf  # the subagent closes by itself
        with trio.move_on_after(min(tool_s, run_s)) as limit:
            outcome.limits.append(limit)
            await outcome.ended.wait()
        if limit.cancelled_caught:
            self.running.pop(ref, None)
            ref.kill()
            why = "did not stop when its time was up."
            if run_s < tool_s:
                why = "was stopped: the run's budget of time is spent."
            outcome.fail(ToolStatus.TIMED_OUT, "tool_timeout", f"{tool.name} {why}")
        if outcome.questions:
            await self.deadline.resume(context.ref)  # still paused if the tool gave up its question itself

    @contextmanager
    def _while_queued(self, name: str, outcome: ToolOutcome) -> Generator[None]:
        """Tell the user that a call waits for a worker thread; its time limits are suspended meanwhile."""
        self._progress(0.0, None, f"{name} is waiting for a free place")
        with suspend_deadlines(outcome.limits):
            yield

    async def _start_subagent(self, agent: Agent, outcome: ToolOutcome) -> None:
        """Record that a call asks a subagent, unless the log has it."""
        if (past := self.replays.get(outcome.call_id)) is not None:
            outcome.agent_id = past.agents[0][0]
        elif not outcome.agent_id:
            outcome.agent_id = f"{agent.name}-{uuid.uuid4().hex[:8]}"
            saying, now = f"{agent.display_title} is on it", self.services.clock()
            await self.recorder.record(SubagentStarted(outcome.agent_id, outcome.call_id, agent.name, saying, now))

    async def _publish_partial(self, call_id: str, offset: int, items: list[Any]) -> None:
        """Filter what a call has yielded as its result will be, and publish it; drop it if it is blocked."""
        content_filter = self.services.content_filter
        clean = await content_filter.filter_value(items, content_filter.tool)
        if not clean.blocked:
            await self.recorder.send_partial(call_id, offset, clean.value)

    def _progress(self, done: float, total: float | None, note: str) -> None:
        self.recorder.send_progress(done, total, self.services.content_filter.filter_progress(str(note)))
