"""Steers: what a user says to a run at work, or takes back before the run has heard it."""

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
    """Have the conversation of a run accept a steer; one that is to wait for the run's end is a message.

    That of an operator is sent without the user's quotas and limits.
    """
    command, identity = request.command, request.identity
    check_id("steer_id", command.steer_id)
    steer_id, way = command.steer_id or uuid.uuid4().hex, None
    with request.waiting(services):
        run = await own_run(identity.user, command.run_id, services)
        if command.mode is SteerMode.AFTER:
            message = await own_message(identity.user, run.message_id, "user", services)
            way = await route_of(identity, message, services)
    if way is not None:
        check_agent(identity, way.agent, services)
        say = Say(command.content, way.thread_id, steer_id, way.conversation_id)
        return await accept(request, say, way, services)
    if request.by is None:
        await check_limits(identity, services, command.content)
    with request.waiting(services):
        clean = await filter_text(run.owner, run.thread_id, command.content, services)
        now = command.mode is SteerMode.NOW
        ask = partial(AcceptSteer, run.id, steer_id, now, clean, request.outbox, request.by)
        await services.conversations.ask(run.owner, run.thread_id, ask)
    return Accepted(steer_id, run.id, run.thread_id)


async def unsteer(request: Request[Unsteer], services: Services) -> None:
    """Take back a steer that its run has not heard, or the message that it has become."""
    command, owner, message = request.command, request.owner, None
    ask, withdrawn = services.conversations.ask, False
    with request.waiting(services):
        run = await services.store.run(command.run_id)
        if run is not None and run.owner == owner:
            withdraw = partial(WithdrawSteer, run.id, command.steer_id)
            withdrawn = run.ended_at is None and await ask(owner, run.thread_id, withdraw)
            if not withdrawn:  # it may be a message by now, or have been one from the beginning
                message = await services.store.message(owner, command.steer_id)
        if message is not None and run is not None and message.thread_id == run.thread_id:
            cancel = partial(CancelRun, message.run_id or "", waiting=True)
            withdrawn = await ask(owner, run.thread_id, cancel)
    if not withdrawn:
        raise CommandRejected("not_found", "No message of that name waits for that run.")
