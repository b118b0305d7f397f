"""The answers of users to questions of runs, their decisions on calls, and their ratings of answers."""

from functools import partial

import msgspec

from transport.wire.errors import CommandRejected
from understudy.chat.commands.request import Request, ask_open, own_message
from understudy.chat.consents import NOT_REMEMBERED, Consents
from understudy.chat.messages import AnswerQuestion, Decide, RateAnswer
from understudy.chat.routing import check_id
from understudy.chat.run.questions import (
    MAX_ANSWER_BYTES,
    MAX_ARGUMENT_BYTES,
    check_note,
    read_secret_fields,
    run_of_question,
)
from understudy.chat.services import Services
from understudy.storage import queries
from understudy.wire.commands import Approve, Disallow, Feedback, Respond
from understudy.wire.events import ApprovalDecision


async def respond(request: Request[Respond], services: Services) -> None:
    """Answer a question of a user's run."""
    command, owner, typed = request.command, request.owner, None
    answer = command.answer
    if answer is not None and len(msgspec.json.encode(answer)) > MAX_ANSWER_BYTES:
        raise CommandRejected("message_too_large", f"An answer has at most {MAX_ANSWER_BYTES:,} bytes of JSON.")
    with request.waiting(services):
        run = await services.store.run(run_of_question(command.question_id))
        if answer is not None and run is not None and run.owner == owner:
            # The values of secret fields are neither stored nor shown; filtered, they would be of no use to the tool.
            secrets = await read_secret_fields(services.store, run, command.question_id)
            visible = {name: value for name, value in answer.items() if name not in secrets}
            clean = (await services.content_filter.filter_context(visible)).value
            typed = {**clean, **{name: answer[name] for name in secrets if name in answer}}
        ask = partial(AnswerQuestion, command.question_id, typed, request.sender, request.door)
        unknown = "No open question has that id; it may have been answered already."
        await ask_open(owner, run, ask, unknown, services)


async def rate(request: Request[Feedback], services: Services) -> None:
    """Rate an answer, or take back its rating."""
    command, owner, note = request.command, request.owner, None
    with request.waiting(services):
        answer = await own_message(owner, command.message_id, "assistant", services)
        if command.note is not None:
            note = await services.content_filter.filter_note(owner, command.note)
        rating = command.rating.value if command.rating is not None else None
        ask = partial(RateAnswer, answer, rating, note, request.outbox)
        await services.conversations.ask(owner, answer.thread_id, ask)


async def approve(request: Request[Approve], services: Services) -> None:
    """Decide about a call of a user's run."""
    command, owner, content_filter = request.command, request.owner, services.content_filter
    if command.remember:
        consents(services)
    with request.waiting(services):
        note = await content_filter.filter_note(owner, check_note(command.note or ""))
        parameters = None
        if command.parameters is not None:
            if len(msgspec.json.encode(command.parameters)) > MAX_ARGUMENT_BYTES:
                raise CommandRejected("message_too_large", f"At most {MAX_ARGUMENT_BYTES:,} bytes can be shown.")
            parameters = (await content_filter.filter_context(command.parameters)).value
        decision, remember = ApprovalDecision(command.decision.value), command.remember
        decide = partial(Decide, command.call_id, decision, note, parameters, remember, request.sender, request.door)
        row = await services.store.read(queries.step_of_call, command.call_id)
        run = None if row is None else row[1]
        await ask_open(owner, run, decide, "No tool call of that name waits for your consent.", services)


async def disallow(request: Request[Disallow], services: Services) -> None:
    """Take back the consent to call a tool always in a thread."""
    command = request.command
    check_id("thread_id", command.thread_id)
    with request.waiting(services):
        await consents(services).withdraw(request.owner, command.thread_id, command.tool_name, request.door)


def consents(services: Services) -> Consents:
    """Return what remembers consents. Raises CommandRejected (`forbidden`) if this server does not."""
    if (stored := services.parts.find(Consents)) is None:
        raise CommandRejected("forbidden", NOT_REMEMBERED)
    return stored
