"""The arc of a run, as a pure state: what has begun, what must still end, and how to end it whatever died.

1. A run is accepted once, and ends in exactly one `final_response` or `error`; nothing comes after it.
2. An agent starts before any other work; every agent that started completes.
3. Every tool call that began is completed, under the same `call_id`.
4. `closing` gives the events that keep 1 to 3 when the work itself can no longer do so.
"""

import enum

from attrs import define, field, frozen

from transport.codes import ERRORS
from transport.events import (
    TERMINAL,
    AgentCompleted,
    AgentStarted,
    Error,
    Event,
    FinalResponse,
    MessageAccepted,
    RunStatus,
    ToolCompleted,
    ToolExecuting,
    ToolStatus,
    Usage,
)


class ArcBroken(ValueError):
    """An event does not fit the arc of its run: it came twice, too early, or after the end."""


class Ending(enum.Enum):
    """Why a run ends without an answer, with the error code its user sees (None: not an error)."""

    CANCELLED = None
    TIMED_OUT = "agent_timeout"
    FAILED = "agent_failed"
    INTERRUPTED = "run_interrupted"
    NO_MODEL = "model_unavailable"
    NO_STORAGE = "storage_unavailable"


_AGENT_STATUS = {Ending.CANCELLED: RunStatus.CANCELLED, Ending.INTERRUPTED: RunStatus.INTERRUPTED}
_CALL_STATUS = {
    Ending.CANCELLED: ToolStatus.CANCELLED,
    Ending.TIMED_OUT: ToolStatus.TIMED_OUT,
    Ending.INTERRUPTED: ToolStatus.KILLED,
}
_CALL_TEXT = {
    ToolStatus.CANCELLED: "Stopped before it was finished.",
    ToolStatus.TIMED_OUT: "Took longer than it is allowed to.",
    ToolStatus.KILLED: "Was interrupted before it was finished.",
    ToolStatus.FAILED: "Failed.",
}


@frozen
class OpenCall:
    """A tool call that has begun and not ended; `since` is in Unix seconds."""

    agent_id: str
    call_id: str
    tool_name: str
    since: float


@define
class Arc:
    """Where one run stands in its promise. Built by `note`-ing the run's durable events in order."""

    run_id: str
    accepted: bool = False
    ended: bool = False
    any_agent: bool = False
    agents: dict[str, float] = field(factory=dict)
    calls: dict[str, OpenCall] = field(factory=dict)
    usage: Usage = field(factory=Usage)

    def note(self, event: Event) -> None:
        """Take one durable event of the run into account.

        Raises:
            ArcBroken: The event breaks the promise; the state is unchanged.
        """
        if self.ended:
            raise ArcBroken(f"{event.type} after the end of run {self.run_id}")
        if self.accepted == isinstance(event, MessageAccepted):
            raise ArcBroken(f"{event.type} {'twice' if self.accepted else 'before message_accepted'}")
        match event:
            case MessageAccepted():
                self.accepted = True
            case AgentStarted(agent_id=agent_id, timestamp=at):
                if agent_id in self.agents:
                    raise ArcBroken(f"agent {agent_id} started twice")
                self.agents[agent_id] = at
                self.any_agent = True
            case AgentCompleted(agent_id=agent_id, usage=usage):
                if self.agents.pop(agent_id, None) is None:
                    raise ArcBroken(f"agent {agent_id} completed without a start")
                self.usage = self.usage + usage
            case ToolExecuting(agent_id=agent_id, call_id=call_id, tool_name=name, timestamp=at):
                if call_id in self.calls or not self.any_agent:
                    raise ArcBroken(f"tool call {call_id} began twice or before an agent")
                self.calls[call_id] = OpenCall(agent_id, call_id, name, at)
            case ToolCompleted(call_id=call_id):
                if self.calls.pop(call_id, None) is None:
                    raise ArcBroken(f"tool call {call_id} completed without a start")
            case _ if isinstance(event, TERMINAL):
                if self.calls or self.agents or not self.any_agent:
                    raise ArcBroken(f"{event.type} while calls or agents are open")
                self.ended = True
            case _ if not self.any_agent:
                raise ArcBroken(f"{event.type} before agent_started")

    def closing(
        self, ending: Ending, *, now: float, text: str = "", sentence: str = "", error_id: str = ""
    ) -> list[Event]:
        """Give the events that end the run from here, in order; an empty list when it has ended.

        `now` is in Unix seconds, `text` the answer streamed so far, `sentence` replaces the error code's own text.
        """
        if self.ended:
            return []
        status = _AGENT_STATUS.get(ending, RunStatus.FAILED)
        events: list[Event] = [_close_call(call, ending, now) for call in reversed(self.calls.values())]
        agents = list(self.agents)
        if not self.any_agent:
            agents = [f"none-{self.run_id}"]
            events.append(AgentStarted(agents[0], "No agent could begin", now))
        events += [AgentCompleted(agent_id, "", status, Usage(), now) for agent_id in reversed(agents)]
        if ending.value is None:
            events.append(FinalResponse(text, RunStatus.CANCELLED, self.usage))
        else:
            code = ERRORS[ending.value]
            events.append(Error(code.name, sentence or code.text, code.retryable, error_id))
        return events


def _close_call(call: OpenCall, ending: Ending, now: float) -> ToolCompleted:
    status = _CALL_STATUS.get(ending, ToolStatus.FAILED)
    return ToolCompleted(
        agent_id=call.agent_id,
        call_id=call.call_id,
        tool_name=call.tool_name,
        result=None,
        result_summary=_CALL_TEXT[status],
        status=status,
        duration_ms=max(0.0, now - call.since) * 1000,
        timestamp=now,
    )
