"""Carries out the replies by which an AG-UI client resumes a run: to its questions, and results of the client's tools.

A client that joins again repeats its replies, so each may come more than once.
"""

from collections.abc import Mapping
from functools import partial

from transport.auth.identity import Identity
from transport.wire.errors import CommandRejected
from transport.wire.events import Event
from understudy.chat.run.client_tools import OUTPUT, open_calls
from understudy.chat.run.questions import run_of_question
from understudy.storage import queries
from understudy.storage.records import RunRecord
from understudy.web.context import web_context
from understudy.wire.commands import Approve, Respond
from understudy.wire.events import AnswerOutcome, ApprovalDecided, QuestionAnswered
from understudy.wire.vocabulary import from_log


async def carry_out(caller: Identity, reply: Approve | Respond, door: str) -> str | None:
    """Carry out a decision or an answer. Return the id of its interrupt, or None if that was already over.

    Repeating a reply is allowed, also after the end of the run. So is denying or declining an interrupt that is over,
    because a client gets past an expired one in this way.

    Raises:
        CommandRejected: There is no such interrupt, it was answered differently, or the answer does not fit.
    """
    interrupt_id = reply.call_id if isinstance(reply, Approve) else reply.question_id
    try:
        await web_context().chat.answer(caller, reply, door=door)
    except CommandRejected as error:
        run = None if error.code != "not_found" else await run_of_reply(caller, reply)
        if run is None:
            raise
        events = await web_context().store.run_events(caller.user, run.thread_id, run.id)
        settled = [event for row in events if _settles(event := from_log(row.body).event, interrupt_id)]
        if any(map(partial(_same, reply), settled)):
            return interrupt_id
        if isinstance(reply, Approve) and reply.decision.value == "deny":
            return None
        if isinstance(reply, Respond) and reply.decline:
            return None
        raise
    return interrupt_id


async def results_of_client(
    caller: Identity, thread_id: str, results: Mapping[str, tuple[str, str]], *, give_up: bool
) -> tuple[list[Respond], RunRecord | None]:
    """Return the results that an unfinished run of a thread waits for, as replies, and that run.

    `give_up`: calls without a result are declined, because the client has sent another message, which would have to
    wait for them.
    """
    for run in await web_context().store.unfinished_runs(caller.user, thread_id):
        replies = [
            Respond(name, {OUTPUT: results[call_id][1]}) if call_id in results else Respond(name, decline=True)
            for name, call_id in (await _open_calls(run)).items()
            if call_id in results or give_up
        ]
        if replies:
            return replies, run
    return [], None


async def _open_calls(run: RunRecord) -> dict[str, str]:
    rows = await web_context().store.run_events(run.owner, run.thread_id, run.id)
    return open_calls(from_log(row.body).event for row in rows)


async def run_of_reply(caller: Identity, reply: Approve | Respond) -> RunRecord | None:
    """Return the caller's run that asked for this decision or answer, or None."""
    store = web_context().store
    if isinstance(reply, Respond):
        run = await store.run(run_of_question(reply.question_id))
    else:
        row = await store.read(queries.step_of_call, reply.call_id)
        run = None if row is None else row[1]
    return run if run is not None and run.owner == caller.user else None


def _settles(event: Event, name: str) -> bool:
    match event:
        case ApprovalDecided(call_id=settled) | QuestionAnswered(question_id=settled):
            return settled == name
    return False


def _same(reply: Approve | Respond, event: Event) -> bool:
    match reply, event:
        case Approve(), ApprovalDecided():
            return reply.decision.value == event.decision.value
        case Respond(), QuestionAnswered():
            return event.outcome is (AnswerOutcome.DECLINED if reply.decline else AnswerOutcome.ANSWERED)
    return False
