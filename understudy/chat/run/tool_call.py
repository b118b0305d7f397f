"""Tool calls at work: each is an actor, with a time limit, that shows its progress and what its tool yields.

The crash of a tool is a failed outcome of its call, and never crashes the run.
"""

import functools
import math
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import trio
from attrs import define, evolve, field

from actors import Actor, ActorRef, ChildSpec, Context, Crashed, Exit, Lane, Restart, StopMode
from understudy.agents.agent import Agent
from understudy.chat.effects import GRACE_S, Attempt
from understudy.chat.messages import EndTurn, RunRequest
from understudy.chat.run.abilities import reachable
from understudy.chat.run.asking import Asking
from understudy.chat.run.call_waits import CallWaits
from understudy.chat.run.consent import CallConsent
from understudy.chat.run.deadline import suspend_deadlines
from understudy.chat.run.meter import Meter
from understudy.chat.run.partials import Partials
from understudy.chat.run.progress_notes import CallProgress
from understudy.chat.run.recorder import Recorder
from understudy.chat.run.replay import Replay
from understudy.chat.run.saved_files import SavedFiles
from understudy.chat.run.tool_outcome import HANDLE, ToolOutcome
from understudy.chat.services import Services, tool_context
from understudy.chat.stops import Enforcement, StoppedByOperator, sentence
from understudy.storage.errors import StorageUnavailable
from understudy.tools.context import CallHandle, CallMeans, ToolContext
from understudy.tools.errors import EffectUnknown, ToolError
from understudy.tools.loop import ToolLoop
from understudy.tools.tool import Tool
from understudy.wire.codes import ERRORS
from understudy.wire.events import SubagentStarted, ToolStatus

STOP_S: Final = 6.0
"""Seconds for calls to stop at the end of their run; by then one that goes on is in the log as `actor.lingers`."""


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
            self.partials.start_soon = context.start_soon

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
                own = error.message == outcome.unanswered
                outcome.fail(ToolStatus.FAILED, error.code, error.message, own=own)
                outcome.effect_unknown = isinstance(error, EffectUnknown)
            else:
                outcome.succeed(result)
        if limit.cancelled_caught:
            sentence = f"{self.tool.name} was stopped after {self.tool.timeout_s:g} s without a result."
            outcome.fail(ToolStatus.TIMED_OUT, "tool_timeout", sentence)
        context.stop()


def stoppable(tool: Tool) -> tuple[tuple[str, str], ...]:
    """Return the names under which operators may stop a call of a tool: its own, and that of the agent it asks."""
    return ("tool", tool.name), *([] if tool.agent is None else [("agent", tool.agent.name)])


@define(eq=False)
class ToolCalls:
    """The calls of a run that are at work: `running` maps their actors to what they fill in.

    `ask_agent` makes the actor of a call that asks a subagent; `replays` is the recorded progress of subagents by call
    id.
    """

    job: RunRequest
    services: Services
    recorder: Recorder
    waits: CallWaits
    meter: Meter
    consent: CallConsent
    asking: Asking
    replays: Mapping[str, Replay] = field(repr=False)
    ask_agent: Callable[[Tool, str, ToolOutcome], Actor] | None
    running: dict[ActorRef, ToolOutcome | Attempt] = field(factory=dict, init=False)
    _names: dict[ActorRef, str] = field(factory=dict, init=False)
    """The tools of the calls whose actors have not stopped: those at work, and those that were given up."""
    _stopped: bool = field(default=False, init=False)

    @property
    def lingering(self) -> tuple[str, ...]:
        """The tools of which a call goes on, also after `stop`: each once."""
        return tuple(dict.fromkeys(name for ref, name in self._names.items() if ref.alive))

    def started(self, ref: ActorRef, outcome: ToolOutcome | Attempt, tool: Tool) -> None:
        """Note the actor of a call, which the run watches, and what it fills in."""
        self.running[ref], self._names[ref] = outcome, tool.name

    def exited(self, ref: ActorRef, reason: Exit) -> None:
        """Complete the outcome of a call whose actor has stopped; `reason` says whether the tool crashed."""
        self._names.pop(ref, None)
        outcome = self.running.pop(ref, None)
        if outcome is None:
            return
        if isinstance(outcome, Attempt):
            outcome.exited(reason)
            return
        if isinstance(reason, Crashed):
            outcome.crash(reason.error, self.job.run_id)
            outcome.crashed = True
        outcome.ended.set()

    async def stop(self) -> None:
        """Stop the calls that are running, as they are not wanted any more; return when all have stopped.

        A function that shields itself, on the server's loop, is left behind after `STOP_S`: the run ends without it.
        """
        self._stopped = True
        with trio.move_on_after(STOP_S):
            async with trio.open_nursery() as nursery:
                for ref in list(self.running):
                    nursery.start_soon(ref.stop, StopMode.NOW)

    def set_redirected(self, redirected: bool) -> None:
        """Deny the calls that wait for approval from now on, as a steer that is to enter now waits; or end that.

        Subagents end their turn, and answer with what they have, so that the steer enters soon.
        """
        self.consent.redirected = redirected
        for call_id in list(self.waits.for_approval) if redirected else ():
            self.consent.deny_redirected(call_id)
        for ref in self.running if redirected else ():
            self._end_subagent_turn(ref)

    def _end_subagent_turn(self, ref: ActorRef) -> None:
        """End the turn of a subagent; other calls go on."""
        outcome = self.running[ref]
        if isinstance(outcome, ToolOutcome) and outcome.below is not None:
            ref.try_tell(EndTurn(""), lane=Lane.HIGH)

    def context(self, call_id: str, progress: CallProgress, means: CallMeans, **fields: Any) -> ToolContext:
        """Return the context of a call; `fields` are further ones of it, such as `files`."""
        job, speaker = self.job, self.recorder.speaker
        names = (job.owner, job.thread_id, job.run_id, call_id)
        given = tool_context(self.services, *names, agent=speaker.name, notebook=speaker.notebook, roles=job.roles)
        found, references = job.findings_summary, job.references
        if (spans := self.recorder.spans) is not None:
            fields["traceparent"] = spans.of_call(call_id).header
        agents = functools.partial(reachable, self.services, speaker, job)
        means = evolve(means, attended=job.attended, agents=agents)
        return evolve(given, progress=progress, references=references, found=found, means=means, **fields)

    async def run(
        self,
        tool: Tool,
        arguments: dict[str, Any],
        outcome: ToolOutcome,
        progress: CallProgress,
        agent_id: str,
        context: Context,
    ) -> None:
        """Run the tool in an actor of its own; the outcome is set afterwards, even if the actor crashes or hangs."""
        if (stop := self.services.stops.find(*stoppable(tool))) is not None:
            outcome.fail(ToolStatus.FAILED, "stopped", sentence(stop))
            return
        outcome.limits, outcome.questions, outcome.files = [], 0, []
        asker = functools.partial(self.asking.ask_for_tool, outcome, agent_id, context)
        partials = Partials(functools.partial(self._publish_partial, outcome.call_id))
        handle = CallHandle(
            outcome.handle,
            functools.partial(self._keep_handle, outcome),
            lambda: self._stopped or any(each.cancel_called for each in outcome.limits),
        )
        while_queued = functools.partial(self._while_queued, tool.name, outcome, progress)
        given = self.context(
            outcome.call_id,
            progress,
            CallMeans(asker, while_queued=while_queued, handle=handle),
            show_partial=partials.add,
            files=SavedFiles(self.services.attachments(self.job.owner), outcome.files),
        )
        call: Callable[[], Actor] = functools.partial(
            ToolCall, tool, arguments, given, outcome, self.services.parts.find(ToolLoop), partials
        )
        if tool.agent is not None and self.ask_agent is not None:
            try:
                request = tool.check(arguments)["request"]
            except ToolError as error:
                outcome.fail(ToolStatus.FAILED, error.code, error.message)
                return
            await self._start_subagent(tool.agent, outcome)
            call = functools.partial(self.ask_agent, tool, request, outcome)
        spec = ChildSpec(outcome.call_id, call, restart=Restart.TEMPORARY, shutdown_s=GRACE_S)
        ref = await context.spawn(spec)
        self.started(ref, outcome, tool)
        context.watch(ref)
        if self.consent.redirected:  # since the subagent began
            self._end_subagent_turn(ref)
        tool_s, run_s = tool.timeout_s + GRACE_S, self.meter.left_s(self.waits.deadline.worked_s)
        if tool.agent is not None:
            run_s = math.inf  # the subagent closes by itself
        limit = trio.CancelScope(deadline=trio.current_time() + min(tool_s, run_s))
        outcome.limits.append(limit)
        try:
            with Enforcement(self.services.stops, functools.partial(stoppable, tool), limit), limit:
                await outcome.ended.wait()
        except StoppedByOperator as stopped:
            self.running.pop(ref, None)
            ref.kill()
            outcome.fail(ToolStatus.FAILED, "stopped", str(stopped))
            outcome.effect_unknown = tool.agent is None and not tool.retry_safe
        else:
            if limit.cancelled_caught:
                self.running.pop(ref, None)
                ref.kill()
                why = "did not stop when its time was up."
                if run_s < tool_s:
                    why = "was stopped: the run's budget of time is spent."
                outcome.fail(ToolStatus.TIMED_OUT, "tool_timeout", f"{tool.name} {why}")
        if outcome.questions:
            await self.waits.deadline.resume(context.ref)  # still paused if the tool gave up its question itself

    @contextmanager
    def _while_queued(self, name: str, outcome: ToolOutcome, progress: CallProgress) -> Generator[None]:
        """Tell the user that a call waits for a worker thread; its time limits are suspended meanwhile."""
        progress(0.0, None, f"{name} is waiting for a free place")
        with suspend_deadlines(outcome.limits):
            yield

    async def _keep_handle(self, outcome: ToolOutcome, handle: str) -> None:
        """Commit the handle of a call's work. Raises `ToolError` ``storage_unavailable``."""
        assert outcome.step is not None  # noqa: S101 - for the type checker: a call at work has a step
        try:
            await self.recorder.record(steps=(evolve(outcome.step, result={HANDLE: handle}),))
        except StorageUnavailable:
            raise ToolError("storage_unavailable", ERRORS["storage_unavailable"].text) from None
        outcome.handle = handle

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
