"""What a run's log and steps say of its agents, calls, questions and steers. Pure.

`state` is where each stands, by `understudy.chat.run_state.transitions`.
"""

from collections.abc import Mapping
from typing import Any, Final

from attrs import field, frozen

from understudy.chat.run_state.transitions import ENDED, NEW
from understudy.models.model import ToolRequest
from understudy.storage.records import StepRecord
from understudy.wire.events import (
    ApprovalDecided,
    ApprovalDecision,
    ApprovalRequired,
    QuestionAnswered,
    QuestionAsked,
    SteerAccepted,
)

NO_REQUEST: Final = ToolRequest("", "", {})


@frozen
class AgentRecord:
    """An agent of a run; a subagent has the `call_id` of the call that asks it, any other None."""

    agent_id: str
    state: str
    call_id: str | None = None

    @property
    def name(self) -> str:
        """The name of the agent."""
        return self.agent_id.rpartition("-")[0]


@frozen
class RecordedResult:
    """The result of a finished call's step.

    The call can be undone until `undo_until` (Unix seconds), None if it cannot; `agent` is the name of the agent whose
    tool was called.
    """

    value: Any = field(repr=False)
    summary: str
    visualization: dict[str, Any] | None = field(repr=False)
    note: str = field(repr=False)
    suspect: bool
    kind: str = ""
    answer: str = field(default="", repr=False)
    next_steps: list[dict[str, Any]] = field(factory=list, repr=False)
    files: list[dict[str, Any]] = field(factory=list, repr=False)
    undo_until: float | None = None
    agent: str = ""


@frozen
class ToolCallRecord:
    """A tool call: what its model requested, what the log has of it, and its step. `call_id` is the server's own id.

    `state` is empty if the run's log does not have its start, as of a call that another run began, with which this one
    goes on; else the call is of the agent `agent_id`, and began at `began_at` (Unix seconds). It worked for `worked_s`,
    once it has ended. `required` and `decided` are about its user's approval. A `request` is empty before the turn is
    recorded, and `whole` if its arguments are as the model wrote them, unredacted. `step` is None if the call has not
    started, `result` if it has not finished. `asking`: its tool waits for the answer to the first question that it
    asked. `taken`: it finished in another run, and counts there.
    """

    call_id: str
    request: ToolRequest = NO_REQUEST
    whole: bool = True
    step: StepRecord | None = field(default=None, repr=False)
    result: RecordedResult | None = None
    state: str = NEW
    agent_id: str = ""
    tool_name: str = ""
    began_at: float = 0.0
    worked_s: float = 0.0
    required: ApprovalRequired | None = field(default=None, repr=False)
    decided: ApprovalDecided | None = field(default=None, repr=False)
    asking: bool = False
    taken: bool = False

    @property
    def announced(self) -> bool:
        """Whether the log has its start."""
        return self.state != NEW

    @property
    def ended(self) -> bool:
        """Whether the log has its end."""
        return self.state == ENDED

    @property
    def waits(self) -> bool:
        """Whether it waits for its user's approval."""
        return self.state == "asks"

    @property
    def in_doubt(self) -> bool:
        """Whether the call may have run without its outcome being recorded."""
        if self.step is None or self.result is not None:
            return False
        if self.asking and (self.whole or self.required is not None):
            return False
        return self.required is None or (self.decided is not None and self.decided.decision is ApprovalDecision.ALLOW)


@frozen
class QuestionRecord:
    """A question of a run, and its answer if the log has one."""

    asked: QuestionAsked
    state: str = "asked"
    answered: QuestionAnswered | None = None

    @property
    def waits(self) -> bool:
        """Whether it waits for its user's answer."""
        return self.state == "asked"


@frozen
class SteerRecord:
    """A steer of a run."""

    accepted: SteerAccepted
    state: str = "waiting"


def calls_that_ask(questions: Mapping[str, QuestionRecord]) -> set[str]:
    """Return the calls whose tools wait for the answer to the first question that they asked. Tools ask before they
    act: such a call has had no effect. After an answer it may have."""
    records = questions.values()
    by_tools = [record for record in records if record.asked.asked_by != "server" and record.asked.call_id]
    waiting = {str(record.asked.call_id) for record in by_tools if record.answered is None}
    return waiting - {str(record.asked.call_id) for record in by_tools if record.answered is not None}
