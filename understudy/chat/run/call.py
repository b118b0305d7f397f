"""One tool call of a run, from permission to result: it is recorded with its pair of events.

1. A call is made in these steps (`RunCall.make`): its request is sanitized, it may be refused, its user may have to
   consent; it begins in the log; its tool works, or the client or a subagent is asked; a doubt is settled; its result
   is sanitized, and its end recorded. When a step has decided the outcome, only the end is left.
2. The outcome of a call is None until it is decided. It stays None if the actor is killed: then the call is in doubt.
3. A call that started before a restart is made again from where it stood. One in doubt is settled by its tool's
   `reconcile`, or else by its user, and made again only if it took no effect. One that has kept a handle is never in
   doubt: its tool finds its work again.
4. The crash of a tool is a failed outcome of its call, and never crashes the run.
"""

import functools
import math
import uuid
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final

import msgspec
import trio
from attrs import asdict, define, evolve, field

from actors import Actor, ActorRef, ChildSpec, Lane, Restart
from transport.wire.events import Event
from understudy.agents.agent import Agent
from understudy.agents.permissions import FORBIDDEN, refusal
from understudy.chat.consents import Consents
from understudy.chat.effects import GRACE_S
from understudy.chat.messages import Begin, Decide, EndTurn
from understudy.chat.run.call_attempt import AskedAgents, CallAttempt, CallDoubt, ToolCall
from understudy.chat.run.client_tools import OUTPUT, ClientWait, check_output, client_question
from understudy.chat.run.part import CallMade
from understudy.chat.run.questions import Asker, consent_question, copy_arguments, needs_approval
from understudy.chat.run.tool_outcome import ToolOutcome, crash, failure, interrupted, sanitize, success
from understudy.chat.run_settings import WIDGET_SETTING
from understudy.chat.run_state.records import ToolCallRecord, calls_that_ask
from understudy.chat.stops import Enforcement, StoppedByOperator, stop_sentence
from understudy.content.filter import Blocked
from understudy.content.summary import build_summary, count_by_kind, is_suspect
from understudy.storage.acts import Act, Deed, say
from understudy.storage.errors import StorageUnavailable
from understudy.storage.records import StepRecord
from understudy.suggestion import did_you_mean
from understudy.tools.errors import ToolError
from understudy.tools.result import ToolResult
from understudy.tools.tool import Tool
from understudy.wire.codes import ERRORS
from understudy.wire.events import (
    NO_USAGE,
    ApprovalDecided,
    ApprovalDecision,
    ApprovalRequired,
    RunStatus,
    SubagentCompleted,
    SubagentStarted,
    ToolCompleted,
    ToolExecuting,
    ToolStatus,
    Usage,
)

if TYPE_CHECKING:
    from understudy.chat.run.executor import ToolExecutor

MAX_SHOWN: Final = 2000
"""Characters of a parameter in an event; the rest is cut off there. The step has it whole."""
MAX_LISTED: Final = 100
"""Names of tools that are listed for a model that asked for an unknown one."""
MAX_NAME: Final = 64
"""Characters of the name of an unknown tool; names of tools have no more."""
MAX_MADE: Final = 5
"""Times that one call is made or settled: one whose actor is killed each time must not go on for ever."""
START_S: Final = 0.1
"""Seconds for which the start of a call that may be repeated waits to be committed with its end. If the server dies
meanwhile, the call is made again."""
ALLOWED: Final = Act("tool.allowed", "always", "run", "tool")
DENIED: Final = Act("tool.denied", "run", "tool")
REMEMBERED: Final = "remembered"
"""The door of a decision that the user made before, for every call of the tool in the thread."""
REDIRECTED: Final = "The user has sent a new message instead."
"""The note of the denial if a call waits for approval when a steer is to enter at once."""
HANDLE: Final = "handle"
"""Key of the handle in the result of the step of a call at work."""
EFFECT_UNKNOWN: Final = "Whether it took effect is unknown."
RUN_STATUS: Final = {
    ToolStatus.OK: RunStatus.SUCCESS,
    ToolStatus.CANCELLED: RunStatus.CANCELLED,
    ToolStatus.KILLED: RunStatus.INTERRUPTED,
}
"""How a subagent ended, by how its call did; any other status is a failure."""


@define(eq=False)
class CallSubagent:
    """The subagent that a call asks. `tools` executes its calls as soon as it works; `usage` is that of its models."""

    agent_id: str
    tools: "ToolExecutor | None" = field(default=None, repr=False)
    usage: Usage = NO_USAGE


@define(eq=False)
class RunCall(Asker):
    """One call of a tool, from permission to its end in the log. `outcome` is None until it is decided.

    `past` is what the log had of it; the arguments of its request are already those of the tool's parameters. `step` is
    set when it starts, at `began` (Unix seconds), and keeps the handle of the tool's work. `tool` is None if the agent
    has none of that name. `note` is what the user wrote with the approval. `effect_unknown`: it may have taken effect
    although it did not succeed. `client` is logged with the question of a call of the client's tool.
    """

    past: ToolCallRecord = field(kw_only=True)
    tool: Tool | None = field(kw_only=True)
    step: StepRecord = field(init=False, repr=False)
    began: float = field(default=math.inf, init=False)
    outcome: ToolOutcome | None = field(default=None, init=False)
    effect_unknown: bool = field(default=False, init=False)
    note: str = field(default="", init=False, repr=False)
    attempt: CallAttempt | None = field(default=None, init=False, repr=False)
    subagent: CallSubagent | None = field(default=None, init=False, repr=False)
    client: ClientWait | None = field(default=None, init=False, repr=False)

    async def make(self, tools: Mapping[str, Tool], refused: str, next_begins: Callable[[], None]) -> None:
        """Make the call, unless it is refused or its user denies it, and record its end.

        `tools` are those of its agent; `refused` says why it is not made, and is empty if it may be. What a restarted
        run finds recorded is not recorded again. A call that may have to be approved starts at once, and takes a slot
        when it is approved; any other starts when it has a slot. `next_begins` is called as soon as this call has begun
        or waits for a slot: then the next one may begin.
        """
        executor, tool, past = self.executor, self.tool, self.past
        at_once = bool(refused) or tool is None or tool.approval is not False
        if not at_once and not executor.slots.value:
            next_begins()
        async with nullcontext() if at_once else executor.slots:
            start, arguments, required = await self._start(), dict(past.request.arguments), past.required
            self.outcome = self.outcome or self._refusal(tools, refused)
            if start and tool is not None and tool.approval is not False and self.outcome is None:
                required = await self._consent_request(tool)
            if required is not None and tool is not None and self.outcome is None:
                arguments = await self._get_consent(tool, required, start, next_begins)
            elif start:
                await self._record_start(start, next_begins)
            next_begins()
            if self.outcome is None and tool is not None:
                async with executor.slots if at_once else nullcontext():
                    await (self._ask_client(tool) if tool.client else self._run(tool, arguments))
            await self.end(self.outcome or interrupted(past))

    # The start

    async def _start(self) -> tuple[Event, ...]:
        """Set the step of the call. Return the event to record with it; none if the log has both."""
        executor, tool, past = self.executor, self.tool, self.past
        now = executor.services.clock()
        if past.step is not None:
            self.began, self.step = now, past.step
            if not past.announced:  # another run began it, with which this one goes on
                await executor.log.record(self._executing(past.step.name, past.step.arguments or {}))
            return ()
        clean = await self._sanitize_request()
        name, shown = clean["name"] if tool is None else tool.name, dict(clean["arguments"])
        self.step = executor.log.next_step("tool", name, self.call_id, clean["arguments"], now)
        self.began = now
        for key, value in shown.items():
            if isinstance(value, str) and len(value) > MAX_SHOWN and not (tool is not None and tool.client):
                shown[key] = f"{value[:MAX_SHOWN]}… ({len(value) - MAX_SHOWN:,} more characters)"
        return (self._executing(name, shown, clean.get("description")),)

    async def _sanitize_request(self) -> dict[str, Any]:
        """Return the `arguments` and other words of the model as they may be shown. Blocked ones fail the call."""
        request, content_filter = self.past.request, self.executor.services.content_filter
        words: dict[str, Any] = {"name": request.name[:MAX_NAME]} if self.tool is None else {}
        words |= {"description": request.description} if request.description else {}
        try:
            clean: dict[str, Any] = await content_filter.filter_output({"arguments": dict(request.arguments), **words})
        except Blocked as blocked:
            self.fail(ToolStatus.FAILED, "content_blocked", blocked.message)
            return {"name": "(not shown)", "description": "A blocked call", "arguments": {}}
        return clean

    def _executing(self, name: str, shown: Mapping[str, Any], description: str | None = None) -> ToolExecuting:
        """Return the event of the start. The `description` is the model's; without one it is the tool's."""
        if description is None and self.tool is not None:
            description = self.tool.description
        doing = f"Calling {name}" if description is None else description[:MAX_SHOWN]
        return ToolExecuting(self.agent_id, self.call_id, name, shown, doing, self.began)

    def _refusal(self, tools: Mapping[str, Tool], refused: str) -> ToolOutcome | None:
        """Return the failure of a call that is not made; None if it may be."""
        executor, tool, past, code = self.executor, self.tool, self.past, "invalid_arguments"
        stops, permissions = executor.services.stops, executor.services.permissions
        # A call that the log of this run has was allowed then.
        logged = past.call_id in executor.subagents or (past.step is not None and past.announced)
        if refused:
            sentence = refused
        elif tool is None:
            names, name = ", ".join([*tools][:MAX_LISTED]) or "none", self.step.name
            sentence = f"There is no tool “{name}” here{did_you_mean(name, tools)}. This agent has: {names}."
            if past.in_doubt:  # of an MCP server that is away
                sentence, self.effect_unknown = f"{name} was interrupted. {EFFECT_UNKNOWN}", True
        elif stops.in_force and (stop := stops.find(*_stoppable(tool))) is not None:
            code, sentence = "stopped", stop_sentence(stop)
        elif not logged and not permissions.may_call(tool, executor.request):
            code, sentence = FORBIDDEN, refusal(tool)
        elif past.request.problem:
            sentence = past.request.problem
        else:
            return None
        return failure(past, ToolStatus.FAILED, code, sentence)

    async def _record_start(self, start: tuple[Event, ...], next_begins: Callable[[], None]) -> None:
        """Record the start of a call that needs no consent. If it may be lost, it is committed with what follows.

        If it is lost, the model is asked again, and the call is made anew. It has another id then, so this holds only
        for a tool that may be repeated, and does not learn the id of its calls.
        """
        run_log, tool = self.executor.log, self.tool
        asked_by_model = run_log.speaker.run is None
        learns_id = tool is None or tool.takes_context or tool.client or tool.agent
        if self.outcome is None and asked_by_model and tool is not None and tool.retry_safe and not learns_id:
            run_log.gather(*start, steps=(self.step,), within_s=START_S)
        else:
            next_begins()
            await run_log.record(*start, steps=(self.step,))

    def fail(self, status: ToolStatus, code: str, sentence: str, *, own: bool = False) -> None:
        """Set a failure as the outcome."""
        self.outcome = failure(self.past, status, code, sentence, own=own)

    # Consent

    async def _consent_request(self, tool: Tool) -> ApprovalRequired | None:
        """Return the request for the user's approval; None if the call needs none, or failed when that was asked."""
        request, services = self.executor.request, self.executor.services
        try:
            if not await needs_approval(tool, dict(self.past.request.arguments), request.owner):
                return None
            present = bool(services.presence.outboxes(request.owner, request.thread_id))
            expires_at = services.clock() + services.patience.wait_s(request.owner, present=present)
            shown = copy_arguments(self.step.arguments)
            return ApprovalRequired(self.agent_id, self.call_id, tool.name, shown, expires_at, tool.parameters)
        except ToolError as error:
            self.fail(ToolStatus.FAILED, error.code, error.message)
        except Exception as error:  # of the tool's own `approval`
            self.outcome = crash(self.past, error, request.run_id)
        return None

    async def _get_consent(
        self, tool: Tool, required: ApprovalRequired, start: tuple[Event, ...], next_begins: Callable[[], None]
    ) -> dict[str, Any]:
        """Wait for the user's decision, unless the log has it. Return the arguments that run.

        They are those that the user was shown, so redacted ones if some were redacted, or those that the user wrote.
        """
        decided = self.past.decided or await self._ask_consent(tool, required, start, next_begins)
        note, changed = decided.note or "", decided.parameters
        if decided.decision is ApprovalDecision.ALLOW:
            if changed is not None:
                note = f"I changed the arguments to {msgspec.json.encode(changed).decode()}. {note}".rstrip()
            self.note = note
            self.outcome = self._refusal({}, "")  # the rules may have changed meanwhile
        else:
            sentence = f"Not allowed: {note}" if note else "Not allowed."
            expired = decided.decision is ApprovalDecision.EXPIRED
            self.fail(ToolStatus.DENIED, "forbidden", "It was not allowed in time." if expired else sentence)
        self.waited_s = self.executor.services.clock() - self.began
        return dict(required.parameters if changed is None else changed)

    async def _ask_consent(
        self, tool: Tool, required: ApprovalRequired, start: tuple[Event, ...], next_begins: Callable[[], None]
    ) -> ApprovalDecided:
        """Ask the user about the call, and return the decision once it is stored.

        The `start` of the call, the request and the step are recorded first, unless there is no `start`: then the log
        has them. A tool that the user has allowed always in this thread is allowed at once, unless its arguments were
        redacted.
        """
        request, services, run_log = self.executor.request, self.executor.services, self.executor.log
        owner, consents = request.owner, services.parts.find(Consents)
        remembered = False
        if consents is not None and start and required.parameters == self.past.request.arguments:
            remembered = await consents.covers(owner, request.thread_id, tool)
        next_begins()
        if remembered:
            decided = ApprovalDecided(self.call_id, ApprovalDecision.ALLOW, by=owner, door=REMEMBERED)
            await run_log.record(*start, required, decided, steps=(self.step,))
            return decided
        question = consent_question(tool, required, owner)

        async def begin() -> None:
            if start:
                await run_log.record(*start, required, steps=(self.step,))
            if self.executor.redirected:
                question.accept(Decide(self.call_id, ApprovalDecision.DENY, REDIRECTED))

        async def store(decided: ApprovalDecided) -> None:
            if decided.decision is not ApprovalDecision.EXPIRED and decided.by is not None:
                detail: dict[str, str | bool] = {"run": request.run_id, "tool": required.tool_name}
                allowed = decided.decision is ApprovalDecision.ALLOW
                detail |= {"always": bool(decided.remember)} if allowed else {}
                act = ALLOWED if allowed else DENIED
                await say(services.store, Deed(act, decided.by, decided.door or "", owner, detail=detail))
            if decided.remember and consents is not None:  # first: an acknowledged decision is remembered
                await consents.add(owner, request.thread_id, tool)
            await run_log.record(decided)

        answer: ApprovalDecided = await self.wait_for(question, required.expires_at, begin, store)
        return answer

    # The work

    async def _ask_client(self, tool: Tool) -> None:
        """Wait for the result of a call of the client's tool."""
        try:
            answer = await self.ask(client_question(tool.name), check_output, self.client)
        except ToolError as error:
            self.fail(ToolStatus.FAILED, error.code, error.message, own=True)
        else:
            self.outcome = success(self.past, ToolResult(answer[OUTPUT], f"{tool.name} was run by the client"))

    async def _run(self, tool: Tool, arguments: dict[str, Any]) -> None:
        """Run the tool until the outcome of the call is known, or cannot be.

        A call that may have taken effect, because its server, its actor or its time ended, is settled by the tool's
        `reconcile`, or else by the user, and made again only if it took none.
        """
        past = self.past
        whole = past.whole or past.required is not None  # its arguments are not redacted
        doubt = functools.partial(CallDoubt, self, tool, arguments, whole=whole)
        in_doubt = self.handle is None and (past.in_doubt or (past.asking and tool.reconcile is not None))
        for _ in range(MAX_MADE):
            if in_doubt:
                again, in_doubt = await doubt(killed=True).settle(), False
            else:
                again = await self._make_once(tool, arguments, doubt)
            if not again:
                break
        if self.effect_unknown:
            outcome = self.outcome or interrupted(past)
            self.outcome = evolve(outcome, summary=f"{outcome.summary} {EFFECT_UNKNOWN}")

    async def _make_once(self, tool: Tool, arguments: dict[str, Any], doubt: Callable[..., CallDoubt]) -> bool:
        """Make the call once, and settle the `doubt` whether it took effect. Return whether it is to be made again."""
        attempt = await self._attempt(tool, arguments)
        self.outcome, self.effect_unknown = attempt.outcome, attempt.effect_unknown
        killed = attempt.outcome is None
        timed_out = attempt.outcome is not None and attempt.outcome.status is ToolStatus.TIMED_OUT
        if not (killed or timed_out or attempt.crashed):
            return False
        if tool.reconcile is not None:
            return await doubt(killed=killed).settle()
        # Its first question came before any effect; by a handle the tool finds its work again.
        asks = self.call_id in calls_that_ask(self.executor.questions.logged)
        again = killed and (asks or self.handle is not None)
        self.effect_unknown = not (again or attempt.crashed or tool.retry_safe)
        return again

    async def _attempt(self, tool: Tool, arguments: dict[str, Any]) -> CallAttempt:
        """Run the tool in an actor of its own. Return the attempt when it has ended, even if the actor hangs."""
        executor, stops = self.executor, self.executor.services.stops
        self.attempt = attempt = CallAttempt(self.past, executor.request.run_id)
        self.limits, self.count = [], 0
        if stops.in_force and (stop := stops.find(*_stoppable(tool))) is not None:
            attempt.fail(ToolStatus.FAILED, "stopped", stop_sentence(stop))
            return attempt
        async with executor.log.notes.of_call() as progress:
            make: Callable[[], Actor]
            if tool.agent is None:
                make = functools.partial(ToolCall, self, attempt, tool, arguments, progress)
            else:
                try:
                    request = tool.check(arguments)["request"]
                except ToolError as error:
                    attempt.fail(ToolStatus.FAILED, error.code, error.message)
                    return attempt
                await self._start_subagent(tool.agent)
                make = functools.partial(executor.services.parts[AskedAgents].make, self, attempt, tool, request)
            spec = ChildSpec(self.call_id, make, restart=Restart.TEMPORARY, shutdown_s=GRACE_S)
            ref = await self.context.spawn(spec)
            executor.actors[ref] = attempt
            self.context.watch(ref)
            ref.tell(Begin())
            if executor.redirected:  # since the subagent began
                ref.try_tell(EndTurn(""), lane=Lane.HIGH)
            await self._wait_for_end(attempt, tool, ref)
        return attempt

    async def _wait_for_end(self, attempt: CallAttempt, tool: Tool, ref: ActorRef) -> None:
        """Wait until the actor of the attempt has ended. It is killed if its time is up, or an operator stops it."""
        executor, stops = self.executor, self.executor.services.stops
        tool_s, run_s = tool.timeout_s + GRACE_S, executor.meter.left_s(executor.questions.deadline.worked_s)
        if tool.agent is not None:
            run_s = math.inf  # the subagent closes by itself
        limit = trio.CancelScope(deadline=trio.current_time() + min(tool_s, run_s))
        self.limits.append(limit)
        try:
            with Enforcement(stops, functools.partial(_stoppable, tool), limit), limit:
                await attempt.ended.wait()
        except StoppedByOperator as stopped:
            attempt.fail(ToolStatus.FAILED, "stopped", str(stopped))
            attempt.effect_unknown = tool.agent is None and not tool.retry_safe
        else:
            if limit.cancelled_caught:
                why = "was stopped: the run's budget of time is spent."
                why = why if run_s < tool_s else "did not stop when its time was up."
                attempt.fail(ToolStatus.TIMED_OUT, "tool_timeout", f"{tool.name} {why}")
        if not attempt.ended.is_set():
            attempt.ended.set()
            ref.kill()
        if self.count:  # still paused if the tool gave up its question itself
            await executor.questions.deadline.resume(self.context.ref)

    @property
    def handle(self) -> str | None:
        """What the tool keeps in the call's step to find its work again, also that of an interrupted attempt."""
        result = self.step.result if self.step.ended_at is None else None
        return result.get(HANDLE) if isinstance(result, dict) else None

    async def keep_handle(self, handle: str) -> None:
        """Commit the handle of the call's work. Raises `ToolError` ``storage_unavailable``."""
        step = evolve(self.step, result={HANDLE: handle})
        try:
            await self.executor.log.record(steps=(step,))
        except StorageUnavailable:
            raise ToolError("storage_unavailable", ERRORS["storage_unavailable"].text) from None
        self.step = step

    async def _start_subagent(self, agent: Agent) -> None:
        """Record that the call asks a subagent, unless the log has it."""
        executor = self.executor
        if (past := executor.subagents.get(self.call_id)) is not None:
            self.subagent = CallSubagent(past.agents[0][0])
        elif self.subagent is None:
            self.subagent = CallSubagent(f"{agent.name}-{uuid.uuid4().hex[:8]}")
            saying, now = f"{agent.display_title} is on it", executor.services.clock()
            await executor.log.record(SubagentStarted(self.subagent.agent_id, self.call_id, agent.name, saying, now))

    # The end

    async def end(self, outcome: ToolOutcome) -> None:
        """Record the end of the call with this outcome, as far as its result may be shown."""
        executor, tool, step = self.executor, self.tool, self.step
        services, run_log, now = executor.services, executor.log, executor.services.clock()
        worked_from = self.began + self.waited_s
        worked_s = max(0.0, now - worked_from)
        # An unknown name is the model's text: it must not become a label.
        services.metrics.tool_ended(None if tool is None else tool.name, outcome.status.value, worked_s)
        widget = undo_until = counts = None
        outcome, clean = await sanitize(outcome, services.content_filter)
        files = [] if self.attempt is None else self.attempt.files
        outcome = evolve(outcome, note=self.note, files=files)
        after: tuple[Event, ...] = ()
        if clean.findings or clean.omitted:
            outcome = evolve(outcome, suspect=is_suspect(clean.findings))
            counts = count_by_kind(clean.findings) or None
            most, omitted = services.settings.summary_from, clean.omitted
            summary = build_summary("tool", clean.findings, most, omitted=omitted, call_id=self.call_id)
            after = () if summary is None else (summary,)
        self.outcome = outcome
        if outcome.status is ToolStatus.OK and tool is not None:  # also after its result was sanitized
            if tool.undo is not None and services.settings.undo and not outcome.by_user:
                undo_until = now + tool.undo_s
            if tool.widget and WIDGET_SETTING not in executor.request.settings:
                widget = {"server": tool.server, "uri": tool.widget}
        completed = ToolCompleted(
            agent_id=self.agent_id,
            call_id=self.call_id,
            tool_name=step.name,
            result=outcome.value,
            result_summary=outcome.summary,
            status=outcome.status,
            duration_ms=worked_s * 1000,
            timestamp=now,
            findings=counts,
            effect="unknown" if self.effect_unknown else None,
            undo_until=undo_until,
            files=files or None,
            widget=widget,
        )
        before = () if self.subagent is None else await self._end_subagent(self.subagent, outcome.status, now)
        result = asdict(outcome.recorded(undo_until, run_log.speaker.name))
        ended = evolve(step, result=result, status=outcome.status.value, ended_at=now)
        await run_log.record(*before, completed, *after, steps=(ended,))
        if executor.parts.ended:
            error = "" if outcome.status is ToolStatus.OK else outcome.status.value
            await executor.parts.tell_ended(CallMade(self, worked_from, now, error, result["value"]))
        self.subagent = None  # which refers to this call
        questions = executor.questions
        questions.calls.pop(self.call_id, None)
        if questions.early:
            questions.forget(self.call_id)
        if questions.calls:
            questions.pause_if_all_wait()

    async def _end_subagent(self, subagent: CallSubagent, status: ToolStatus, now: float) -> tuple[Event, ...]:
        """Record the ends of the calls of the subagent. Return the event of its own end, if its start is recorded."""
        if subagent.tools is not None:
            await subagent.tools.complete_begun()
        if not subagent.agent_id:
            return ()
        how = RUN_STATUS.get(status, RunStatus.FAILED)
        return (SubagentCompleted(subagent.agent_id, self.call_id, how, subagent.usage, now),)


def _stoppable(tool: Tool) -> tuple[tuple[str, str], ...]:
    """Return the names under which operators may stop a call of a tool: its own, and that of the agent it asks."""
    return ("tool", tool.name), *([] if tool.agent is None else [("agent", tool.agent.name)])
