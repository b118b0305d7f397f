"""The command `continue`: starts a run that goes on with an unfinished answer."""

from transport.wire.errors import CommandRejected
from understudy.chat.commands.accept import answer_again
from understudy.chat.commands.request import Accepted, Request, check_limits, own_message, own_run, route_of
from understudy.chat.messages import Again
from understudy.chat.routing import check_id
from understudy.chat.services import Services
from understudy.extensions.continuing.continuation import CODE
from understudy.wire.commands import Continue


async def continue_run(request: Request[Continue], services: Services) -> Accepted:
    """Start a new run for the message of an unfinished answer, which goes on with the answer's steps and text."""
    command, identity = request.command, request.identity
    check_id("run_id", command.run_id)
    check_id("request_id", command.request_id)
    with request.waiting(services):
        run = await own_run(identity.user, command.run_id, services)
        message = await own_message(identity.user, run.message_id, "user", services)
        route = await route_of(identity, message, services)
        if run.ended_at is None:
            raise CommandRejected(CODE, "That run is still at work.")
        if (agent := services.agents.get(route.agent)) is None or agent.remote is not None:
            raise CommandRejected(CODE, "This agent cannot continue an answer; have the message answered again.")
        await check_limits(identity, services)
        return await answer_again(request, Again(message, run.id, continues=True), route, command.key, services)
