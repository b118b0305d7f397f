"""The subagents of a run, as AG-UI's: their lives, and which events are theirs. Pure."""

from collections.abc import Mapping
from typing import Final

from attrs import define, field

from understudy.extensions.agui.interrupts import Interrupts
from understudy.extensions.agui.vocabulary import AguiEvent
from understudy.wire.events import RunStatus, SubagentCompleted, SubagentStarted

_REASONS: Final[Mapping[RunStatus, str]] = {
    RunStatus.CANCELLED: "The subagent was stopped.",
    RunStatus.FAILED: "The subagent failed.",
    RunStatus.INTERRUPTED: "The subagent was interrupted.",
}


@define
class Subagents:
    """The subagents of a run. The id of an invocation is the subagent's `agent_id`."""

    _at_work: dict[str, AguiEvent] = field(factory=dict, init=False, repr=False)
    _known: set[str] = field(factory=set, init=False)

    def attribution(self, agent_id: object) -> dict[str, str]:
        """Return the member that gives an event to the subagent of this id; empty if it is none."""
        return {"subagentRunId": str(agent_id)} if agent_id in self._known else {}

    def started(self, event: SubagentStarted, asked_by: str | None) -> list[AguiEvent]:
        """Return the events for a subagent that started; `asked_by` is the agent whose call asks it."""
        if event.agent_id in self._known:  # an invocation starts once, also if its call was made again after a crash
            return []
        self._known.add(event.agent_id)
        told = {
            "type": "SUBAGENT_STARTED",
            "subagentRunId": event.agent_id,
            "name": event.agent,
            "description": event.message,
            "parentToolCallId": event.call_id,
        }
        if asked_by in self._known:
            told["parentSubagentRunId"] = asked_by
        self._at_work[event.agent_id] = told
        return [told]

    def completed(self, event: SubagentCompleted) -> list[AguiEvent]:
        """Return the events for a subagent that ended."""
        if self._at_work.pop(event.agent_id, None) is None:
            return []
        if event.status is RunStatus.SUCCESS:
            return [_finished(event.agent_id, {"type": "success"})]
        reason = _REASONS[event.status]
        return [
            {
                "type": "SUBAGENT_ERROR",
                "subagentRunId": event.agent_id,
                "message": reason,
                "code": event.status.value,
            }
        ]

    def waiting_calls(self, interrupts: Interrupts) -> set[str]:
        """Return the calls that ask a subagent which waits for the user, itself or by a subagent of its own."""
        waiting: dict[str, str] = {}
        for agent_id, told in reversed(self._at_work.items()):
            below = (self._at_work[name].get("parentSubagentRunId") for name in waiting)
            if agent_id in below or interrupts.of_subagent(agent_id):
                waiting[agent_id] = told["parentToolCallId"]
        return set(waiting.values())

    def joined(self) -> list[AguiEvent]:
        """Return the events by which a client that joins the run learns of the subagents at work."""
        return list(self._at_work.values())

    def close(self, interrupts: Interrupts) -> list[AguiEvent]:
        """Return the events that end the subagents for a client for whom the run ends: they wait, or work on."""
        ended = []
        for agent_id in reversed(self._at_work):
            raised = interrupts.of_subagent(agent_id)
            ended.append(_finished(agent_id, {"type": "suspended", **({"interruptIds": raised} if raised else {})}))
        self._at_work.clear()
        return ended


def _finished(agent_id: str, outcome: AguiEvent) -> AguiEvent:
    return {"type": "SUBAGENT_FINISHED", "subagentRunId": agent_id, "outcome": outcome}
