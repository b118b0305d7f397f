"""The commands `steer` and `unsteer`: send a message to a run at work, or withdraw it before the run has read it."""

import uuid
from functools import partial

from transport.wire.errors import CommandRejected
from understudy.chat.commands.accept import accept, filter_text
from understudy.chat.commands.request import (
    Accepted,
    Request,
    check_agent,
    check_limits,
    own_message,
    own_run,
    route_of,
)
from understudy.chat.messages import CancelRun
from understudy.chat.routing import check_id
from understudy.chat.services import Services
from understudy.extensions.steering.steering import AcceptSteer, WithdrawSteer
from understudy.wire.commands import Say, Steer, SteerMode, Unsteer


async def steer(request: Request[Steer], services: Services) -> Accepted:
    """Have the conversation of a run accept a steer. A steer of the mode `after` is sent as an ordinary message.

    The user's quotas and limits do not apply to a steer of an operator.
    """
    command, identity = request.command, request.identity
    check_id("steer_id", command.steer_id)
    steer_id, route = command.steer_id or uuid.uuid4().hex, None
    with request.waiting(services):
        run = await own_run(identity.user, command.run_id, services)
        if command.mode is SteerMode.AFTER:
            message = await own_message(identity.user, run.message_id, "user", services)
            route = await route_of(identity, message, services)
    if route is not None:
        check_agent(identity, route.agent, services)
        say = Say(command.content, route.thread_id, steer_id, route.conversation_id)
        return await accept(request, say, route, services)
    if request.by is None:
        await check_limits(identity, services, command.content)
    with request.waiting(services):
        clean = await filter_text(run.owner, run.thread_id, command.content, services)
        now = command.mode is SteerMode.NOW
        ask = partial(AcceptSteer, run.id, steer_id, now, clean, request.outbox, request.by)
        await services.conversations.ask(run.owner, run.thread_id, ask)
    return Accepted(steer_id, run.id, run.thread_id)


async def unsteer(request: Request[Unsteer], services: Services) -> None:
    """Withdraw a steer that its run has not read, or cancel the waiting message that it has become."""
    command, owner, message = request.command, request.owner, None
    ask, withdrawn = services.conversations.ask, False
    with request.waiting(services):
        run = await services.store.run(command.run_id)
        if run is not None and run.owner == owner:
            withdraw = partial(WithdrawSteer, run.id, command.steer_id)
            withdrawn = run.ended_at is None and await ask(owner, run.thread_id, withdraw)
            if not withdrawn:  # it may have become a message, or have been one from the beginning
                message = await services.store.message(owner, command.steer_id)
        if message is not None and run is not None and message.thread_id == run.thread_id:
            cancel = partial(CancelRun, message.run_id or "", waiting=True)
            withdrawn = await ask(owner, run.thread_id, cancel)
    if not withdrawn:
        raise CommandRejected("not_found", "No message of that name waits for that run.")
