"""Encodes and decodes the steps of a run: its model's turns with their calls, unfinished text, and steers. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from attrs import evolve, field, frozen

from sanitization import Action, Finding
from understudy.chat.run.meter import CUT, TITLE
from understudy.chat.run_state.records import RecordedResult, ToolCallRecord
from understudy.models.model import Handoff, ProviderState, Reply, ToolRequest
from understudy.storage.records import STEP_KINDS, StepRecord
from understudy.wire.events import SteerAccepted, Usage

_T = TypeVar("_T")

WRITTEN_KINDS: Final = ("step", "ask")
"""Kinds of the steps of hand-written agents: their own, and their requests to the model."""
RECALL: Final = "recall_result"
"""The name of the tool that reads a folded or cut result."""
SEPARATOR: Final = "\n\n"
"""Separates the texts of two turns of the model."""


class UnreadableSteps(ValueError):
    """A step of a run cannot be decoded: it is damaged, or of another version."""


class LaterSteps(UnreadableSteps):
    """A run has a step of a kind that only a later release knows."""


@frozen
class PastTurn:
    """A recorded turn of the model: its reply and its tool calls.

    `thoughts` is the number of the run's thoughts until the end of the turn, `findings` are those in its text until
    then. `number` is that of its step, `arguments` are those of its step: a hand-written agent's own counts. `taken`:
    it is another run's, and counts there.
    """

    reply: Reply
    calls: tuple[ToolCallRecord, ...] = ()
    thoughts: int = 0
    findings: tuple[Finding, ...] = ()
    number: int = 0
    arguments: Any = None
    taken: bool = False


@frozen
class CutTurn:
    """A turn of the model that was interrupted: its `step`, and its text that was shown, as far as it was saved.

    `findings` are those in its text. The turn continues after the text if `continues`, and else starts again. `taken`:
    the text is another run's, which has paid for it.
    """

    step: StepRecord
    text: str = field(default="", repr=False)
    findings: tuple[Finding, ...] = ()
    continues: bool = False
    taken: bool = False

    @classmethod
    def after(
        cls, turns: Sequence[PastTurn], step: StepRecord, text: str, findings: Sequence[Finding], taken: bool = False
    ) -> "CutTurn":
        """Return the turn that was interrupted after these; `findings` are those in the text of all."""
        added = tuple(findings[len(turns[-1].findings) if turns else 0 :])
        goes_on = bool(text) and all(finding.action is Action.FLAG for finding in added)
        return cls(step, text, added, goes_on, taken)


@frozen
class PastSteer:
    """A steer that the run took before turn number `turn` of its model, counted from 0."""

    turn: int
    steer_id: str
    text: str = field(repr=False)


@frozen
class PastTurns:
    """What the steps of one agent's model say: its finished `turns`, its `steers`, and the turn that was `cut`."""

    turns: tuple[PastTurn, ...] = ()
    steers: tuple[PastSteer, ...] = ()
    cut: CutTurn | None = None

    def asked_again(self, steps: Sequence[StepRecord]) -> "PastTurns":
        """Return the turns with the last one as interrupted, if its calls cannot be made from what is recorded. None of
        its calls has started, and the recorded arguments of one were redacted. `steps` are those of the run."""
        if self.cut is not None or not self.turns:
            return self
        last, earlier = self.turns[-1], self.turns[:-1]
        if all(call.whole for call in last.calls) or any(call.step is not None for call in last.calls):
            return self
        step = next(step for step in steps if step.number == last.number)
        again = evolve(step, result=None, status="started", ended_at=None)
        return evolve(self, turns=earlier, cut=CutTurn.after(earlier, again, last.reply.text, last.findings))


@frozen
class _RecordedCall:
    """A tool call, in the result of its turn's step. Its id is the server's: models' ids need not be unique."""

    call_id: str
    name: str
    arguments: dict[str, Any]
    whole: bool
    description: str = ""
    problem: str = ""


@frozen
class _RecordedReply:
    """The result of a finished turn's step."""

    text: str
    calls: tuple[_RecordedCall, ...]
    handoff: Handoff | None
    usage: Usage
    thoughts: int
    found: tuple[Finding, ...] = ()
    reasoning: str = ""
    state: ProviderState | None = None
    cut: str = ""
    taken: bool = False


@frozen
class _PartialReply:
    """The result of an unfinished turn's step. `taken`: the text is that of another run."""

    text: str
    found: tuple[Finding, ...] = ()
    taken: bool = False


@frozen
class _RecordedSteer:
    """The result of a steer's step."""

    steer_id: str
    text: str


def steer_step(run_id: str, number: int, steer: SteerAccepted, now: float) -> StepRecord:
    """Return the step of a steer that a run takes now (Unix seconds). Its number keeps its place."""
    result = msgspec.to_builtins(_RecordedSteer(steer.steer_id, steer.content))
    return StepRecord(run_id, number, "steer", steer.mode, None, None, result, "ok", now, now)


def encode_partial(text: str, found: Sequence[Finding], *, taken: bool = False) -> dict[str, Any]:
    """Encode the result of an unfinished turn's step: its shown text, and the findings so far.

    `taken`: the text is that of another run, which this one goes on with.
    """
    built: dict[str, Any] = msgspec.to_builtins(_PartialReply(text, tuple(found), taken))
    return built


def encode_reply(
    reply: Reply,
    call_ids: Sequence[str],
    text: str,
    calls: Sequence[ToolRequest | None],
    thoughts: int,
    found: Sequence[Finding] = (),
) -> dict[str, Any]:
    """Encode the result of a turn's step, which `read_turn` reads.

    `text` and `calls` are the reply's as they may be stored; None for a call that may not be stored. `thoughts` is the
    number of the run's thoughts so far, `found` are the findings in its text so far.
    """
    recorded = []
    for written, call_id, call in zip(reply.calls, call_ids, calls, strict=True):
        recorded_call = call or ToolRequest(written.id, written.name, {})
        whole = call is not None and recorded_call.arguments == written.arguments
        words = (recorded_call.description, recorded_call.problem)
        recorded.append(_RecordedCall(call_id, recorded_call.name, dict(recorded_call.arguments), whole, *words))
    calls_and_use = (tuple(recorded), reply.handoff, reply.usage)
    reply_record = _RecordedReply(text, *calls_and_use, thoughts, tuple(found), reply.reasoning, reply.state, reply.cut)
    built: dict[str, Any] = msgspec.to_builtins(reply_record)
    return built


def check_kinds(steps: Sequence[StepRecord]) -> None:
    """Raise `LaterSteps` if a step is of a kind that this release does not know: without it, work would be repeated."""
    if unknown := {step.kind for step in steps}.difference(STEP_KINDS):
        raise LaterSteps(f"steps of a later release: {', '.join(sorted(unknown))}")


def read_turns(
    steps: Sequence[StepRecord], scope: str | None = None, logged: Mapping[str, ToolCallRecord] | None = None
) -> PastTurns:
    """Return the turns of a run's model, or of that of the subagent which the call `scope` asks.

    `logged` are the calls that the run's log has.

    Raises:
        UnreadableSteps: A step cannot be decoded.
    """
    tools = {step.call_id: step for step in steps if step.kind == "tool"}
    turns: list[PastTurn] = []
    steers: list[PastSteer] = []
    started: StepRecord | None = None
    for step in steps:
        if step.kind == "steer":
            steered = _read(step, _RecordedSteer)
            steers.append(PastSteer(len(turns), steered.steer_id, steered.text))
        elif step.kind == "model" and step.call_id == scope:
            if step.ended_at is None:
                started = step
            else:
                turns.append(read_turn(step, tools, logged))
    cut = None
    if started is not None:
        partial = _PartialReply("") if started.result is None else _read(started, _PartialReply)
        cut = CutTurn.after(turns, started, partial.text, partial.found, taken=partial.taken)
    return PastTurns(tuple(turns), tuple(steers), cut)


def is_cut(step: StepRecord) -> bool:
    """Return whether a step only counts what a request used that was cut off, or was for the thread's title."""
    return (step.kind, step.name) in (CUT[:2], TITLE[:2])


def read_turn(
    step: StepRecord, tools: Mapping[str | None, StepRecord], logged: Mapping[str, ToolCallRecord] | None = None
) -> PastTurn:
    """Return the turn of a finished step.

    `tools` are the run's steps of calls that have started, by call id; `logged` are the calls that its log has.

    Raises:
        UnreadableSteps: The step cannot be decoded.
    """
    record = _read(step, _RecordedReply)
    calls = []
    for written in record.calls:
        request = ToolRequest(written.call_id, written.name, written.arguments, written.description, written.problem)
        began = tools.get(written.call_id)
        result = None if began is None or began.ended_at is None else _read(began, RecordedResult)
        taken = record.taken and result is not None
        call = ToolCallRecord(written.call_id, request, written.whole, began, result, taken=taken)
        if logged and (logged_call := logged.get(written.call_id)) is not None:
            call = evolve(logged_call, request=request, whole=written.whole, step=began, result=result, taken=taken)
        calls.append(call)
    requests = tuple(call.request for call in calls)
    reply = Reply(record.text, requests, record.handoff, record.usage, record.reasoning, record.state, record.cut)
    return PastTurn(reply, tuple(calls), record.thoughts, record.found, step.number, step.arguments, record.taken)


def _read(step: StepRecord, shape: type[_T]) -> _T:
    try:
        return msgspec.convert(step.result, shape)
    except (msgspec.ValidationError, TypeError) as error:
        raise UnreadableSteps(f"step {step.number} of run {step.run_id}") from error
