"""The tool calls of one turn of a model: side by side, each by an actor of its own, each with its pair of events."""

import logging
import uuid
from collections.abc import Sequence
from typing import Any

import trio
from attrs import define, evolve, field

from actors import ActorRef, ChildSpec, Context, Crashed, Exit, Restart
from transport.events import ToolCompleted, ToolExecuting, ToolStatus
from understudy.agents.agent import Agent
from understudy.chat.messages import Job
from understudy.chat.recorder import Recorder
from understudy.chat.services import Services
from understudy.chat.tool_call import Outcome, ToolCall, broke
from understudy.models.model import ToolCall as Call
from understudy.observe.logs import new_error_id
from understudy.storage.errors import StorageUnavailable
from understudy.tools.tool import Tool, ToolContext

log = logging.getLogger(__name__)

CALLS = 8
"""Tool calls of one turn that are made; more are refused, so that a model cannot flood the server."""
GRACE_S = 2.0
"""What a tool call gets beyond its own limit before its actor is killed and the run goes on without it."""
SHOWN = 2000
"""Characters of a parameter that an event shows; the step keeps it whole."""


@define
class ToolRound:
    """Makes the calls of a run. `alive` maps the actors at work to the outcomes they write."""

    job: Job
    services: Services
    recorder: Recorder
    alive: dict[ActorRef, Outcome] = field(factory=dict, init=False)

    async def call(self, calls: Sequence[Call], agent: Agent, agent_id: str, context: Context) -> list[Outcome]:
        """Make all calls and return how each ended, in the order they were asked for.

        Raises:
            StorageUnavailable: A call could not be recorded; the calls still running were stopped.
        """
        self.recorder.doing = "running " + ", ".join(call.name for call in calls[:CALLS])
        outcomes = [Outcome(call, uuid.uuid4().hex) for call in calls]
        unavailable: StorageUnavailable | None = None
        try:
            async with trio.open_nursery() as nursery:
                for number, outcome in enumerate(outcomes):
                    nursery.start_soon(self._call, outcome, number >= CALLS, agent, agent_id, context)
        except* StorageUnavailable as group:
            unavailable = StorageUnavailable(str(group.exceptions[0]))
        if unavailable is not None:
            raise unavailable
        return outcomes

    def ended(self, ref: ActorRef, reason: Exit) -> None:
        """A tool call's actor is gone; `reason` says whether the tool's code broke."""
        outcome = self.alive.pop(ref, None)
        if outcome is None:
            return
        if isinstance(reason, Crashed):
            error_id = new_error_id()
            extra = {"tool": outcome.call.name, "error_id": error_id, "run_id": self.job.run_id}
            log.error("tool.crashed", extra=extra, exc_info=reason.error)
            broke(outcome, error_id)
        outcome.ended.set()

    async def stop(self) -> None:
        """Stop the calls that are still at work; returns when none is."""
        for ref in list(self.alive):
            await ref.stop()

    async def _call(self, outcome: Outcome, refused: bool, agent: Agent, agent_id: str, context: Context) -> None:
        call, began = outcome.call, self.services.clock()
        tool = agent.tool(call.name)
        description = call.description or (tool.description if tool else f"Calling {call.name}")
        shown = {name: _shown(value) for name, value in call.arguments.items()}
        step = self.recorder.step("tool", call.name, outcome.call_id, dict(call.arguments), began)
        await self.recorder.record(
            ToolExecuting(agent_id, outcome.call_id, call.name, shown, description[:SHOWN], began), steps=(step,)
        )
        if refused:
            outcome.fail(ToolStatus.FAILED, "invalid_arguments", f"{CALLS} calls at a time are the limit.")
        elif tool is None:
            outcome.fail(ToolStatus.FAILED, "invalid_arguments", f"This agent has no tool called {call.name}.")
        else:
            await self._run(tool, outcome, context)
        now = self.services.clock()
        self.services.observer.tool_ended(call.name, outcome.status.value, now - began)
        await self.recorder.record(
            ToolCompleted(
                agent_id=agent_id,
                call_id=outcome.call_id,
                tool_name=call.name,
                result=outcome.value,
                result_summary=outcome.summary,
                status=outcome.status,
                duration_ms=(now - began) * 1000,
                timestamp=now,
            ),
            steps=(evolve(step, result=outcome.value, status=outcome.status.value, ended_at=now),),
        )

    async def _run(self, tool: Tool, outcome: Outcome, context: Context) -> None:
        """Have the call made by an actor of its own; whatever becomes of that one, the outcome is known afterwards."""
        arguments, about = dict(outcome.call.arguments), self._about(outcome.call_id)
        spec = ChildSpec(
            outcome.call_id,
            lambda: ToolCall(tool, arguments, about, outcome),
            restart=Restart.TEMPORARY,
            shutdown_s=GRACE_S,
        )
        ref = await context.spawn(spec)
        self.alive[ref] = outcome
        context.watch(ref)
        with trio.move_on_after(tool.timeout_s + GRACE_S) as limit:
            await outcome.ended.wait()
        if limit.cancelled_caught:
            self.alive.pop(ref, None)
            ref.kill()
            outcome.fail(ToolStatus.TIMED_OUT, "tool_timeout", f"{tool.name} did not stop when its time was up.")

    def _about(self, call_id: str) -> ToolContext:
        job = self.job
        return ToolContext(
            owner=job.owner,
            thread_id=job.thread_id,
            run_id=job.run_id,
            call_id=call_id,
            references=job.references,
            files=self.services.attachments(job.owner),
            server=self.services.server,
            progress=self.recorder.progress,
        )


def _shown(value: Any) -> Any:
    if isinstance(value, str) and len(value) > SHOWN:
        return f"{value[:SHOWN]}… ({len(value) - SHOWN:,} more characters)"
    return value
