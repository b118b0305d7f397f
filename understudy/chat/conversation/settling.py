"""The settling of calls whose run ended while it was unknown whether they took effect: their tools are asked.

The step of such a call says so until the answer is stored; a settling that lost its server is resumed by the next
conversation of the thread.
"""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Final

import trio
from attrs import asdict, define, evolve, field, frozen

from understudy.chat.conversation.active_run import ActiveRun
from understudy.chat.conversation.thread_log import RETRY_S, ThreadLog
from understudy.chat.conversation.workers import Settled, Workers
from understudy.chat.effects import Attempt
from understudy.chat.envelope import wrap_about_run
from understudy.chat.run_state.records import RecordedResult, ToolCallRecord
from understudy.chat.services import tool_context
from understudy.content.summary import is_suspect
from understudy.storage import queries
from understudy.storage.errors import StorageUnavailable
from understudy.storage.records import RunRecord, StepRecord
from understudy.tools.context import ToolContext
from understudy.tools.effects import Done, NotDone
from understudy.tools.loop import ToolLoop
from understudy.tools.tool import Tool
from understudy.wire.events import CallSettled, Envelope, Typing

log = logging.getLogger(__name__)

MAX_SETTLINGS: Final = 3
"""Attempts at settling one call after its run: a `reconcile` that kills its servers must not go on for ever."""
SETTLE_AFTER_S: Final = 2.0
"""Seconds from the end of a run until the tools of its calls in doubt are asked: a request on its way arrives first."""
UNSETTLED: Final = "unsettled"
"""The status of the step of a call of an ended run whose tool is being asked whether it took effect."""


def given_up(step: StepRecord) -> StepRecord:
    """Return the step of an unsettled call as that of any interrupted one."""
    return evolve(step, status="started", result=None)


@frozen
class Doubt:
    """A call of an ended run of which it is not known whether it took effect, and its tool, which can be asked.

    `step` is that of the call: its status says so until the answer is stored, its result has agent and attempts.
    """

    template: Envelope
    step: StepRecord
    tool: Tool

    def with_attempts(self, change: int) -> "Doubt":
        """Return the doubt with its count of attempts changed by `change`."""
        result = self.step.result
        return evolve(self, step=evolve(self.step, result=result | {"attempts": result["attempts"] + change}))


@define(eq=False)
class Settling:
    """The calls of a thread that are being settled: `doubts`, by id."""

    thread: ThreadLog
    workers: Workers
    doubts: dict[str, Doubt] = field(factory=dict, init=False)

    def tool_in_doubt(self, call: ToolCallRecord) -> Tool | None:
        """Return the tool of an open call that may have taken effect: it was at work, and may not be repeated."""
        agent = self.thread.services.agents.get(call.agent_id.rpartition("-")[0])
        tool = None if agent is None else agent.tool(call.tool_name)
        return None if call.waits or tool is None or tool.retry_safe else tool

    async def doubts_of(self, active: ActiveRun, tools: Mapping[str, Tool]) -> list[Doubt]:
        """Return the calls in doubt whose tools can be asked, to be settled once the end of the run is committed."""
        settling: list[Doubt] = []
        for call_id, tool in tools.items():
            row = None if tool.reconcile is None else await self.thread.store.read(queries.step_of_call, call_id)
            if row is not None:
                result = {"attempts": 1, "agent": active.state.calls[call_id].agent_id.rpartition("-")[0]}
                step = evolve(row[0], status=UNSETTLED, result=result)
                settling.append(Doubt(active.envelope_template, step, tool))
        return settling

    async def resume(self, run: RunRecord, step: StepRecord) -> None:
        """Go on with the settling of a call that lost its server; after too many attempts the call stays unknown."""
        agent = self.thread.services.agents.get(step.result["agent"])
        tool = None if agent is None else agent.tool(step.name)
        if tool is None or tool.reconcile is None or step.result["attempts"] >= MAX_SETTLINGS:
            unknown = CallSettled(step.call_id or "", step.name, "unknown")
            await self.store(Settled(template_after(run), unknown, (given_up(step),)))
            return
        doubt = Doubt(template_after(run), step, tool).with_attempts(1)
        try:
            await self.thread.commit(self.thread.change(steps=(doubt.step,)))
        except StorageUnavailable:  # the recovery actor asks again
            log.warning("call.not_settled", extra={"run_id": run.id})
            return
        await self.begin(doubt)

    async def begin(self, doubt: Doubt) -> None:
        """Ask the tool of a call, beside other work, whether the call took effect."""
        step, tool, call_id = doubt.step, doubt.tool, doubt.step.call_id or ""
        self.doubts[call_id] = doubt
        context = context_of_call(self.thread, step.run_id, call_id, step.result["agent"])

        async def work() -> object:
            await trio.sleep(SETTLE_AFTER_S)
            loop = self.thread.services.parts.find(ToolLoop)
            return await tool.settle(call_id, step.arguments or {}, context, loop)

        attempt = Attempt("reconcile", tool.name, step.run_id, call_id, SETTLE_AFTER_S + tool.timeout_s, work)
        await self.workers.start_attempt(attempt, partial(self._answered, attempt))

    async def _answered(self, attempt: Attempt) -> None:
        """Store what a tool has answered."""
        doubt = self.doubts.get(attempt.call_id)
        if doubt is None:  # the thread is being deleted
            return
        step, tool, answer, now = doubt.step, doubt.tool, attempt.answer, self.thread.now
        if not isinstance(answer, Done):
            word = "none" if isinstance(answer, NotDone) else "unknown"
            event, settled = CallSettled(attempt.call_id, step.name, word), given_up(step)
        else:
            scrub, result = self.thread.services.content_filter.filter_result, answer.result
            clean, summary = await scrub(result.value, result.summary)
            value = None if clean.blocked else clean.value
            summary = "The result is blocked." if clean.blocked else summary
            offered = tool.undo is not None and self.thread.services.settings.undo
            until = now + tool.undo_s if offered else None
            suspect = is_suspect(clean.findings)
            recorded = RecordedResult(value, summary, None, "", suspect, undo_until=until, agent=step.result["agent"])
            settled = evolve(step, result=asdict(recorded), status="ok", ended_at=now)
            event = CallSettled(attempt.call_id, step.name, "done", summary, until)
        await self.store(Settled(doubt.template, event, (settled,)))

    async def store(self, settled: Settled) -> None:
        """Commit whether a call of an ended run took effect. If it cannot be stored now, it is tried again later."""
        call_id = settled.event.call_id
        try:
            await self.thread.append_after_end(settled.template, settled.event, settled.steps)
        except StorageUnavailable:
            log.warning("call.not_settled", extra={"run_id": settled.template.run_id})
            self.workers.call_later(f"settle {call_id}", RETRY_S, settled)
        else:
            self.doubts.pop(call_id, None)


def template_after(run: RunRecord) -> Envelope:
    """Return the envelope of events about an ended run."""
    return wrap_about_run(run, Typing())


def context_of_call(
    thread: ThreadLog, run_id: str, call_id: str, agent: str, roles: tuple[str, ...] = ()
) -> ToolContext:
    """Return the context in which a tool of an ended run's agent is asked about one of its calls."""
    agents = thread.services.agents
    notebook = agents[agent].notebook if agent in agents else agent
    names = (thread.owner, thread.thread_id, run_id, call_id)
    return tool_context(thread.services, *names, agent=agent, notebook=notebook, roles=roles)
