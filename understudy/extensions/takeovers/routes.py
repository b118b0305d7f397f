"""`/api/admin/runs/{run_id}`: an operator takes over a run of a user, reads it, steers it, hands it back.

1. An operator is shown texts of a run only after the audit log has an entry that this operator took it over, and why:
   the event of the take-over is committed after that entry, and is required for each read.
2. Texts are shown as they are stored: redacted values stay placeholders.
3. A run that was handed back is not shown any more. Every operator with rights over it may hand it back, because the
   operator who took it over may have lost the role, or the account.
4. An operator sends the commands of the run's user, recorded under the operator's name.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, Literal

from msgspec import Struct
from quart import Response, request

from actors import Ask
from transport.auth.identity import Identity
from transport.wire.command_parser import decode
from transport.wire.errors import CommandRejected
from understudy.chat.run.questions import run_of_question
from understudy.extensions.takeovers.taken_runs import HandBack, TakeOver
from understudy.storage import queries
from understudy.storage.acts import Act
from understudy.storage.owners import name_of
from understudy.storage.records import RunRecord
from understudy.web.acts import say
from understudy.web.api.commands import COMMAND_ERRORS
from understudy.web.api.runs import EventsOfRun, events_of, state_of
from understudy.web.context import identity, read_body, web_context, whole_number
from understudy.web.operators import Reason, filtered_reason, reached_run
from understudy.web.routes import OF_ONE, Count, Routes, up_to
from understudy.web.run_report import RunReport
from understudy.wire.commands import Approve, Respond, Steer, SteerMode
from understudy.wire.events import HANDED_BACK, TAKEN_OVER, AgentThinking
from understudy.wire.vocabulary import from_log, parse_command

HANDING_BACK: Final = Act("run.handed_back", "run")
STEERED: Final = Act("run.steered", "act", "reason", "run")
TAKING_OVER: Final = Act("run.taken_over", "reason", "run")

blueprint = Routes("takeovers", __name__, url_prefix="/api/admin/runs/<run_id>")

TAKEN: Final = (*OF_ONE, "forbidden", "message_too_large", "run_ended", "taken_over")


class OperatorCommand(Struct):
    """The body of a command of an operator; the other members are those of the command."""

    type: Literal["steer", "approve", "answer"]


class TakenOver(Struct):
    """A take-over of a run: by whom, why, and since when (Unix seconds)."""

    by: str
    reason: str | None
    at: float


class TakenRun(RunReport):
    """The state of a run that an operator has taken over."""

    taken_over: TakenOver


@blueprint.post("/take-over", body=Reason, errors=(*TAKEN, "content_blocked"))
async def take_over(run_id: str) -> TakenOver:
    """Take over the run of any user within the caller's rights."""
    run, operator = await _open(run_id), identity().user
    event = await _taken(run)
    if event is None:
        reason = await filtered_reason(run.owner, await read_body())
        await say(TAKING_OVER, target=run.owner, as_operator=True, run=run_id, reason=reason)
        await _ask(run, partial(TakeOver, run_id, operator, reason))
        event = await _taken(run)
    return _shown(_check_own(event))


@blueprint.post("/hand-back", errors=(*OF_ONE, "forbidden", "run_ended"))
async def hand_back(run_id: str) -> None:
    """Hand back a run that an operator has taken over."""
    run = await _open(run_id)
    if await _taken(run) is not None:
        await say(HANDING_BACK, target=run.owner, as_operator=True, run=run_id)
        await _ask(run, partial(HandBack, run_id, identity().user))


@blueprint.get("", errors=(*OF_ONE, "forbidden", "taken_over"), answer=TakenRun)
async def one(run_id: str) -> Response:
    """Return the state of a run that the caller has taken over."""
    run = await reached_run(run_id)
    return await state_of(run, lambda envelope: envelope, {"taken_over": _shown(_check_own(await _taken(run)))})


@blueprint.get(
    "/events", query={"after": Count, "limit": up_to(1000)}, errors=(*OF_ONE, "forbidden", "taken_over"),
    answer=EventsOfRun,
)  # fmt: skip
async def events(run_id: str) -> Response:
    """Return the last events of a run that the caller has taken over, or those after `after`."""
    run = await reached_run(run_id)
    _check_own(await _taken(run))
    after = whole_number("after", 0, 0, 2**53) if "after" in request.args else None
    return await events_of(run, lambda envelope: envelope, after)


@blueprint.post("/commands", status=202, body=OperatorCommand, errors=(*TAKEN, *COMMAND_ERRORS))
async def command(run_id: str) -> dict[Literal["run_id"], str]:
    """Send a run that the caller has taken over a `steer`, a decision (`approve`) or an `answer`."""
    run = await _open(run_id)
    event = _check_own(await _taken(run))
    raw = decode(await read_body())
    if not isinstance(raw, dict):
        raise CommandRejected("invalid_command", "A command must be a JSON object.")
    act = parse_command({**raw, "run_id": run_id} if raw.get("type") == "steer" else raw)
    match act:
        case Steer():
            word = "steer"
        case Approve(decision=decision):
            word = decision.value
        case Respond():
            word = "decline" if act.answer is None else "answer"
        case _:
            raise CommandRejected("invalid_command", "The type must be steer, approve or answer.")
    web_context().chat.check_rate(identity(), act)
    await say(STEERED, target=run.owner, as_operator=True, run=run_id, act=word, reason=event.reason or "")
    await _check_act(run, act)
    await web_context().chat.commands.dispatch(Identity(run.owner, ""), act, None, by=identity().user)
    return {"run_id": run_id}


async def _check_act(run: RunRecord, act: Steer | Approve | Respond) -> None:
    """Check that a command is for this run, and that operators may send it. Raises CommandRejected."""
    of_this = True
    match act:
        case Steer(mode=SteerMode.AFTER):
            raise CommandRejected("invalid_command", "An operator speaks to the run: mode is `next` or `now`.")
        case Approve(remember=True):
            raise CommandRejected("invalid_command", "Only the user can allow a tool always.")
        case Approve(call_id=call_id):
            row = await web_context().store.read(queries.step_of_call, call_id)
            of_this = row is not None and row[1].id == run.id
        case Respond(question_id=question_id):
            of_this = run_of_question(question_id) == run.id
    if not of_this:
        raise CommandRejected("not_found", "That is not of this run.")


async def _ask(run: RunRecord, request: Callable[[], Ask[bool]]) -> None:
    await web_context().chat.commands.ask(run.owner, run.thread_id, request)


async def _open(run_id: str) -> RunRecord:
    """Return a run within the caller's rights. Raises CommandRejected if it has ended (`run_ended`)."""
    run = await reached_run(run_id)
    if run.ended_at is not None:
        raise CommandRejected("run_ended", "That run has ended already.")
    return run


async def _taken(run: RunRecord) -> AgentThinking | None:
    """Return the event of the run's current take-over, None if it was not taken over, or was handed back."""
    latest = None
    for row in await web_context().store.run_events(run.owner, run.thread_id, run.id):
        if row.type == AgentThinking.type:
            event = from_log(row.body).event
            if isinstance(event, AgentThinking) and event.notice in (TAKEN_OVER, HANDED_BACK):
                latest = event if event.notice == TAKEN_OVER else None
    return latest


def _check_own(event: AgentThinking | None) -> AgentThinking:
    """Return the event of the current take-over, which must be the caller's.

    Raises:
        CommandRejected: The run is not taken over (`forbidden`), or another operator took it over (`taken_over`).
    """
    if event is None:
        raise CommandRejected("forbidden", "Take over that run first, with a reason.")
    if event.by != identity().user:
        raise CommandRejected("taken_over")
    return event


def _shown(taken: AgentThinking) -> TakenOver:
    return TakenOver(name_of(taken.by or ""), taken.reason, taken.timestamp)
