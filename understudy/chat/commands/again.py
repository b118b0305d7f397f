"""Stored messages that are answered once more: by a new answer, or one that goes on with a cut one."""

from typing import Any

from transport.wire.errors import CommandRejected
from understudy.chat.commands.accept import ask_for_run
from understudy.chat.commands.checks import check_agent, check_limits, own_message, own_run, route_of
from understudy.chat.commands.request import Accepted, Request
from understudy.chat.messages import Again, RunOrder
from understudy.chat.routing import Route, check_id
from understudy.chat.run.continuation import check_ended
from understudy.chat.services import Services
from understudy.storage import queries
from understudy.wire.commands import Continue, Regenerate, Say
from understudy.wire.events import ANSWER


async def regenerate(request: Request[Regenerate], services: Services) -> Accepted:
    """Have a message answered once more, from the beginning or from a call of a run on."""
    command, identity = request.command, request.identity
    check_id("request_id", command.request_id)
    message_id = command.message_id
    with request.waiting(services):
        if message_id.startswith(ANSWER):
            run = await services.store.run(message_id.removeprefix(ANSWER))
            message_id = run.message_id if run is not None and run.owner == identity.user else ""
        message = await own_message(identity.user, message_id, "user", services)
        again = Again(message)
        if command.call_id is not None:
            found = await services.store.read(queries.step_of_call, command.call_id)
            if found is None or (found[1].owner, found[1].message_id) != (identity.user, message.id):
                raise CommandRejected("not_found", "There is no tool call of that name in the work on this message.")
            again = Again(message, found[1].id, found[0].number - 1)
        way = await route_of(identity, message, services)
        await check_limits(identity, services, message.content)
        return await _answer_again(request, again, way, command.request_id, services)


async def continue_run(request: Request[Continue], services: Services) -> Accepted:
    """Have the message of a run that was cut answered by a run that goes on with its work and its text."""
    command, identity = request.command, request.identity
    check_id("run_id", command.run_id)
    check_id("request_id", command.request_id)
    with request.waiting(services):
        run = await own_run(identity.user, command.run_id, services)
        message = await own_message(identity.user, run.message_id, "user", services)
        way = await route_of(identity, message, services)
        check_ended(run, services.agents.get(way.agent))
        await check_limits(identity, services)
        return await _answer_again(request, Again(message, run.id, continues=True), way, command.key, services)


async def _answer_again(
    request: Request[Any], again: Again, way: Route, request_id: str | None, services: Services
) -> Accepted:
    check_agent(request.identity, way.agent, services)
    stored = again.message
    say = Say(stored.content, way.thread_id, stored.id, parent_id=stored.parent_id, references=stored.references)
    order = RunOrder(say, way, request.identity, stored.id, request_id, again=again)
    async with services.conversations.admission.admitted():
        return await ask_for_run(request, order, way.thread_id, services)
