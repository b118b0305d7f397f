"""The state shared by an AG-UI client and a run: the client's members, and under `understudy` those of the run. Pure.

The client's members are returned unchanged, because agents read them and do not write them.
"""

from collections.abc import Mapping
from typing import Any

from attrs import define, field

from transport.wire.events import Error
from understudy.extensions.agui.vocabulary import METADATA_KEY
from understudy.wire.events import (
    ApprovalDecided,
    ApprovalRequired,
    CallSettled,
    CallUndone,
    Envelope,
    FinalResponse,
    MessageAccepted,
    QuestionAnswered,
    QuestionAsked,
    SteerAccepted,
    SteerTaken,
    SteerWithdrawn,
    ToolCompleted,
    ToolExecuting,
    UndoStatus,
)

Operation = dict[str, Any]


@define
class SharedState:
    """The state of one run. `given` has the client's own members."""

    given: Mapping[str, Any] = field(factory=dict, repr=False)
    _own: dict[str, dict[str, Any]] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._own = {"run": {"status": "queued"}, "calls": {}, "steers": {}}

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state."""
        return {**self.given, METADATA_KEY: {name: dict(members) for name, members in self._own.items()}}

    def apply(self, envelope: Envelope) -> list[Operation]:
        """Apply an event of the run. Return its changes as a JSON Patch (RFC 6902)."""
        match envelope.event:
            case MessageAccepted(run_id=run_id):
                return self._set("run", id=run_id, status="working")
            case ToolExecuting(call_id=call_id, tool_name=name):
                return self._set("calls", **{call_id: {"tool": name, "status": "working"}})
            case ApprovalRequired(call_id=call_id):
                return [*self._change_call(call_id, status="waiting"), *self._set("run", status="waiting")]
            case ApprovalDecided(call_id=call_id):
                return [*self._change_call(call_id, status="working"), *self._set("run", status="working")]
            case QuestionAsked(asked_by="client", call_id=str(call_id)):
                return self._change_call(call_id, status="waiting")
            case QuestionAsked():
                return self._set("run", status="waiting")
            case QuestionAnswered():
                return self._set("run", status="working")
            case ToolCompleted(call_id=call_id, status=status, undo_until=until):
                undo = {} if until is None else {"undo_until": until}
                return self._change_call(call_id, status=status.value, **undo)
            case CallSettled(call_id=call_id, effect=effect):
                return self._change_call(call_id, effect=effect)
            case CallUndone(call_id=call_id, status=UndoStatus.OK):
                return self._change_call(call_id, status="undone", undo_until=None)
            case SteerAccepted(steer_id=name, content=content, mode=mode):
                return self._set("steers", **{name: {"content": content, "mode": mode, "status": "waiting"}})
            case SteerTaken(steer_id=name):
                return self._change_steer(name, "taken")
            case SteerWithdrawn(steer_id=name):
                return self._change_steer(name, "withdrawn")
            case FinalResponse(status=status):
                return self._set("run", status=status.value)
            case Error(code=code):
                return self._set("run", status="failed", code=code)
        return []

    def _set(self, section: str, **members: Any) -> list[Operation]:
        operations = []
        for name, value in members.items():
            current = self._own[section]
            if name not in current or current[name] != value:
                path = f"/{METADATA_KEY}/{section}/{_escaped(name)}"
                operations.append({"op": "replace" if name in current else "add", "path": path, "value": value})
                current[name] = value
        return operations

    def _change_call(self, call_id: str, **members: Any) -> list[Operation]:
        call = self._own["calls"].get(call_id)
        if call is None:
            return []
        new_call = {name: value for name, value in {**call, **members}.items() if value is not None}
        return self._set("calls", **{call_id: new_call})

    def _change_steer(self, name: str, status: str) -> list[Operation]:
        steer = self._own["steers"].get(name)
        return [] if steer is None else self._set("steers", **{name: {**steer, "status": status}})


def _escaped(name: str) -> str:
    """Return a name escaped for a JSON Pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
