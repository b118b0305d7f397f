"""`/api/admin`: users, and the settings in force, for operators.

1. Operators of a tenant see the users of their tenant only. Settings are for operators of the server.
2. No answer contains text of a user or of a model, or a secret.
"""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, Literal, cast

import trio
from attrs import asdict, frozen
from msgspec import Struct
from quart import request

from understudy.app.settings import Settings, describe_settings
from understudy.extensions.operations import queries as operator_queries
from understudy.extensions.operations.queries import Figures, FoundRun, UserRow
from understudy.storage.owners import owner_of
from understudy.storage.queries import decode_cursor, encode
from understudy.web.context import rights, web_context, whole_number
from understudy.web.operators import MOST, OF_OPERATOR, listed, owned, scope, who
from understudy.web.routes import Count, JsonObject, Routes, up_to

blueprint = Routes("admin", __name__, url_prefix="/api/admin")

FAILED: Final = 20
"""Limit of failed runs in an overview; the latest are listed."""


@frozen
class ServerOverview(Figures):
    """What the server stores and does, and how the runs of the last hour ended."""

    connections: Count
    outcomes: Mapping[str, Count]
    failed: list[JsonObject]


@frozen
class ConnectedUser(UserRow):
    """A stored user, with their connections to this node."""

    connections: Count


class ShownSetting(Struct):
    """A setting in force, and where it comes from; of a secret only whether it is set."""

    name: str
    value: Any
    secret: bool
    is_set: bool
    source: str


@blueprint.get("/overview", query={"tenant": str}, errors=OF_OPERATOR)
async def overview() -> ServerOverview:
    """Sum up users, connections, open runs, storage, and the runs that ended on this node within an hour."""
    of, context, now = scope(), web_context(), time.time()
    whose = rights().whose(request.args.get("tenant") or None)
    ended = context.metrics.recent.ended(whose, 60)
    failed = [run for run in reversed(ended) if run.outcome not in ("success", "cancelled")]
    return ServerOverview(
        **asdict(await context.store.archive.read(operator_queries.figures, of)),
        connections=context.presence.count(whose),
        outcomes=dict(Counter(run.outcome for run in ended).most_common()),
        failed=[
            {**who(run.owner), "run_id": run.run_id, "outcome": run.outcome, "ended_at": run.at, "ago_s": now - run.at}
            for run in failed[:FAILED]
        ],
    )


@blueprint.get("/users/<user>/runs", query={"tenant": str}, errors=OF_OPERATOR, answer=listed("runs", FoundRun))
async def runs_of(user: str) -> dict[str, Any]:
    """List the latest runs of a user, the newest first. `tenant` names the user's tenant."""
    owner = owner_of(user, rights().reach(request.args.get("tenant") or None))
    rows = await web_context().store.archive.read(operator_queries.runs_of, owner, None)
    return {"runs": [owned(row) for row in rows]}


@blueprint.get(
    "/users", query={"tenant": str, "cursor": str, "limit": up_to(MOST)}, errors=OF_OPERATOR,
    answer=listed("users", ConnectedUser, "id", next_cursor=str | None),
)  # fmt: skip
async def users() -> dict[str, Any]:
    """List the stored users by name, in pages."""
    of, limit, cursor = scope(), whole_number("limit", 100, 1, MOST), request.args.get("cursor")
    after = "" if cursor is None else decode_cursor(cursor, tuple[str])[0]
    context = web_context()
    rows = await context.store.archive.read(operator_queries.users, after, limit, of)
    connected: dict[str, int] = {}
    for _, owner, _, _ in context.presence.connections():
        connected[owner] = connected.get(owner, 0) + 1
    listed = [owned(ConnectedUser(**asdict(user), connections=connected.get(user.id, 0)), "id") for user in rows]
    return {"users": listed, "next_cursor": encode(rows[-1].id) if len(rows) == limit else None}


@blueprint.get("/settings", errors=("rate_limited", "internal"))
async def settings() -> dict[Literal["settings"], list[ShownSetting]]:
    """List the settings in force, with the source of each."""
    rights().check_server()
    described = await trio.to_thread.run_sync(describe_settings, cast("Settings", web_context().settings))
    return {"settings": [ShownSetting(**asdict(setting)) for setting in described]}
