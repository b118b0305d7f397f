"""Executes the tool calls of a model's turn concurrently, each in an actor of its own with its pair of events."""

import logging
from collections.abc import Sequence
from typing import Any

import trio
from attrs import define, evolve, field

from actors import ActorRef, ChildSpec, Context, Crashed, Exit, Restart, StopMode
from transport.wire.codes import ERRORS
from transport.wire.events import (
    ApprovalDecided,
    ApprovalDecision,
    ApprovalRequired,
    Event,
    ToolCompleted,
    ToolExecuting,
    ToolStatus,
)
from understudy.agents.agent import Agent
from understudy.chat.messages import Decide, RunRequest
from understudy.chat.run.approval import Approval, approval_arguments, copy_arguments
from understudy.chat.run.deadline import PausableDeadline
from understudy.chat.run.recorder import Recorder
from understudy.chat.run.replay import PendingCall
from understudy.chat.run.tool_call import ToolCall, ToolOutcome
from understudy.chat.services import Services
from understudy.content.filter import Blocked
from understudy.content.summary import build_summary, count_by_kind
from understudy.observe.logs import new_error_id
from understudy.storage.errors import StorageUnavailable
from understudy.storage.rows import StepRecord
from understudy.tools.errors import ToolError
from understudy.tools.memory import Notebook
from understudy.tools.tool import Tool, ToolContext

log = logging.getLogger(__name__)

MAX_CALLS = 8
"""Tool calls of one turn that are executed; further ones fail, so that a model cannot flood the server."""
GRACE_S = 2.0
"""Seconds beyond a tool's own limit, after which its actor is killed and the run goes on without a result."""
MAX_SHOWN = 2000
"""Characters of a parameter in an event; the rest is cut off there. The step has it whole."""
MAX_NAME = 64
"""Characters of the name of an unknown tool; names of tools have no more."""
AWAITING_APPROVAL = "Waiting for your consent to"


@define
class ToolExecutor:
    """Executes the calls of a run. `running` maps the actors of calls to the outcomes they fill in.

    `unfinished` are the calls of the turn that have not finished. `awaiting_approval` maps those of them that wait for
    approval, or for a permit after it, to the names of their tools: if it holds all, the run is paused. `approvals`
    maps call ids to approvals; after a restart a decision may arrive before its call is resumed.
    """

    job: RunRequest
    services: Services
    recorder: Recorder
    deadline: PausableDeadline
    running: dict[ActorRef, ToolOutcome] = field(factory=dict, init=False)
    unfinished: set[str] = field(factory=set, init=False)
    awaiting_approval: dict[str, str] = field(factory=dict, init=False)
    approvals: dict[str, Approval] = field(factory=dict, init=False)

    async def execute(
        self, calls: Sequence[PendingCall], agent: Agent, agent_id: str, context: Context
    ) -> list[ToolOutcome]:
        """Execute all calls that have not finished. Return the outcomes of all calls in order of the requests.

        A call that started before a restart is executed again; calls that must not be are excluded by
        `Replay.calls_in_doubt` before.

        Raises:
            StorageUnavailable: A call could not be recorded. The other calls were stopped.
        """
        self.recorder.activity = "running " + ", ".join(each.request.name for each in calls[:MAX_CALLS])
        outcomes = [ToolOutcome.from_step(each) for each in calls]
        self.unfinished = {each.call_id for each in calls if not each.done}
        unavailable: StorageUnavailable | None = None
        try:
            async with trio.open_nursery() as nursery:
                for number, (wanted, outcome) in enumerate(zip(calls, outcomes, strict=True)):
                    if not wanted.done:
                        nursery.start_soon(
                            self._execute_one, wanted, outcome, number >= MAX_CALLS, agent, agent_id, context
                        )
        except* StorageUnavailable as group:
            unavailable = StorageUnavailable(str(group.exceptions[0]))
        if unavailable is not None:
            raise unavailable
        return outcomes

    def call_exited(self, ref: ActorRef, reason: Exit) -> None:
        """Complete the outcome of a call whose actor has stopped; `reason` says whether the tool crashed."""
        outcome = self.running.pop(ref, None)
        if outcome is None:
            return
        if isinstance(reason, Crashed):
            self._record_crash(outcome, reason.error)
        outcome.ended.set()

    def decide(self, ask: Decide) -> None:
        """Accept the user's decision about a call that waits according to the log."""
        self._approval(ask.call_id).accept_decision(ask)

    def waiting_note(self) -> str:
        """Return a line about the permit or approval that the run waits for; empty if it does not wait."""
        if note := self.deadline.waiting_note:
            return note
        asked = [name for call_id, name in self.awaiting_approval.items() if self._approval(call_id).decision is None]
        return f"{AWAITING_APPROVAL} {', '.join(asked)}" if asked else ""

    def _approval(self, call_id: str) -> Approval:
        return self.approvals.setdefault(call_id, Approval())

    async def stop(self) -> None:
        """Stop the calls that are running; return when all have stopped."""
        for ref in list(self.running):
            await ref.stop(StopMode.NOW)

    async def _execute_one(
        self, wanted: PendingCall, outcome: ToolOutcome, refused: bool, agent: Agent, agent_id: str, context: Context
    ) -> None:
        began = self.services.clock()
        if wanted.step is None:
            step, waited_s = await self._start(outcome, refused, agent, agent_id, context)
        else:
            step, waited_s = wanted.step, await self._resume(wanted, outcome, refused, agent, context)
        await self._complete(outcome, step, agent, agent_id, began + waited_s)

    async def _start(
        self, outcome: ToolOutcome, refused: bool, agent: Agent, agent_id: str, context: Context
    ) -> tuple[StepRecord, float]:
        """Execute a new call unless it is refused. Return its step and the seconds it waited for approval."""
        call, began = outcome.request, self.services.clock()
        tool = agent.tool(call.name)
        said = await self._sanitize_request(outcome, tool)
        name, arguments = said["name"], dict(call.arguments)
        shown = {key: _shown(value) for key, value in said["arguments"].items()}
        step = self.recorder.next_step("tool", name, outcome.call_id, said["arguments"], began)
        executing = ToolExecuting(agent_id, outcome.call_id, name, shown, said["description"][:MAX_SHOWN], began)
        asked = None
        if outcome.status is not ToolStatus.KILLED:  # it was blocked
            tool = None
        elif (tool := self._check_limits(tool, outcome, refused, name)) is not None:
            try:
                # The arguments that are shown are those that run: if some were redacted, the redacted ones run.
                asked = None if approval_arguments(tool, arguments) is None else copy_arguments(said["arguments"])
            except ToolError as error:
                outcome.fail(ToolStatus.FAILED, error.code, error.message)
                tool = None
            except Exception as error:  # of the tool's own `approval`: whether the call may run is unknown
                self._record_crash(outcome, error)
                tool = None
        if tool is None or asked is None:
            await self.recorder.record(executing, steps=(step,))
            if tool is not None:
                await self._run(tool, arguments, outcome, context)
            return step, 0.0
        expires_at = self.services.clock() + self.services.limits.approval_s
        required = ApprovalRequired(agent_id, outcome.call_id, name, asked, expires_at)
        if await self._ask_user(required, outcome, context, executing, required, steps=(step,)):
            waited_s = self.services.clock() - began
            await self._run(tool, asked, outcome, context)
            return step, waited_s
        return step, self.services.clock() - began

    async def _resume(
        self, wanted: PendingCall, outcome: ToolOutcome, refused: bool, agent: Agent, context: Context
    ) -> float:
        """Execute a call that was recorded before a restart. Return the seconds it waited for approval since."""
        began = self.services.clock()
        tool = self._check_limits(agent.tool(wanted.request.name), outcome, refused, wanted.request.name)
        if tool is None:
            return 0.0
        if wanted.approval_event is None:
            await self._run(tool, dict(wanted.request.arguments), outcome, context)
            return 0.0
        if wanted.decision_event is None:
            allowed = await self._ask_user(wanted.approval_event, outcome, context)
        else:
            allowed = self._apply_decision(wanted.decision_event.decision, wanted.decision_event.note or "", outcome)
        waited_s = self.services.clock() - began
        if allowed:
            await self._run(tool, dict(wanted.approval_event.parameters), outcome, context)
        return waited_s

    def _check_limits(self, tool: Tool | None, outcome: ToolOutcome, refused: bool, name: str) -> Tool | None:
        """Return the tool of a call; None if the call is refused, and set the outcome."""
        if refused:
            outcome.fail(ToolStatus.FAILED, "invalid_arguments", f"{MAX_CALLS} calls at a time are the limit.")
            return None
        if tool is None:
            outcome.fail(ToolStatus.FAILED, "invalid_arguments", f"This agent has no tool called {name}.")
        return tool

    async def _complete(
        self, outcome: ToolOutcome, step: StepRecord, agent: Agent, agent_id: str, worked_from: float
    ) -> None:
        """Record the outcome of a call, which worked since `worked_from` (Unix seconds)."""
        now = self.services.clock()
        worked_s = max(0.0, now - worked_from)
        tool = agent.tool(outcome.request.name)  # an unknown name is the model's text: it must not become a label
        self.services.metrics.tool_ended(None if tool is None else tool.name, outcome.status.value, worked_s)
        await self._sanitize_result(outcome)
        completed = ToolCompleted(
            agent_id=agent_id,
            call_id=outcome.call_id,
            tool_name=step.name,
            result=outcome.value,
            result_summary=outcome.summary,
            status=outcome.status,
            duration_ms=worked_s * 1000,
            timestamp=now,
            findings=count_by_kind(outcome.findings) or None,
        )
        redactions = build_summary(
            "tool", outcome.findings, self.services.summary_from, omitted=outcome.omitted, call_id=outcome.call_id
        )
        await self.recorder.record(
            completed,
            *([] if redactions is None else [redactions]),
            steps=(evolve(step, result=outcome.step_result, status=outcome.status.value, ended_at=now),),
        )
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
            said = {"name": "(not shown)", "description": "A call that is not let pass", "arguments": {}}
        if tool is not None:
            return {"description": tool.description, **said, "name": tool.name}
        return {"description": f"Calling {said['name']}", **said}

    async def _sanitize_result(self, outcome: ToolOutcome) -> None:
        """Redact or block the result of a call, before it is stored, published or given to the model."""
        content_filter = self.services.content_filter
        clean, summary = await content_filter.filter_result(outcome.value, outcome.summary)
        if outcome.answer:
            answer = await content_filter.filter_value(outcome.answer, content_filter.tool)
            outcome.answer = str(answer.value)
            clean.texts += answer.texts
        outcome.findings, outcome.omitted = clean.findings, clean.omitted
        if clean.blocked:
            blocked = content_filter.blocked_error("The tool's result is not let pass", clean.texts)
            outcome.fail(ToolStatus.FAILED, "content_blocked", blocked.message)
            outcome.visualization = None
            return
        outcome.value, outcome.summary = clean.value, summary
        if outcome.visualization is not None and not await content_filter.accepts_chart(outcome.visualization):
            outcome.visualization = None
            outcome.summary += " (the chart is left out: it shows what must not be shown)"

    async def _ask_user(
        self,
        required: ApprovalRequired,
        outcome: ToolOutcome,
        context: Context,
        *events: Event,
        steps: tuple[StepRecord, ...] = (),
    ) -> bool:
        """Wait for the user's decision about a call. Return whether it may run; if not, set the outcome.

        `events` and `steps` are recorded first; none if the request for approval is in the log already.
        """
        call_id, left_s = outcome.call_id, required.expires_at - self.services.clock()
        deadline = trio.current_time() + min(max(0.0, left_s), self.services.limits.approval_s)
        approval = self._approval(call_id)
        self.awaiting_approval[call_id] = required.tool_name
        try:
            if events:
                await self.recorder.record(*events, steps=steps)
            self._pause_if_all_wait()
            decision = await approval.wait_for_decision(deadline)
            try:
                await self.recorder.record(ApprovalDecided(call_id, decision, approval.note or None))
            except StorageUnavailable as error:
                approval.fail_stored(error)
                raise
            approval.confirm_stored()
            await self.deadline.resume(context.ref)
        finally:
            del self.awaiting_approval[call_id]
        return self._apply_decision(decision, approval.note, outcome)

    def _apply_decision(self, decision: ApprovalDecision, note: str, outcome: ToolOutcome) -> bool:
        """Return whether a decided call may run; if not, set the outcome."""
        if decision is ApprovalDecision.ALLOW:
            outcome.note = note
            return True
        sentence = f"Not allowed: {note}" if note else "Not allowed."
        if decision is ApprovalDecision.EXPIRED:
            sentence = f"Nobody allowed it within {self.services.limits.approval_s:g} s."
        outcome.fail(ToolStatus.DENIED, "forbidden", sentence)
        return False

    def _pause_if_all_wait(self) -> None:
        if self.awaiting_approval and self.unfinished <= self.awaiting_approval.keys():
            self.deadline.pause()

    def _record_crash(self, outcome: ToolOutcome, error: BaseException) -> None:
        error_id = new_error_id()
        extra = {"tool": outcome.request.name, "error_id": error_id, "run_id": self.job.run_id}
        log.error("tool.crashed", extra=extra, exc_info=error)
        outcome.fail(ToolStatus.FAILED, "tool_failed", f"{ERRORS['tool_failed'].text} (error {error_id})")

    async def _run(self, tool: Tool, arguments: dict[str, Any], outcome: ToolOutcome, context: Context) -> None:
        """Run the tool in an actor of its own; the outcome is set afterwards, even if the actor crashes or hangs."""
        about = self._tool_context(outcome.call_id)
        spec = ChildSpec(
            outcome.call_id,
            lambda: ToolCall(tool, arguments, about, outcome),
            restart=Restart.TEMPORARY,
            shutdown_s=GRACE_S,
        )
        ref = await context.spawn(spec)
        self.running[ref] = outcome
        context.watch(ref)
        with trio.move_on_after(tool.timeout_s + GRACE_S) as limit:
            await outcome.ended.wait()
        if limit.cancelled_caught:
            self.running.pop(ref, None)
            ref.kill()
            outcome.fail(ToolStatus.TIMED_OUT, "tool_timeout", f"{tool.name} did not stop when its time was up.")

    def _tool_context(self, call_id: str) -> ToolContext:
        job, memory = self.job, self.services.memory
        return ToolContext(
            owner=job.owner,
            thread_id=job.thread_id,
            run_id=job.run_id,
            call_id=call_id,
            references=job.references,
            files=self.services.attachments(job.owner),
            server=self.services.server(job.owner, job.roles),
            roles=job.roles,
            progress=self._progress,
            memory=Notebook() if memory is None else memory(job.owner, self.recorder.speaker.name),
            found=job.findings_summary,
        )

    def _progress(self, done: float, total: float | None, note: str) -> None:
        self.recorder.send_progress(done, total, self.services.content_filter.filter_progress(str(note)))


def _shown(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MAX_SHOWN:
        return f"{value[:MAX_SHOWN]}… ({len(value) - MAX_SHOWN:,} more characters)"
    return value
