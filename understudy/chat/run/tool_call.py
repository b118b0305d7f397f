"""The tool call actor: one call of one tool. Its crash is a failed outcome, and never crashes the run."""

import functools
from typing import Any

import trio
from attrs import define, field

from actors import Actor, Context
from sanitization import Finding
from transport.wire.events import ToolStatus
from understudy.chat.run.replay import PendingCall
from understudy.content.summary import is_suspect
from understudy.models.model import ToolRequest as Call
from understudy.tools.tool import Tool, ToolContext, ToolError, ToolResult


@define(eq=False)
class ToolOutcome:
    """The outcome of a call: created by the run, filled in by the call. Left as created, it means the call was killed.

    `call_id` is the server's own id: the ids that models give need not be unique. `note` is the user's note with the
    approval. `findings` are those in the result, and `omitted` is the number of further ones; `recorded_suspect` is the
    recorded `suspect` of a call that finished before a restart. `answer`, unless empty, is the answer of the run.
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
        """Whether the result contains text that looks like instructions, of which the model is warned."""
        return self.recorded_suspect or is_suspect(self.findings)

    @property
    def step_result(self) -> dict[str, Any]:
        """The result of the call's step, from which `from_step` restores the outcome."""
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
        """Return the outcome recorded in the call's step if the call has finished, else a new one."""
        outcome, step = cls(wanted.request, wanted.call_id), wanted.step
        if step is None or step.ended_at is None:
            return outcome
        result = step.result
        outcome.status, outcome.value = ToolStatus(step.status), result["value"]
        outcome.summary, outcome.visualization = result["summary"], result["visualization"]
        # Steps of the previous release do not have these.
        outcome.kind, outcome.answer = result.get("kind", ""), result.get("answer", "")
        outcome.note, outcome.recorded_suspect = result["note"], result["suspect"]
        return outcome

    def succeed(self, result: ToolResult) -> None:
        """Set the tool's result."""
        self.status = ToolStatus.OK
        self.value, self.summary, self.visualization = result.value, result.summary, result.visualization
        self.kind, self.answer = result.kind, result.answer

    def fail(self, status: ToolStatus, code: str, sentence: str) -> None:
        """Set the failure, as a result that clients and models can read."""
        self.status, self.summary, self.kind, self.answer = status, sentence, "", ""
        self.value = {"error": {"code": code, "message": sentence}}


class ToolCall(Actor):
    """Calls a tool within its time limit, fills in the outcome, and stops."""

    def __init__(self, tool: Tool, arguments: dict[str, Any], context: ToolContext, outcome: ToolOutcome) -> None:
        self.tool = tool
        self.arguments = arguments
        self.tool_context = context
        self.outcome = outcome

    async def on_start(self, context: Context) -> None:
        """Start the call in a task of its own; the run does not wait for it."""
        context.start_soon(functools.partial(self._call, context))

    async def receive(self, message: object, context: Context) -> None:
        """Ignore messages: a tool call is only stopped or killed."""

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
