"""`/api/observer`: the live supervision tree, for operators of the server; counts of users, for every operator.

No answer contains text of a user.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final, Literal

from attrs import frozen
from msgspec import Struct
from quart import Response, request

from actors import State
from transport.auth.identity import Identity
from transport.server.eventstream import CONTENT_TYPE, HEADERS
from transport.wire.errors import CommandRejected
from understudy.extensions.operations.tree_api import ShownActor, TreeApi
from understudy.observe.actor_events import Incident
from understudy.observe.paths import SYSTEM
from understudy.storage.acts import Act
from understudy.web.acts import say
from understudy.web.api.stream import as_answer
from understudy.web.context import WebContext, identity, one_of, read_json, rights, web_context, whole_number
from understudy.web.routes import EVENT_STREAM, STORED, Count, Routes, up_to

KILLED: Final = Act("actor.killed", "path")

blueprint = Routes("observer", __name__, url_prefix="/api/observer")

MAX_TEXT: Final = 200
"""Limit of characters of a path, and of the text to search for in paths."""


@frozen
class KillRequest:
    """The body of a request to kill an actor. `part` confirms that it is a whole subsystem."""

    path: str
    part: bool = False


class ObservedTree(Struct):
    """A part of the tree; of a search how many actors `found`, and whether there are `more`."""

    tree: ShownActor
    found: Count | None
    more: bool


class Incidents(Struct):
    """The latest abnormal ends of actors, the oldest first, and what is counted."""

    incidents: Sequence[Incident]
    counts: dict[str, Count]


@blueprint.get(
    "/tree", errors=("invalid_command", "not_found", "rate_limited", "internal"),
    query={
        "path": str, "text": str, "state": State, "levels": up_to(8, 0), "limit": up_to(500),
        "offset": up_to(10**6, 0),
    },
)  # fmt: skip
async def tree() -> ObservedTree:
    """Return some levels of the tree below `path`, or the actors that `text` or `state` select."""
    rights().check_server()
    view = web_context().parts[TreeApi]
    path, text = request.args.get("path", SYSTEM), request.args.get("text", "").strip()
    name = request.args.get("state")
    state = State(one_of("state", name, (choice.value for choice in State))) if name else None
    limit, offset = whole_number("limit", 50, 1, 500), whole_number("offset", 0, 0, 10**6)
    levels = whole_number("levels", 1, 0, 8)
    if len(path) > MAX_TEXT or len(text) > MAX_TEXT:
        raise CommandRejected("invalid_command", f"path and text have at most {MAX_TEXT} characters.")
    if text or state is not None:
        node, count, more = await view.search(path, text, state, limit)
    else:
        node, count, more = await view.page(path, levels, limit, offset), None, False
    if node is None:
        raise CommandRejected("not_found", "There is no actor at that path.")
    return ObservedTree(node, count, more)


@blueprint.get("/incidents", errors=("rate_limited", "internal"))
async def incidents() -> Incidents:
    """Return the latest abnormal ends of actors, and the counts."""
    rights().check_server()
    api = web_context().parts[TreeApi]
    return Incidents(api.recorder.incidents_after(), api.counts())


@blueprint.get(
    "/counts", query={"tenant": str}, errors=("rate_limited", "internal"),
    answer=dict[Literal["connections", "runs", "runs_waiting"], Count],
)  # fmt: skip
async def counts() -> dict[str, int]:
    """Return the numbers of users, connections and runs on this node."""
    return dict(web_context().status.counts(rights().whose(request.args.get("tenant") or None)))


@blueprint.get("/changes", media=EVENT_STREAM, errors=("busy", "rate_limited", "internal"))
async def changes() -> Response:
    """Stream changes of the tree as server-sent events."""
    rights().check_server()
    caller, context = identity(), web_context()
    if request.method == "HEAD":
        return Response(b"", content_type=CONTENT_TYPE, headers=HEADERS)
    beat_s = context.settings.limits.heartbeat_s
    return as_answer(context.parts[TreeApi].open_stream(_end_reason(context, caller), beat_s))


@blueprint.post("/kill", status=202, body=KillRequest, errors=("not_found", "rate_limited", *STORED))
async def kill() -> dict[Literal["path"], str]:
    """Kill the actor at `{"path": "…"}`, if the settings allow it."""
    rights().check_server()
    body = await read_json(KillRequest, '{"path": "…", "part"?}')
    view = web_context().parts[TreeApi]
    await say(KILLED, as_operator=True, path=view.killable(body.path, part=body.part).path)
    return {"path": view.kill(body.path, part=body.part)}


def _end_reason(context: WebContext, caller: Identity) -> Callable[[], str | None]:
    """Return a function that returns why the caller's stream must end, or None."""

    def ended() -> str | None:
        if context.chat.draining():
            return "closing"
        if caller in context.sessions.revoked:
            return "signed_out"
        return "token_expired" if time.time() >= caller.expires_at else None

    return ended
