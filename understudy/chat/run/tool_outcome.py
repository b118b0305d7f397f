"""The outcome of a tool call: its status, and what clients, models and the call's step are given of its result."""

import logging
from typing import Any, Final

from attrs import asdict, evolve, field, frozen

from understudy.chat.run_state.records import RecordedResult, ToolCallRecord
from understudy.content.filter import ContentFilter
from understudy.content.texts import SanitizedValue
from understudy.models.model import ToolRequest
from understudy.observe.logs import new_error_id
from understudy.tools.containment import sentences_of
from understudy.tools.result import OwnResult, ToolResult
from understudy.wire.codes import ERRORS
from understudy.wire.events import ToolStatus

log = logging.getLogger(__name__)

RECORDED: Final = ("value", "summary", "visualization", "note", "suspect", "kind", "answer", "next_steps", "files")
"""Fields of an outcome that its step keeps under the same names."""


@frozen
class ToolOutcome:
    """How a call ended. `call_id` is the server's own id: the ids that models give need not be unique.

    `answer`, unless empty, is the answer of the run. `files` are the cards of the files that the call saved, also if it
    failed after that. `note` is the user's note with the approval. `suspect`: the result contains text that looks like
    instructions, of which the model is warned. `own`: the result is the server's own sentence, in which nothing is
    looked for; `by_user`: the user says that the call took effect.
    """

    request: ToolRequest
    call_id: str
    status: ToolStatus
    value: Any = field(default=None, repr=False)
    summary: str = ""
    visualization: dict[str, Any] | None = field(default=None, repr=False)
    kind: str = ""
    answer: str = field(default="", repr=False)
    next_steps: list[dict[str, Any]] = field(factory=list, repr=False)
    files: list[dict[str, Any]] = field(factory=list, repr=False)
    note: str = field(default="", repr=False)
    suspect: bool = False
    own: bool = False
    by_user: bool = False

    def recorded(self, undo_until: float | None = None, agent: str = "") -> RecordedResult:
        """Return the outcome as the call's step keeps it; see `RecordedResult` for the arguments."""
        return RecordedResult(**{name: getattr(self, name) for name in RECORDED}, undo_until=undo_until, agent=agent)


def failure(call: ToolCallRecord, status: ToolStatus, code: str, sentence: str, *, own: bool = False) -> ToolOutcome:
    """Return a failure, as a result that clients and models can read."""
    value = {"error": {"code": code, "message": sentence}}
    return ToolOutcome(call.request, call.call_id, status, value, sentence, own=own)


def crash(call: ToolCallRecord, error: BaseException, run_id: str) -> ToolOutcome:
    """Return the failure of a tool that raised something else than a `ToolError`, or that beside one, and log it."""
    error_id = new_error_id()
    log.error("tool.crashed", extra={"tool": call.request.name, "error_id": error_id, "run_id": run_id}, exc_info=error)
    sentences = sentences_of(error)
    sentence = f"{sentences or ERRORS['tool_failed'].text} (error {error_id})"
    return failure(call, ToolStatus.FAILED, "tool_failed", sentence, own=not sentences)


def success(call: ToolCallRecord, result: ToolResult, *, by_user: bool = False) -> ToolOutcome:
    """Return the outcome of a call whose tool has returned a result."""
    own, steps = by_user or isinstance(result, OwnResult), [asdict(step) for step in result.next_steps]
    shown = (result.value, result.summary, result.visualization, result.kind, result.answer)
    return ToolOutcome(call.request, call.call_id, ToolStatus.OK, *shown, next_steps=steps, own=own, by_user=by_user)


def interrupted(call: ToolCallRecord) -> ToolOutcome:
    """Return the outcome of a call that was killed."""
    return ToolOutcome(call.request, call.call_id, ToolStatus.KILLED, summary="Was interrupted before it was finished.")


def restored(call: ToolCallRecord, status: ToolStatus, past: RecordedResult) -> ToolOutcome:
    """Return the outcome of a call that finished before, from its step."""
    return ToolOutcome(call.request, call.call_id, status, **{name: getattr(past, name) for name in RECORDED})


async def sanitize(outcome: ToolOutcome, content_filter: ContentFilter) -> tuple[ToolOutcome, SanitizedValue]:
    """Redact or block the result of a call, before it is stored, published or given to the model.

    Return the outcome, and what was found. The server's own sentences are left alone: a chance finding in them would
    warn the user of nothing.
    """
    if outcome.own:
        return outcome, SanitizedValue(outcome.value)
    clean, summary = await content_filter.filter_result(outcome.value, outcome.summary)
    answer, next_steps, chart = outcome.answer, outcome.next_steps, outcome.visualization
    if answer or next_steps:
        shown = await content_filter.filter_value([answer, next_steps], content_filter.tool)
        answer, next_steps = shown.value
        clean = clean.including(shown.texts) if shown.texts else clean
    if clean.blocked:
        blocked = content_filter.blocked_error("The tool's result is blocked", clean.texts)
        value = {"error": {"code": "content_blocked", "message": blocked.message}}
        return ToolOutcome(outcome.request, outcome.call_id, ToolStatus.FAILED, value, blocked.message), clean
    if chart is not None and not await content_filter.accepts_chart(chart):
        chart, summary = None, f"{summary} (the chart is left out: the content policy does not allow its text)"
    changed = evolve(
        outcome, value=clean.value, summary=summary, visualization=chart, answer=answer, next_steps=next_steps
    )
    return changed, clean
