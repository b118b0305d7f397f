"""Events of a run, and the state that some of them make."""

from transport.wire.events import Event
from understudy.chat.run_state.state import RunState
from understudy.wire import events as wire

ACCEPTED = wire.MessageAccepted("m", "r", "hello")
STARTED = wire.AgentStarted("a", "on it", 1.0)
CALLING = wire.ToolExecuting("a", "c", "echo", {}, "", 2.0)
CALLED = wire.ToolCompleted("a", "c", "echo", 1, "", wire.ToolStatus.OK, 1.0, 3.0)
DONE = wire.AgentCompleted("a", "", wire.RunStatus.SUCCESS, wire.Usage(1, 2, 1), 4.0)
ASKED = wire.ApprovalRequired("a", "c", "echo", {}, 300.0)
ALLOWED, REFUSED, EXPIRED = (wire.ApprovalDecided("c", decision) for decision in wire.ApprovalDecision)
FAILED = wire.AgentError("a", "internal", "no", True, "e")


def arc(*events: Event) -> RunState:
    state = RunState("r")
    for event in events:
        state.apply(event)
    return state
