"""`POST /api/commands`: one command, for clients without a WebSocket."""

import math
from typing import Any

import trio
from attrs import asdict
from quart import Blueprint, request
from werkzeug.exceptions import RequestTimeout

from transport.wire.command_parser import parse_frame
from transport.wire.errors import CommandRejected
from transport.wire.messages import arrived_at
from understudy.web.context import identity, web_context
from understudy.web.sse import CONNECTIONLESS

blueprint = Blueprint("commands", __name__, url_prefix="/api/commands")


@blueprint.post("")
async def command() -> tuple[dict[str, Any], int]:
    """Carry out one command, in any form that a WebSocket accepts. Its effects are in the thread's events."""
    arrived_at.set(web_context().streams.callbacks.clock())
    who = identity()
    given = parse_frame(await read_body(), max_bytes=web_context().settings.limits.frame_bytes)
    if not isinstance(given, CONNECTIONLESS):
        raise CommandRejected("invalid_command", "That command is about a connection; it is of no use over HTTP.")
    accepted = await web_context().streams.run_command(who, given)
    return ({} if accepted is None else asdict(accepted)), 202


async def read_body(max_bytes: int | None = None) -> bytes:
    """Return the body of the current request, at most `max_bytes`; None: the limit of a frame.

    Raises:
        CommandRejected: `message_too_large`. The rest of the body was read and discarded: a client that is cut off
            while it sends would not read the answer.
        RequestTimeout: The body took longer than BODY_TIMEOUT.
    """
    limit = web_context().settings.limits.frame_bytes if max_bytes is None else max_bytes
    body = bytearray()
    try:
        with trio.fail_after(request.body_timeout or math.inf):
            async for piece in request.body:
                if len(body) <= limit:
                    body += piece
    except trio.TooSlowError:
        raise RequestTimeout from None
    if len(body) > limit:
        raise CommandRejected("message_too_large", f"A message may have at most {limit} bytes.")
    return bytes(body)
