"""Translates the start and end of a run's subagents into AG-UI's, and attributes events to them. Pure."""

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
        """Return the member that attributes an event to the subagent of this id; empty if it is no subagent."""
        return {"subagentRunId": str(agent_id)} if agent_id in self._known else {}

    def started(self, event: SubagentStarted, asked_by: str | None) -> list[AguiEvent]:
        """Return the events for a subagent that started. `asked_by` is the id of the agent whose call asks it."""
        if event.agent_id in self._known:  # an invocation starts once, although its call is made again after a crash
            return []
        self._known.add(event.agent_id)
        start = {
            "type": "SUBAGENT_STARTED",
            "subagentRunId": event.agent_id,
            "name": event.agent,
            "description": event.message,
            "parentToolCallId": event.call_id,
        }
        if asked_by in self._known:
            start["parentSubagentRunId"] = asked_by
        self._at_work[event.agent_id] = start
        return [start]

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
        """Return the ids of the calls to subagents that wait for the user, themselves or by subagents of their own."""
        waiting: dict[str, str] = {}
        for agent_id, start in reversed(self._at_work.items()):
            parents = (self._at_work[name].get("parentSubagentRunId") for name in waiting)
            if agent_id in parents or interrupts.of_subagent(agent_id):
                waiting[agent_id] = start["parentToolCallId"]
        return set(waiting.values())

    def joined(self) -> list[AguiEvent]:
        """Return the events that tell a joining client of the subagents at work."""
        return list(self._at_work.values())

    def close(self, interrupts: Interrupts) -> list[AguiEvent]:
        """Return the events that suspend the subagents at work for a client whose run ends."""
        events = []
        for agent_id in reversed(self._at_work):
            interrupt_ids = interrupts.of_subagent(agent_id)
            events.append(
                _finished(agent_id, {"type": "suspended", **({"interruptIds": interrupt_ids} if interrupt_ids else {})})
            )
        self._at_work.clear()
        return events


def _finished(agent_id: str, outcome: AguiEvent) -> AguiEvent:
    return {"type": "SUBAGENT_FINISHED", "subagentRunId": agent_id, "outcome": outcome}
