"""`/api/hooks/{name}`: messages of programs in the form of Slack's events, signed. They need no token.

1. The answer comes once the message is accepted, which is on the disk then, and not after its run: within `ACK_S`, as
   Slack repeats a request after three seconds.
2. The id of a message is made of its `event_id`, so that a repeated request is the same message.
3. A hook that does not exist is refused as one whose signature is wrong: nobody learns the names.
"""

import hashlib
import logging
import time
from typing import Any, Final

import trio
from attrs import asdict
from quart import Blueprint, request

from transport.auth.identity import Identity
from transport.wire.errors import CommandRejected, Unauthenticated
from understudy.agents.agent import Agent
from understudy.chat.commands import Accepted
from understudy.chat.hooks import slack
from understudy.chat.hooks.hook import Hook
from understudy.chat.hooks.replies import address_of
from understudy.chat.messages import HookMessage
from understudy.storage.owners import owner_of
from understudy.web.context import read_body, web_context

log = logging.getLogger(__name__)

blueprint: Final = Blueprint("hooks", __name__, url_prefix="/api/hooks")

BODY_BYTES: Final = 256 * 1024
ACK_S: Final = 2.5
PASSING: Final = ("busy", "storage_unavailable", "rate_limited")
"""Codes of refusals after which the sender is to repeat the request; others are the answer for good."""
NOT_SIGNED: Final = "The request is not signed by this hook's secret, or too old."
_UNKNOWN: Final = "0" * 32


@blueprint.post("/<name>")
async def receive(name: str) -> dict[str, Any]:
    """Take an event: answer a challenge, start a run for a message, ignore everything else."""
    body, hook = await read_body(BODY_BYTES), web_context().settings.hooks.get(name)
    headers = (request.headers.get(slack.TIMESTAMP), request.headers.get(slack.SIGNATURE))
    signed = slack.is_signed(_UNKNOWN if hook is None else hook.secret, *headers, body, time.time())
    if hook is None or not signed:
        log.warning("hook.not_signed", extra={"hook": name if hook is not None else None})
        raise Unauthenticated("unauthenticated", NOT_SIGNED)
    try:
        asked = slack.read(body)
    except slack.BadRequest as error:
        raise CommandRejected("invalid_command", str(error)) from error
    match asked:
        case slack.Challenge(challenge):
            return {"challenge": challenge}
        case slack.Ignored():
            return {"ok": True, "ignored": True}
        case slack.Said():
            return await _start(hook, asked)


async def _start(hook: Hook, said: slack.Said) -> dict[str, Any]:
    """Have a message accepted. A refusal that would come again is answered with 200, so that it is not repeated."""
    context = web_context()
    caller = Identity(owner_of(hook.user, hook.tenant), f"hook-{hook.name}", hook.tenant)
    agent = _agent_of(hook)
    settings = {"webhook": address_of(hook.name, said.channel, said.thread_ts)} if hook.reply_url else {}
    command = HookMessage(
        said.text,
        f"hook-{hook.name}-{_digest(hook.name, said.channel, said.thread_ts)}",
        f"hook-{hook.name}-{_digest(hook.name, said.event_id)}",
        agent_type=hook.agent if agent is None else agent.agent_type,
        pillar=None if agent is None else agent.pillar,
        settings=settings,
    )
    accepted: Accepted | None = None
    with trio.move_on_after(ACK_S):
        try:
            accepted = await context.streams.run_command(caller, command, door="hook")
        except CommandRejected as refused:
            if refused.code in PASSING:
                raise
            log.warning("hook.refused", extra={"hook": hook.name, "code": refused.code})
            return {"ok": False, "error": refused.code}
    if accepted is None:
        raise CommandRejected("busy", "The message could not be accepted in time; send it again.", 1.0)
    log.info("hook.accepted", extra={"hook": hook.name, "run_id": accepted.run_id})
    return {"ok": True, **asdict(accepted)}


def _agent_of(hook: Hook) -> Agent | None:
    return None if hook.agent is None else web_context().agents.get(hook.agent)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
