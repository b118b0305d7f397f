"""The answers of users to questions of runs, and their ratings of answers."""

from functools import partial

import msgspec

from transport.wire.errors import CommandRejected
from understudy.chat.commands.checks import ask_open, own_message
from understudy.chat.commands.request import Request
from understudy.chat.messages import AnswerQuestion, RateAnswer
from understudy.chat.run.questions import MAX_ANSWER_BYTES, read_secret_fields, run_of_question
from understudy.chat.services import Services
from understudy.wire.commands import Feedback, Respond


async def respond(request: Request[Respond], services: Services) -> None:
    """Answer a question of a user's run."""
    command, owner, given = request.command, request.owner, None
    answer = command.answer
    if answer is not None and len(msgspec.json.encode(answer)) > MAX_ANSWER_BYTES:
        raise CommandRejected("message_too_large", f"An answer has at most {MAX_ANSWER_BYTES:,} bytes of JSON.")
    with request.waiting(services):
        run = await services.store.run(run_of_question(command.question_id))
        if answer is not None and run is not None and run.owner == owner:
            # The values of secret fields are neither stored nor shown; filtered, they would be of no use to the tool.
            secrets = await read_secret_fields(services.store, run, command.question_id)
            shown = {name: value for name, value in answer.items() if name not in secrets}
            clean = (await services.content_filter.filter_context(shown)).value
            given = {**clean, **{name: answer[name] for name in secrets if name in answer}}
        ask = partial(AnswerQuestion, command.question_id, given, request.sender, request.door)
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
