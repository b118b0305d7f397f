"""The tool call actor: one call of one tool. Its crash is a result, never the crash of the run that asked for it."""

import functools
from typing import Any

import trio
from attrs import define, field

from actors import Actor, Context
from sanitization import Finding
from transport.wire.codes import ERRORS
from transport.wire.events import ToolStatus
from understudy.chat.run.replay import PendingCall
from understudy.content.summary import is_suspect
from understudy.models.model import ToolRequest as Call
from understudy.tools.tool import Tool, ToolContext, ToolError, ToolResult


@define(eq=False)
class ToolOutcome:
    """How a call ended. Made by the run, filled in by the call; one that stays empty means the call was killed.

    `call_id` is our own: what a model calls its calls need not be unique. `note` is what the user said when they
    allowed it. `findings` are what was found in what it gave, and `omitted` how many more; `suspected` says so of a
    call that another server finished. `answer` ends the run, as what it says.
    """

    request: Call
    call_id: str
    status: ToolStatus = ToolStatus.KILLED
    value: Any = field(default=None, repr=False)
    summary: str = "Was interrupted before it was finished."
    visualization: dict[str, Any] | None = field(default=None, repr=False)
    kind: str = ""
    answer: str = field(default="", repr=False)
    note: str = field(default="", repr=False)
    findings: tuple[Finding, ...] = ()
    omitted: int = 0
    recorded_suspect: bool = False
    ended: trio.Event = field(factory=trio.Event, repr=False)

    @property
    def suspect(self) -> bool:
        """Whether what it gave holds what looks like instructions: a model is warned of it besides the fence."""
        return self.recorded_suspect or is_suspect(self.findings)

    @property
    def step_result(self) -> dict[str, Any]:
        """The result of the call's step: all that is needed to know how it ended."""
        return {
            "value": self.value,
            "summary": self.summary,
            "visualization": self.visualization,
            "kind": self.kind,
            "answer": self.answer,
            "note": self.note,
            "suspect": self.suspect,
        }

    @classmethod
    def from_step(cls, wanted: PendingCall) -> "ToolOutcome":
        """The outcome of a call: what its step says, if it has ended."""
        outcome, step = cls(wanted.request, wanted.call_id), wanted.step
        if step is None or step.ended_at is None:
            return outcome
        result = step.result
        outcome.status, outcome.value = ToolStatus(step.status), result["value"]
        outcome.summary, outcome.visualization = result["summary"], result["visualization"]
        # The release before this one did not write these.
        outcome.kind, outcome.answer = result.get("kind", ""), result.get("answer", "")
        outcome.note, outcome.recorded_suspect = result["note"], result["suspect"]
        return outcome

    def succeed(self, result: ToolResult) -> None:
        """Take over what the tool gave."""
        self.status = ToolStatus.OK
        self.value, self.summary, self.visualization = result.value, result.summary, result.visualization
        self.kind, self.answer = result.kind, result.answer

    def fail(self, status: ToolStatus, code: str, sentence: str) -> None:
        """Take over why it gave nothing, as a result that a client and a model can read."""
        self.status, self.summary, self.kind, self.answer = status, sentence, "", ""
        self.value = {"error": {"code": code, "message": sentence}}


class ToolCall(Actor):
    """Calls a tool within its time limit, writes the outcome down, and ends."""

    def __init__(self, tool: Tool, arguments: dict[str, Any], context: ToolContext, outcome: ToolOutcome) -> None:
        self.tool = tool
        self.arguments = arguments
        self.tool_context = context
        self.outcome = outcome

    async def on_start(self, context: Context) -> None:
        """Begin the call; the run is not kept waiting for it."""
        context.start_soon(functools.partial(self._call, context))

    async def receive(self, message: object, context: Context) -> None:
        """Nothing is said to a tool call; it is stopped or killed."""

    async def _call(self, context: Context) -> None:
        with trio.move_on_after(self.tool.timeout_s) as limit:
            try:
                self.outcome.succeed(await self.tool.call(self.arguments, self.tool_context))
            except ToolError as error:
                self.outcome.fail(ToolStatus.FAILED, error.code, error.message)
        if limit.cancelled_caught:
            sentence = f"{self.tool.name} was stopped after {self.tool.timeout_s:g} s without a result."
            self.outcome.fail(ToolStatus.TIMED_OUT, "tool_timeout", sentence)
        context.stop()


def record_crash(outcome: ToolOutcome, error_id: str) -> None:
    """Write down that the tool's own code broke; the log has the rest under `error_id`."""
    sentence = f"{ERRORS['tool_failed'].text} (error {error_id})"
    outcome.fail(ToolStatus.FAILED, "tool_failed", sentence)
