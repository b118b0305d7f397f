"""Events of a run, and the state that some of them make."""

from transport.wire.events import Event
from understudy.chat.run_state.state import RunState
from understudy.wire.events import (
    AgentCompleted,
    AgentError,
    AgentStarted,
    ApprovalDecided,
    ApprovalDecision,
    ApprovalRequired,
    MessageAccepted,
    RunStatus,
    ToolCompleted,
    ToolExecuting,
    ToolStatus,
    Usage,
)

ACCEPTED = MessageAccepted("m", "r", "hello")
STARTED = AgentStarted("a", "on it", 1.0)
CALLING = ToolExecuting("a", "c", "echo", {}, "", 2.0)
CALLED = ToolCompleted("a", "c", "echo", 1, "", ToolStatus.OK, 1.0, 3.0)
DONE = AgentCompleted("a", "", RunStatus.SUCCESS, Usage(1, 2, 1), 4.0)
ASKED = ApprovalRequired("a", "c", "echo", {}, 300.0)
ALLOWED, REFUSED, EXPIRED = (ApprovalDecided("c", decision) for decision in ApprovalDecision)
FAILED = AgentError("a", "internal", "no", True, "e")


def arc(*events: Event) -> RunState:
    state = RunState("r")
    for event in events:
        state.apply(event)
    return state
