"""The outcome of a tool call: what becomes of it, and what its step keeps."""

import logging
from typing import TYPE_CHECKING, Any

import trio
from attrs import asdict, define, field

from understudy.chat.run.replay import RecordedResult
from understudy.models.model import ToolRequest
from understudy.observe.logs import new_error_id
from understudy.storage.records import StepRecord
from understudy.tools.containment import sentences_of
from understudy.tools.result import OwnResult, ToolResult
from understudy.wire.codes import ERRORS
from understudy.wire.events import NO_USAGE, ToolStatus, Usage

if TYPE_CHECKING:
    from understudy.chat.run.tool_executor import ToolExecutor

log = logging.getLogger(__name__)

RECORDED = ("value", "summary", "visualization", "note", "suspect", "kind", "answer", "next_steps", "files")
"""Fields of an outcome that its step keeps under the same names."""

HANDLE = "handle"
"""Key of the handle in the result of the step of a call at work."""


@define(eq=False)
class ToolOutcome:
    """The outcome of a call: created by the run, filled in by the call. Left as created, it means the call was killed.

    `call_id` is the server's own id: the ids that models give need not be unique. `note` is the user's note with the
    approval. `suspect`: the result contains text that looks like instructions, of which the model is warned. `answer`,
    unless empty, is the answer of the run. `limits` are the scopes of the call's time limits, `questions` counts what
    its tool has asked, one question at a time; `waited_s` is how long it waited for the user. `crashed`: the tool
    raised something else than a `ToolError`; `own`: the result is the server's own sentence, in which nothing is looked
    for; `unanswered` is the one that says that the user did not answer; `effect_unknown`: the call may have taken
    effect although it did not succeed; `by_user`: its user says that it did; `undo_s` is how long it can be undone.
    `agent_id` is that of the subagent that it asked, if any, `usage` what that used of its model, and `below` executes
    the calls of that. `step` is that of the call, once it has one, and `handle` what its tool keeps there to find its
    work again. `files` are the cards of the files that it saved, also if it failed after that. `widget` names the user
    interface of its tool, if it is to be shown.
    """

    request: ToolRequest
    call_id: str
    status: ToolStatus = ToolStatus.KILLED
    value: Any = field(default=None, repr=False)
    summary: str = "Was interrupted before it was finished."
    visualization: dict[str, Any] | None = field(default=None, repr=False)
    kind: str = ""
    answer: str = field(default="", repr=False)
    next_steps: list[dict[str, Any]] = field(factory=list, repr=False)
    files: list[dict[str, Any]] = field(factory=list, repr=False)
    widget: dict[str, str] | None = None
    note: str = field(default="", repr=False)
    suspect: bool = False
    crashed: bool = False
    own: bool = False
    unanswered: str = ""
    effect_unknown: bool = False
    by_user: bool = False
    undo_s: float | None = None
    ended: trio.Event = field(factory=trio.Event, repr=False)
    limits: list[trio.CancelScope] = field(factory=list, repr=False)
    questions: int = 0
    waited_s: float = 0.0
    asking: trio.Lock = field(factory=trio.Lock, repr=False)
    agent_id: str = ""
    usage: Usage = NO_USAGE
    below: "ToolExecutor | None" = field(default=None, repr=False)
    step: StepRecord | None = field(default=None, repr=False)
    handle: str | None = field(default=None, repr=False)

    def begin(self, step: StepRecord) -> None:
        """Take note of the call's step, and of the handle that an interrupted attempt has kept in it."""
        self.step = step
        if step.ended_at is None and isinstance(step.result, dict):
            self.handle = step.result.get(HANDLE)

    def fail(self, status: ToolStatus, code: str, sentence: str, *, own: bool = False) -> None:
        """Set the failure, as a result that clients and models can read."""
        self.own = own
        self.status, self.summary, self.visualization, self.kind, self.answer = status, sentence, None, "", ""
        self.next_steps = []
        self.value = {"error": {"code": code, "message": sentence}}

    def succeed(self, result: ToolResult) -> None:
        """Set the result of the tool."""
        self.own = self.by_user or isinstance(result, OwnResult)
        self.status, self.value, self.summary = ToolStatus.OK, result.value, result.summary
        self.visualization, self.kind, self.answer = result.visualization, result.kind, result.answer
        self.next_steps = [asdict(each) for each in result.next_steps]

    def recorded(self, undo_until: float | None = None, agent: str = "") -> RecordedResult:
        """Return the outcome as the call's step keeps it; see `RecordedResult` for the arguments."""
        return RecordedResult(**{name: getattr(self, name) for name in RECORDED}, undo_until=undo_until, agent=agent)

    def restore(self, status: ToolStatus, past: RecordedResult) -> None:
        """Set the outcome of a call that finished before, from its step."""
        self.status = status
        for name in RECORDED:
            setattr(self, name, getattr(past, name))

    def crash(self, error: BaseException, run_id: str) -> None:
        """Set the failure of a tool that raised something else than a `ToolError`, or that beside one, and log it."""
        error_id = new_error_id()
        extra = {"tool": self.request.name, "error_id": error_id, "run_id": run_id}
        log.error("tool.crashed", extra=extra, exc_info=error)
        said = sentences_of(error)
        sentence = f"{said or ERRORS['tool_failed'].text} (error {error_id})"
        self.fail(ToolStatus.FAILED, "tool_failed", sentence, own=not said)
