"""The settling of calls whose run ended while it was unknown whether they took effect: their tools are asked. Pure.

The step of such a call says so until the answer is stored; a settling that lost its server is resumed by the next
conversation of the thread.
"""

import logging
from collections.abc import Mapping
from typing import Final

from attrs import define, evolve, field

from transport.wire.events import CallSettled
from understudy.agents.agent import Agent
from understudy.chat.conversation.active_run import ActiveRun
from understudy.chat.conversation.effects import Commit, Query, SettleCall, Settled, StartTimer, Steps
from understudy.chat.conversation.thread_state import RETRY_S, ThreadState
from understudy.chat.conversation.undo import template_after
from understudy.chat.run_protocol import OpenCall
from understudy.storage import queries
from understudy.storage.errors import StorageUnavailable
from understudy.storage.records import RunRecord, StepRecord
from understudy.tools.tool import Tool

log = logging.getLogger(__name__)

MAX_SETTLINGS: Final = 3
"""Attempts at settling one call after its run: a `reconcile` that kills its servers must not go on for ever."""
UNSETTLED: Final = "unsettled"
"""The status of the step of a call of an ended run whose tool is being asked whether it took effect."""


def given_up(step: StepRecord) -> StepRecord:
    """Return the step of an unsettled call as that of any interrupted one."""
    return evolve(step, status="started", result=None)


@define(eq=False)
class Settling:
    """The calls of a thread that are being settled: `doubts`, by id."""

    thread: ThreadState
    agents: Mapping[str, Agent]
    doubts: dict[str | None, SettleCall] = field(factory=dict, init=False)

    def tool_in_doubt(self, call: OpenCall) -> Tool | None:
        """Return the tool of an open call that may have taken effect: it was at work, and may not be repeated."""
        agent = self.agents.get(call.agent_id.rpartition("-")[0])
        tool = None if agent is None else agent.tool(call.tool_name)
        return None if call.waits or tool is None or tool.retry_safe else tool

    def begun(self, live: ActiveRun, doubts: Mapping[str, Tool]) -> Steps[list[SettleCall]]:
        """Return the calls in doubt whose tools can be asked, to be settled once the end of the run is committed."""
        settling: list[SettleCall] = []
        for call_id, tool in doubts.items():
            found = None if tool.reconcile is None else (yield _read_step(call_id))
            if found is not None:
                kept = {"attempts": 1, "agent": live.protocol.calls[call_id].agent_id.rpartition("-")[0]}
                step = evolve(found[0], status=UNSETTLED, result=kept)
                settling.append(SettleCall(live.envelope_template, step, tool))
        return settling

    def resume(self, run: RunRecord, step: StepRecord) -> Steps[None]:
        """Go on with the settling of a call that lost its server; after too many attempts the call stays unknown."""
        agent = self.agents.get(step.result["agent"])
        tool = None if agent is None else agent.tool(step.name)
        if tool is None or tool.reconcile is None or step.result["attempts"] >= MAX_SETTLINGS:
            unknown = CallSettled(step.call_id or "", step.name, "unknown")
            yield from self.settled(Settled(template_after(run), unknown, (given_up(step),)))
            return
        doubt = SettleCall(template_after(run), step, tool).with_attempts(1)
        try:
            yield Commit(self.thread.change(steps=(doubt.step,)))
        except StorageUnavailable:  # the recovery actor asks again
            log.warning("call.not_settled", extra={"run_id": run.id})
            return
        self.doubts[step.call_id] = doubt
        yield doubt

    def settled(self, settled: Settled) -> Steps[None]:
        """Commit whether a call of an ended run took effect. If it cannot be stored now, it is tried again later."""
        call_id = settled.event.call_id
        try:
            yield from self.thread.commit_after_end(settled.template, settled.event, settled.steps)
        except StorageUnavailable:
            log.warning("call.not_settled", extra={"run_id": settled.template.run_id})
            yield StartTimer(f"settle {call_id}", RETRY_S, settled)
        else:
            self.doubts.pop(call_id, None)


def _read_step(call_id: str) -> Query:
    return Query(lambda store: store.read(queries.step_of_call, call_id))
