"""Executes the tool calls of a run, or of a subagent: all calls of a turn work at the same time, within bounds.

1. The calls of a turn begin in the order of the requests. Those of the client's tools begin when the others have ended.
2. A call that has ended in the log is not made again; what it spent counts.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import trio
from attrs import define, evolve, field

from actors import ActorRef, Context, Crashed, Exit, Lane, StopMode
from understudy.chat.conversation.run_log import RunLog
from understudy.chat.effects import Attempt
from understudy.chat.messages import Decide, EndTurn, RunRequest
from understudy.chat.run.abilities import reachable
from understudy.chat.run.call import REDIRECTED, RunCall
from understudy.chat.run.call_attempt import CallAttempt
from understudy.chat.run.client_tools import ClientWait
from understudy.chat.run.meter import Meter
from understudy.chat.run.part import NO_PARTS, RunParts
from understudy.chat.run.progress_notes import CallProgress
from understudy.chat.run.questions import Questions
from understudy.chat.run.tool_outcome import ToolOutcome, interrupted, restored
from understudy.chat.run.window import ModelInput
from understudy.chat.run_state.past import Past
from understudy.chat.run_state.records import ToolCallRecord
from understudy.chat.services import Services, tool_context
from understudy.storage.errors import StorageUnavailable
from understudy.tools.context import CallMeans, ToolContext
from understudy.tools.parameters import fitted
from understudy.tools.tool import Tool
from understudy.wire.events import ApprovalDecision, ToolStatus

MAX_CALLS: Final = 64
"""Tool calls of one turn that are executed; further ones fail, so that a model cannot flood the server."""
CONCURRENT_CALLS: Final = 8
"""Tool calls of one run that work at the same time; the others of the turn are queued."""
STOP_S: Final = 6.0
"""Seconds for calls to stop at the end of their run; by then one that goes on is in the log as `actor.lingers`."""
TOO_MANY: Final = f"{MAX_CALLS} calls in one turn are the limit; make the others in the next turn."
SPENT: Final = "The run's budget of tool calls is spent; answer with what you have."


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
        every: list[RunCall] = []
        todo: list[tuple[RunCall, str]] = []  # each with the reason why it is refused, empty if it may be made
        for number, record in enumerate(calls):
            request, tool = record.request, tools.get(record.request.name)
            if tool is not None:
                record = evolve(record, request=evolve(request, arguments=fitted(request.arguments, tool.parameters)))
            call = RunCall(self, context, record.call_id, agent_id, request.name, past=record, tool=tool)
            every.append(call)
            if record.result is not None and record.step is not None:
                call.outcome = restored(record, ToolStatus(record.step.status), record.result)
                self._count_past(record.call_id)
                continue
            todo.append((call, "" if number < allowed else TOO_MANY if number >= MAX_CALLS else SPENT))
            call.rests = tool is not None and tool.client
            self.questions.calls[call.call_id] = call
        await self._make(todo, tools)
        return [call.outcome for call in every if call.outcome is not None]

    async def _make(self, todo: Sequence[tuple[RunCall, str]], tools: Mapping[str, Tool]) -> None:
        """Make calls: first the server's, then those of the client's tools, which rest until then."""
        unavailable: StorageUnavailable | None = None
        of_client = [item for item in todo if item[0].rests]
        if self.scope is not None:
            self.scope.rests = True
        try:
            await self._make_together([item for item in todo if not item[0].rests], tools)
            if of_client:
                ids = tuple(call.call_id for call, _ in of_client)
                wait = ClientWait(ids, self.answer_so_far(), self.meter.used)
                for call, _ in of_client:
                    call.rests, call.client = False, wait
                await self._make_together(of_client, tools)
        except* StorageUnavailable as group:
            unavailable = StorageUnavailable(str(group.exceptions[0]))
        finally:
            for call, _ in todo:
                call.rests = True  # one that was cut does not work any more
            if self.scope is not None:
                self.scope.rests = False
        if unavailable is not None:
            raise unavailable

    async def _make_together(self, todo: Sequence[tuple[RunCall, str]], tools: Mapping[str, Tool]) -> None:
        """Make calls at the same time, which begin in order."""
        if len(todo) == 1:  # it needs no task of its own
            ((call, refused),) = todo
            await call.make(tools, refused, trio.Event().set)
            return
        async with trio.open_nursery() as nursery:
            for call, refused in todo:
                begun = trio.Event()
                nursery.start_soon(call.make, tools, refused, begun.set)
                await begun.wait()

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
