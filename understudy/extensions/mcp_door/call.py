"""Follows a call of an MCP client through the events of its run. Pure."""

from collections.abc import Mapping
from typing import Any

from attrs import define, field
from mcp_types import CallToolResult, ContentBlock, ElicitRequest

from transport.wire.events import Error
from understudy.extensions.mcp_door.results import APPROVAL, QUESTION, answer_result, elicitation, failure, tool_result
from understudy.wire.events import (
    ApprovalDecided,
    ApprovalRequired,
    Envelope,
    FinalResponse,
    QuestionAnswered,
    QuestionAsked,
    ToolCompleted,
)


@define
class FollowedCall:
    """The run of a call's message: `waits` are its open questions, `end` is its last event, `files` its tools saved."""

    thread_id: str
    message_id: str
    run_id: str | None = None
    end: FinalResponse | Error | None = None
    completed: ToolCompleted | None = None
    files: list[Mapping[str, Any]] = field(factory=list)
    waits: dict[str, ApprovalRequired | QuestionAsked] = field(factory=dict)

    def take(self, envelope: Envelope) -> bool:
        """Apply an event of the thread. Return whether it belongs to this run."""
        if self.run_id is None and envelope.message_id == self.message_id:
            self.run_id = envelope.run_id
        if envelope.run_id is None or envelope.run_id != self.run_id:
            return False
        match envelope.event:
            case FinalResponse() | Error() as end:
                self.end = end
            case ToolCompleted() as completed:
                self.completed = completed
                self.files += completed.files or ()
                self.waits = {name: item for name, item in self.waits.items() if item.call_id != completed.call_id}
            case ApprovalRequired(call_id=name) as wait:
                self.waits[APPROVAL + name] = wait
            case QuestionAsked(question_id=name) as wait:
                self.waits[QUESTION + name] = wait
            case ApprovalDecided(call_id=name):
                self.waits.pop(APPROVAL + name, None)
            case QuestionAnswered(question_id=name):
                self.waits.pop(QUESTION + name, None)
        return True

    def questions(self, refusals: Mapping[str, str]) -> dict[str, ElicitRequest]:
        """Return the questions that a client can ask its user, by name. `refusals`: why its answers were refused."""
        requests = {name: elicitation(wait, refusals.get(name, "")) for name, wait in self.waits.items()}
        return {name: request for name, request in requests.items() if request is not None}

    def result(self, files: Mapping[str, ContentBlock], *, asked: bool) -> CallToolResult:
        """Return the result of the ended call. `asked`: the call was to an agent, not to one of its tools."""
        match self.end:
            case FinalResponse() as final if asked:
                return answer_result(final, self.thread_id, self.run_id or "", files)
            case FinalResponse() as final:
                return tool_result(self.completed, final, files)
            case Error() as error:
                return failure(f"{error.message} (error id {error.error_id})" if error.error_id else error.message)
        raise ValueError("the call has not ended")
