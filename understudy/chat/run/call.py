"""Tool calls, from permission to result: each is made by an actor of its own, and recorded with its pair of events.

1. A call is made in these steps (`RunCall.make`): its request is sanitized, it may be refused, its user may have to
   consent; it begins in the log; its tool works, or the client or a subagent is asked; a doubt is settled; its result
   is sanitized, and its end recorded. When a step has decided the outcome, only the end is left.
2. The outcome of a call is None until it is decided. It stays None if the actor is killed: then the call is in doubt.
3. A call that started before a restart is made again from where it stood. One in doubt is settled by its tool's
   `reconcile`, or else by its user, and made again only if it took no effect. One that has kept a handle is never in
   doubt: its tool finds its work again.
4. The crash of a tool is a failed outcome of its call, and never crashes the run.
5. Calls of one turn work at the same time, and begin in the order of the requests.
"""

import functools
import itertools
import math
import uuid
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Final, TypeAlias

import msgspec
import trio
from attrs import asdict, define, evolve, field, frozen

from actors import Actor, ActorRef, ChildSpec, Context, Crashed, Exit, Lane, Restart, StopMode
from transport.wire.events import Event
from understudy.agents.agent import Agent
from understudy.agents.permissions import FORBIDDEN, refusal
from understudy.chat.consents import Consents
from understudy.chat.conversation.run_log import RunLog
from understudy.chat.effects import GRACE_S, MAX_ASKED, Attempt
from understudy.chat.messages import Begin, Decide, EndTurn, RunRequest
from understudy.chat.run.abilities import reachable
from understudy.chat.run.client_tools import OUTPUT, ClientWait, check_output, client_question
from understudy.chat.run.deadline import suspend_deadlines
from understudy.chat.run.meter import Meter
from understudy.chat.run.part import NO_PARTS, CallMade, RunParts
from understudy.chat.run.progress_notes import CallProgress
from understudy.chat.run.questions import (
    Asker,
    Questions,
    consent_question,
    copy_arguments,
    needs_approval,
    question_id,
)
from understudy.chat.run.tool_outcome import ToolOutcome, crash, failure, interrupted, restored, sanitize, success
from understudy.chat.run.window import ModelInput
from understudy.chat.run_settings import WIDGET_SETTING
from understudy.chat.run_state.past import Past
from understudy.chat.run_state.records import ToolCallRecord, calls_that_ask
from understudy.chat.services import Services, tool_context
from understudy.chat.stops import Enforcement, StoppedByOperator, stop_sentence
from understudy.chat.user_files import SavedFiles
from understudy.content.filter import Blocked
from understudy.content.summary import build_summary, count_by_kind, is_suspect
from understudy.storage.acts import Act, Deed, say
from understudy.storage.errors import StorageUnavailable
from understudy.storage.records import StepRecord
from understudy.suggestion import did_you_mean
from understudy.tools.context import CallHandle, CallMeans, ToolContext
from understudy.tools.effects import Done, NotDone, Reconciled, Unknown
from understudy.tools.errors import EffectUnknown, ToolError
from understudy.tools.form import Question
from understudy.tools.loop import ToolLoop
from understudy.tools.parameters import fitted
from understudy.tools.result import ToolResult
from understudy.tools.schema import Misfit
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

MAX_CALLS: Final = 64
"""Tool calls of one turn that are executed; further ones fail, so that a model cannot flood the server."""
CONCURRENT_CALLS: Final = 8
"""Tool calls of one run that work at the same time; the others of the turn are queued."""
MAX_SHOWN: Final = 2000
"""Characters of a parameter in an event; the rest is cut off there. The step has it whole."""
MAX_LISTED: Final = 100
"""Names of tools that are listed for a model that asked for an unknown one."""
MAX_NAME: Final = 64
"""Characters of the name of an unknown tool; names of tools have no more."""
MAX_MADE: Final = 5
"""Times that one call is made or settled: one whose actor is killed each time must not go on for ever."""
STOP_S: Final = 6.0
"""Seconds for calls to stop at the end of their run; by then one that goes on is in the log as `actor.lingers`."""
START_S: Final = 0.1
"""Seconds for which the start of a call that may be repeated waits to be committed with its end. If the server dies
meanwhile, the call is made again."""
PUBLISH_S: Final = 0.1
"""Seconds between two batches of what a call yields."""
MAX_WAITING: Final = 16
"""Items of one batch. With `understudy.tools.result.MAX_PARTIAL_BYTES` for each, an event has at most 64 KiB."""

ALLOWED: Final = Act("tool.allowed", "always", "run", "tool")
DENIED: Final = Act("tool.denied", "run", "tool")
HANDLE: Final = "handle"
"""Key of the handle in the result of the step of a call at work."""
REMEMBERED: Final = "remembered"
"""The door of a decision that the user made before, for every call of the tool in the thread."""
REDIRECTED: Final = "The user has sent a new message instead."
"""The note of the denial if a call waits for approval when a steer is to enter at once."""
TOO_MANY: Final = f"{MAX_CALLS} calls in one turn are the limit; make the others in the next turn."
SPENT: Final = "The run's budget of tool calls is spent; answer with what you have."
EFFECT_UNKNOWN: Final = "Whether it took effect is unknown."
RUN_STATUS: Final = {
    ToolStatus.OK: RunStatus.SUCCESS,
    ToolStatus.CANCELLED: RunStatus.CANCELLED,
    ToolStatus.KILLED: RunStatus.INTERRUPTED,
}
"""How a subagent ended, by how its call did; any other status is a failure."""


def stoppable(tool: Tool) -> tuple[tuple[str, str], ...]:
    """Return the names under which operators may stop a call of a tool: its own, and that of the agent it asks."""
    return ("tool", tool.name), *([] if tool.agent is None else [("agent", tool.agent.name)])


@contextmanager
def _while_queued(call: Asker, progress: CallProgress) -> Generator[None]:
    """Tell the user that a call waits for a worker thread; its time limits are suspended meanwhile."""
    progress(0.0, None, f"{call.name} is waiting for a free place")
    with suspend_deadlines(call.limits):
        yield


async def publish_partials(
    items: trio.MemoryReceiveChannel[Any], publish: Callable[[int, list[Any]], Awaitable[None]]
) -> None:
    """Publish the items that a call yields as they come, by offset and in batches: at most one each `PUBLISH_S`."""
    offset = 0
    async for item in items:
        batch = [item]
        with suppress(trio.WouldBlock):
            while len(batch) < MAX_WAITING:
                batch.append(items.receive_nowait())
        await publish(offset, batch)
        offset += len(batch)
        await trio.sleep(PUBLISH_S)


@define(eq=False)
class CallAttempt:
    """One attempt to make a call, by an actor of its own. `outcome` is None until the tool has ended.

    `ended` is set when the actor has stopped, or was given up. `crashed`: the tool raised something else than a
    `ToolError`. `effect_unknown`: it may have taken effect although it failed. `files` are the cards of the files that
    it saved.
    """

    call: ToolCallRecord
    run_id: str
    outcome: ToolOutcome | None = field(default=None, init=False)
    crashed: bool = field(default=False, init=False)
    effect_unknown: bool = field(default=False, init=False)
    files: list[dict[str, Any]] = field(factory=list, init=False, repr=False)
    ended: trio.Event = field(factory=trio.Event, init=False, repr=False)

    @property
    def tool_name(self) -> str:
        """The name of its tool."""
        return self.call.request.name

    def fail(self, status: ToolStatus, code: str, sentence: str, *, own: bool = False) -> None:
        """Set a failure as the outcome."""
        self.outcome = failure(self.call, status, code, sentence, own=own)

    def exited(self, reason: Crashed) -> None:
        """Set the crash of the actor as the outcome."""
        self.outcome, self.crashed = crash(self.call, reason.error, self.run_id), True


@define(eq=False)
class ToolCall(Actor):
    """Calls a tool within its time limit, sets the outcome of the attempt, and stops."""

    call: "RunCall"
    attempt: CallAttempt
    tool: Tool
    arguments: dict[str, Any] = field(repr=False)
    progress: CallProgress
    _items: trio.MemorySendChannel[Any] | None = field(default=None, init=False, repr=False)

    async def receive(self, message: object, context: Context) -> None:
        """Start the call in a task of its own, so that it can be stopped at any time. It heeds no other message."""
        if not isinstance(message, Begin):
            return
        call, executor, attempt = self.call, self.call.executor, self.attempt
        given_up = lambda: executor.stopped or any(limit.cancel_called for limit in call.limits)  # noqa: E731
        handle = CallHandle(call.handle if call.step.result else None, call.keep_handle, given_up)
        queued = functools.partial(_while_queued, call, self.progress)
        files = SavedFiles(executor.services.attachments(executor.request.owner), attempt.files)
        show = functools.partial(self._show_partial, context)
        means = CallMeans(call.ask, while_queued=queued, handle=handle)
        call_context = executor.context(call.call_id, self.progress, means, show_partial=show, files=files)
        context.start_soon(functools.partial(self._call, context, call_context))

    async def _call(self, context: Context, call_context: ToolContext) -> None:
        call, attempt, tool = self.call, self.attempt, self.tool
        trio.lowlevel.current_task().name = f"tool {tool.name}"  # in the watchdog's record of a hold
        with trio.move_on_after(tool.timeout_s) as limit:
            call.limits.append(limit)
            try:
                loop = call.executor.services.parts.find(ToolLoop)
                attempt.outcome = success(attempt.call, await tool.call(self.arguments, call_context, loop))
            except ToolError as error:
                attempt.fail(ToolStatus.FAILED, error.code, error.message, own=error.message == call.unanswered)
                attempt.effect_unknown = isinstance(error, EffectUnknown)
        if limit.cancelled_caught:
            sentence = f"{tool.name} was stopped after {tool.timeout_s:g} s without a result."
            attempt.fail(ToolStatus.TIMED_OUT, "tool_timeout", sentence)
        context.stop()

    async def _show_partial(self, context: Context, item: Any) -> None:
        """Queue an item that the tool has yielded, to be published. A tool that is faster than that waits."""
        if self._items is None:
            self._items, items = trio.open_memory_channel[Any](MAX_WAITING)
            context.start_soon(functools.partial(publish_partials, items, self._publish_partial))
        await self._items.send(item)

    async def _publish_partial(self, offset: int, items: list[Any]) -> None:
        """Filter items by the policy for results, and publish them; drop them if they are blocked."""
        executor, content_filter = self.call.executor, self.call.executor.services.content_filter
        clean = await content_filter.filter_value(items, content_filter.tool)
        if not clean.blocked:
            await executor.log.send_partial(self.call.call_id, offset, clean.value)


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
            if self.outcome is None and start and tool is not None and tool.approval is not False:
                required = await self._consent_request(tool)
            if self.outcome is None and tool is not None and required is not None:
                arguments = await self._get_consent(tool, required, start, next_begins)
            elif start and self.outcome is None and tool is not None and self._may_be_lost(tool):
                executor.log.gather(*start, steps=(self.step,), within_s=START_S)
            elif start:
                next_begins()
                await executor.log.record(*start, steps=(self.step,))
            next_begins()
            if self.outcome is None and tool is not None:
                async with executor.slots if at_once else nullcontext():
                    await (self._ask_client(tool) if tool.client else self._run(tool, arguments))
            await self.end(self.outcome or interrupted(past))

    # The start

    async def _start(self) -> tuple[Event, ...]:
        """Set the step of the call. Return the event that is to be recorded with it; none if the log has both.

        If the content policy blocks what the model wrote for it, the call fails.
        """
        executor, tool, past, request = self.executor, self.tool, self.past, self.past.request
        began, doing = executor.services.clock(), None if tool is None else tool.description
        if (step := past.step) is not None:
            self.began, self.step, name, shown = began, step, step.name, step.arguments or {}
        else:
            words: dict[str, Any] = {"name": request.name[:MAX_NAME]} if tool is None else {}
            words |= {"description": request.description} if request.description else {}
            try:
                written = {"arguments": dict(request.arguments), **words}
                clean: dict[str, Any] = await executor.services.content_filter.filter_output(written)
            except Blocked as blocked:
                self.fail(ToolStatus.FAILED, "content_blocked", blocked.message)
                clean = {"name": "(not shown)", "description": "A blocked call", "arguments": {}}
            name, shown = clean["name"] if tool is None else tool.name, dict(clean["arguments"])
            doing = clean.get("description", doing)
            self.step = executor.log.next_step("tool", name, self.call_id, clean["arguments"], began)
            self.began = began
            for key, value in shown.items():
                if isinstance(value, str) and len(value) > MAX_SHOWN and not (tool is not None and tool.client):
                    shown[key] = f"{value[:MAX_SHOWN]}… ({len(value) - MAX_SHOWN:,} more characters)"
        doing = f"Calling {name}" if doing is None else doing[:MAX_SHOWN]
        event = ToolExecuting(self.agent_id, self.call_id, name, shown, doing, began)
        if step is not None and not past.announced:  # another run began it, with which this one goes on
            await executor.log.record(event)
        return (event,) if step is None else ()

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
        elif stops.in_force and (stop := stops.find(*stoppable(tool))) is not None:
            code, sentence = "stopped", stop_sentence(stop)
        elif not logged and not permissions.may_call(tool, executor.request):
            code, sentence = FORBIDDEN, refusal(tool)
        elif past.request.problem:
            sentence = past.request.problem
        else:
            return None
        return failure(past, ToolStatus.FAILED, code, sentence)

    def _may_be_lost(self, tool: Tool) -> bool:
        """Return whether the start of the call may be lost: the model is asked again then, and the call is made anew.

        It has another id then, so this holds only for a tool that does not learn the id of its calls.
        """
        asked_by_model = self.executor.log.speaker.run is None
        return asked_by_model and tool.retry_safe and not (tool.takes_context or tool.client or tool.agent)

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
        """Wait until the user has decided, unless the log has it. Return the arguments that run, if the call may.

        The arguments that a user approves are those that run: if some were redacted, the redacted ones run.
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
        consents, of_thread = services.parts.find(Consents), (request.owner, request.thread_id)
        whole = bool(start) and required.parameters == self.past.request.arguments
        remembered = whole and consents is not None and await consents.covers(*of_thread, tool)
        next_begins()
        if remembered:
            decided = ApprovalDecided(self.call_id, ApprovalDecision.ALLOW, by=request.owner, door=REMEMBERED)
            await run_log.record(*start, required, decided, steps=(self.step,))
            return decided
        question = consent_question(tool, required, request.owner)

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
                await say(services.store, Deed(act, decided.by, decided.door or "", request.owner, detail=detail))
            if decided.remember and consents is not None:  # first: an acknowledged decision is remembered
                await consents.add(*of_thread, tool)
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
        past, logged = self.past, self.executor.questions.logged
        whole = past.whole or past.required is not None  # its arguments are not redacted
        in_doubt = self.handle is None and (past.in_doubt or (past.asking and tool.reconcile is not None))
        for _ in range(MAX_MADE):
            killed = in_doubt
            if not in_doubt:
                attempt = await self._attempt(tool, arguments)
                self.outcome, self.effect_unknown = attempt.outcome, attempt.effect_unknown
                killed = attempt.outcome is None
                timed_out = attempt.outcome is not None and attempt.outcome.status is ToolStatus.TIMED_OUT
                if not (killed or timed_out or attempt.crashed):
                    break
                self.effect_unknown = not attempt.crashed and not tool.retry_safe
                asks_user = self.call_id in calls_that_ask(logged)
                # Its first question came before any effect; by a handle the tool finds its work again.
                if killed and tool.reconcile is None and (asks_user or self.handle is not None):
                    self.effect_unknown = False
                    continue
                if tool.reconcile is None:
                    break
            if not await CallDoubt(self, tool, arguments, killed, whole).settle():
                break
            in_doubt = self.effect_unknown = False
        if self.effect_unknown:
            outcome = self.outcome or interrupted(past)
            self.outcome = evolve(outcome, summary=f"{outcome.summary} {EFFECT_UNKNOWN}")

    async def _attempt(self, tool: Tool, arguments: dict[str, Any]) -> CallAttempt:
        """Run the tool in an actor of its own. Return the attempt when it has ended, even if the actor hangs."""
        executor, services = self.executor, self.executor.services
        self.attempt = attempt = CallAttempt(self.past, executor.request.run_id)
        self.limits, self.count = [], 0
        if services.stops.in_force and (stop := services.stops.find(*stoppable(tool))) is not None:
            attempt.fail(ToolStatus.FAILED, "stopped", stop_sentence(stop))
            return attempt
        async with executor.log.notes.of_call() as progress:
            make: Callable[[], Actor]
            if tool.agent is not None:
                try:
                    request = tool.check(arguments)["request"]
                except ToolError as error:
                    attempt.fail(ToolStatus.FAILED, error.code, error.message)
                    return attempt
                await self._start_subagent(tool.agent)
                make = functools.partial(services.parts[AskedAgents].make, self, attempt, tool, request)
            else:
                make = functools.partial(ToolCall, self, attempt, tool, arguments, progress)
            spec = ChildSpec(self.call_id, make, restart=Restart.TEMPORARY, shutdown_s=GRACE_S)
            ref = await self.context.spawn(spec)
            executor.actors[ref] = attempt
            self.context.watch(ref)
            ref.tell(Begin())
            if executor.redirected:  # since the subagent began
                ref.try_tell(EndTurn(""), lane=Lane.HIGH)
            tool_s, run_s = tool.timeout_s + GRACE_S, executor.meter.left_s(executor.questions.deadline.worked_s)
            if tool.agent is not None:
                run_s = math.inf  # the subagent closes by itself
            limit = trio.CancelScope(deadline=trio.current_time() + min(tool_s, run_s))
            self.limits.append(limit)
            try:
                with Enforcement(services.stops, functools.partial(stoppable, tool), limit), limit:
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
        return attempt

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
        executor, tool, step, subagent = self.executor, self.tool, self.step, self.subagent
        services, run_log, now = executor.services, executor.log, executor.services.clock()
        worked_from = self.began + self.waited_s
        worked_s = max(0.0, now - worked_from)
        # An unknown name is the model's text: it must not become a label.
        services.metrics.tool_ended(None if tool is None else tool.name, outcome.status.value, worked_s)
        widget = undo_until = counts = redactions = None
        if tool is not None and outcome.status is ToolStatus.OK:
            if tool.widget and WIDGET_SETTING not in executor.request.settings:
                widget = {"server": tool.server, "uri": tool.widget}
            if tool.undo is not None and services.settings.undo and not outcome.by_user:
                undo_until = now + tool.undo_s
        outcome, clean = await sanitize(outcome, services.content_filter)
        files = [] if self.attempt is None else self.attempt.files
        outcome = evolve(outcome, note=self.note, files=files)
        if clean.findings or clean.omitted:
            outcome = evolve(outcome, suspect=is_suspect(clean.findings))
            counts = count_by_kind(clean.findings) or None
            most, omitted = services.settings.summary_from, clean.omitted
            redactions = build_summary("tool", clean.findings, most, omitted=omitted, call_id=self.call_id)
        self.outcome = outcome
        undo_until = undo_until if outcome.status is ToolStatus.OK else None
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
        before: tuple[Event, ...] = ()
        if subagent is not None:
            if subagent.tools is not None:
                await subagent.tools.complete_begun()
            if subagent.agent_id:
                status = RUN_STATUS.get(outcome.status, RunStatus.FAILED)
                before = (SubagentCompleted(subagent.agent_id, self.call_id, status, subagent.usage, now),)
        after = () if redactions is None else (redactions,)
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


@define(eq=False)
class CallDoubt:
    """The doubt whether a call took effect: its actor was `killed`, or its tool timed out or crashed.

    `whole`: its arguments are unredacted, as the model wrote them.
    """

    call: RunCall
    tool: Tool
    arguments: dict[str, Any] = field(repr=False)
    killed: bool
    whole: bool

    async def settle(self) -> bool:
        """Find out whether the call took effect, and set its outcome. Return whether it is to be made again."""
        call, tool, killed, whole = self.call, self.tool, self.killed, self.whole
        answer = await self._reconcile()
        by_user = False
        if isinstance(answer, Unknown) and killed and not (tool.retry_safe and whole):
            answer = await self._ask_user()
            by_user = isinstance(answer, Done)
        call.effect_unknown = isinstance(answer, Unknown)
        match answer:
            case Done(result):
                call.outcome = success(call.past, result, by_user=by_user)
                return False
            case NotDone():
                if not whole:
                    sentence = "It was interrupted and took no effect; what it was called with is redacted."
                    call.fail(ToolStatus.KILLED, "run_interrupted", sentence)
                return killed and whole
        return killed and whole and tool.retry_safe

    async def _reconcile(self) -> Reconciled:
        """Ask the tool, in an actor of its own, whether the call took effect. An error or a timeout counts as unknown.

        An actor that is killed says nothing about the call: the tool is asked again.
        """
        tool, executor, call_id = self.tool, self.call.executor, self.call.call_id

        async def ask() -> Reconciled:
            async with executor.log.notes.of_call() as progress:
                context = executor.context(call_id, progress, CallMeans())
                return await tool.settle(call_id, self.arguments, context, executor.services.parts.find(ToolLoop))

        for _ in range(MAX_ASKED if tool.reconcile is not None else 0):
            attempt = Attempt("reconcile", tool.name, executor.request.run_id, call_id, tool.timeout_s, ask)
            ref = await attempt.start(self.call.context)
            executor.actors[ref] = attempt
            with trio.move_on_after(tool.timeout_s + GRACE_S) as limit:
                await attempt.ended.wait()
            if limit.cancelled_caught:
                attempt.expire()
                ref.kill()
            if not attempt.killed:
                return attempt.answer if isinstance(attempt.answer, Done | NotDone) else Unknown()
        return Unknown()

    async def _ask_user(self) -> Reconciled:
        """Ask the user what became of the call. Without an answer in time it is unknown."""
        call, again = self.call, {"again": "Try again"} if self.whole else {}
        titles = {"happened": "It happened"} | again | {"skip": "Skip it"}
        question = Question(
            f"Did {self.tool.name} take effect?",
            {
                "type": "object",
                "properties": {"choice": {"enum": [*titles], "title": "What became of it"}},
                "required": ["choice"],
                "additionalProperties": False,
            },
            "The call was interrupted, and it is unknown whether it took effect.",
            tuple({"value": value, "title": title} for value, title in titles.items()),
        )

        async def check(answer: Mapping[str, Any]) -> None:
            if answer.keys() != {"choice"} or answer["choice"] not in titles:
                raise Misfit("choice", f"it is one of {', '.join(titles)}")

        # A call that was made again at the user's wish, and interrupted again, is a new question.
        for number in itertools.count(1):
            name = question_id(call.executor.request.run_id, call.call_id, f"effect{number}")
            logged = call.executor.questions.logged.get(name)
            if logged is None or logged.answered is None or logged.answered.answer != {"choice": "again"}:
                break
        reply = await call.ask_as("server", name, question, check)
        match (reply.answer or {}).get("choice"):
            case "happened":
                return Done(ToolResult({"confirmed_by_user": True, "result": None}, "The user says that it happened."))
            case "again":
                return NotDone()
        return Unknown()


@frozen
class AskedAgents:
    """The part of a server that lets calls ask agents: `make` returns the actor of a call, by its attempt, its tool and
    the request."""

    make: Callable[[RunCall, CallAttempt, Tool, str], Actor]


_Make: TypeAlias = Callable[[Callable[[], None]], Awaitable[None]]
"""Makes a call, and calls its argument when the next call may begin."""


async def _make_all(calls: Sequence[_Make]) -> None:
    """Make calls beside each other, which begin in order."""
    async with trio.open_nursery() as nursery:
        for call in calls:
            begun = trio.Event()
            nursery.start_soon(call, begun.set)
            await begun.wait()


@define(eq=False)
class ToolExecutor:
    """Executes the calls of a run, or of the subagent that the call `scope` asks.

    `subagents` is the recorded progress of subagents by call id; they may be given the `conversation`. `actors` are
    those that have not stopped, also of calls that were given up. While it is `redirected`, calls that wait for
    approval are denied.
    """

    request: RunRequest
    services: Services
    log: RunLog
    questions: Questions
    meter: Meter
    subagents: Mapping[str, Past] = field(factory=dict, repr=False)
    scope: RunCall | None = field(default=None, repr=False)
    parts: RunParts = NO_PARTS
    conversation: ModelInput = field(factory=ModelInput, init=False, repr=False)
    answer_so_far: Callable[[], str] = field(default=str, init=False, repr=False)
    slots: trio.Semaphore = field(factory=functools.partial(trio.Semaphore, CONCURRENT_CALLS), init=False)
    actors: dict[ActorRef, CallAttempt | Attempt] = field(factory=dict, init=False)
    redirected: bool = field(default=False, init=False)
    stopped: bool = field(default=False, init=False)

    async def execute(
        self, calls: Sequence[ToolCallRecord], tools: Mapping[str, Tool], agent_id: str, context: Context
    ) -> list[ToolOutcome]:
        """Execute the calls that have not finished, which begin in the order of the requests. Return all outcomes.

        `tools` are those of the agent, by name. `Past.calls_in_doubt` has excluded doubts that cannot be settled.

        Raises:
            StorageUnavailable: A call could not be recorded. The other calls were stopped.
        """
        names = [record.request.name for record in calls]
        self.log.activity = f"running {', '.join(names[:CONCURRENT_CALLS])}"
        allowed = self.meter.allowed_calls(MAX_CALLS)
        self.meter.add_calls(min(allowed, sum(not record.taken for record in calls)))
        todo: list[RunCall] = []
        here: list[_Make] = []
        of_client: list[_Make] = []  # the client works on these when the others have ended
        unavailable: StorageUnavailable | None = None
        for number, record in enumerate(calls):
            request, tool = record.request, tools.get(record.request.name)
            if tool is not None:
                record = evolve(record, request=evolve(request, arguments=fitted(request.arguments, tool.parameters)))
            todo.append(call := RunCall(self, context, record.call_id, agent_id, request.name, past=record, tool=tool))
            if record.result is not None and record.step is not None:
                call.outcome = restored(record, ToolStatus(record.step.status), record.result)
                self._count_past(record.call_id)
                continue
            refused = "" if number < allowed else TOO_MANY if number >= MAX_CALLS else SPENT
            call.rests = tool is not None and tool.client
            self.questions.calls[call.call_id] = call
            (of_client if call.rests else here).append(functools.partial(call.make, tools, refused))
        if self.scope is not None:
            self.scope.rests = True
        try:
            await (here[0](trio.Event().set) if len(here) == 1 else _make_all(here))  # one needs no task of its own
            if resting := [call for call in todo if call.rests]:
                wait = ClientWait(tuple(call.call_id for call in resting), self.answer_so_far(), self.meter.used)
                for call in resting:
                    call.rests, call.client = False, wait
                await _make_all(of_client)
        except* StorageUnavailable as group:
            unavailable = StorageUnavailable(str(group.exceptions[0]))
        finally:
            for call in todo:
                call.rests = True  # one that was cut does not work any more
            if self.scope is not None:
                self.scope.rests = False
        if unavailable is not None:
            raise unavailable
        return [call.outcome for call in todo if call.outcome is not None]

    def _count_past(self, call_id: str) -> None:
        """Count what the subagent of a finished call spent, and those below it."""
        past = self.subagents.get(call_id)
        if past is None:
            return
        for usage in past.used:
            self.meter.add_usage(usage, turns=1)
        for call in (record for turn in past.turns for record in turn.calls):
            self.meter.add_calls(1)
            self._count_past(call.call_id)

    def context(self, call_id: str, progress: CallProgress, means: CallMeans, **fields: Any) -> ToolContext:
        """Return the context of a call; `fields` are further ones of it, such as `files`."""
        request, speaker = self.request, self.log.speaker
        names = (request.owner, request.thread_id, request.run_id, call_id)
        notebook, roles = speaker.notebook, request.roles
        context = tool_context(self.services, *names, agent=speaker.name, notebook=notebook, roles=roles)
        findings, references = request.findings_summary, request.references
        for part in self.parts.call_fields:
            fields |= part.call_fields(call_id)
        agents = functools.partial(reachable, self.services, speaker, request)
        means = evolve(means, attended=request.attended, agents=agents)
        return evolve(context, progress=progress, references=references, found=findings, means=means, **fields)

    def exited(self, ref: ActorRef, reason: Exit) -> None:
        """Complete the attempt whose actor has stopped, unless it was given up; `reason` says whether it crashed."""
        attempt = self.actors.pop(ref, None)
        if attempt is not None and not attempt.ended.is_set():
            if isinstance(reason, Crashed):
                attempt.exited(reason)
            attempt.ended.set()

    @property
    def lingering(self) -> tuple[str, ...]:
        """The tools of which a call goes on, also after `stop`: each once."""
        return tuple(dict.fromkeys(attempt.tool_name for ref, attempt in self.actors.items() if ref.alive))

    async def stop(self) -> None:
        """Stop the calls that are running, as they are not wanted any more; return when all have stopped.

        A function that shields itself, on the server's loop, is left behind after `STOP_S`: the run ends without it.
        """
        self.stopped = True
        with trio.move_on_after(STOP_S):
            async with trio.open_nursery() as nursery:
                for ref in [ref for ref, attempt in self.actors.items() if not attempt.ended.is_set()]:
                    nursery.start_soon(ref.stop, StopMode.NOW)

    def set_redirected(self, redirected: bool) -> None:
        """Deny the calls that wait for approval from now on, as a steer that is to enter now waits; or end that.

        Subagents end their turn, and answer with what they have, so that the steer enters soon; other calls go on.
        """
        self.redirected = redirected
        if redirected:
            for question in self.questions.consents():
                question.accept(Decide(question.name, ApprovalDecision.DENY, REDIRECTED))
            for ref in self.actors:
                ref.try_tell(EndTurn(""), lane=Lane.HIGH)

    async def complete_begun(self) -> None:
        """Complete the calls that were stopped before they ended.

        The log says which of them have begun, and which have ended: events of theirs may have been on their way.
        """
        if calls := self.begun_calls():
            await self.log.flush()
            logged = (await self.log.read_state()).calls
            for call in [call for call in calls if call.call_id in logged and not logged[call.call_id].ended]:
                if call.subagent is not None and logged[call.call_id].state != "delegated":
                    call.subagent.agent_id = ""
                call.attempt, call.note, call.effect_unknown, call.waited_s = None, "", False, 0.0
                await call.end(interrupted(call.past))

    def begun_calls(self) -> list[RunCall]:
        """Return the calls of this agent that have begun here and not ended."""
        calls = [call for call in self.questions.calls.values() if isinstance(call, RunCall)]
        return [call for call in calls if call.executor is self and call.began < math.inf]

    def close(self) -> None:
        """Drop the calls that have not ended: they refer to the run, and would keep it until a garbage collection."""
        for call in self.begun_calls():
            call.subagent = None
        self.questions.calls.clear()
