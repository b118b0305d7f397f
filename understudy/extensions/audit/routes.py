"""`/api/audit`: the audit log, for auditors: newest first, in pages.

1. The first page stores an entry of its own, `audit.read`, and its cursor names that entry. So each reading is in the
   log, and no page has entries that came later.
"""

import math
from typing import Final

from msgspec import Struct
from quart import request

from transport.wire.errors import CommandRejected
from understudy.auth.rights import AUDITORS
from understudy.extensions.audit import storage
from understudy.extensions.audit.storage import READ, AuditFilter, ShownEntry
from understudy.storage.acts import Act
from understudy.storage.owners import owner_of
from understudy.storage.queries import decode_cursor, encode
from understudy.web.acts import say
from understudy.web.context import identity, one_of, rights, web_context, whole_number
from understudy.web.routes import STORED, Routes, up_to

blueprint = Routes("audit", __name__, url_prefix="/api/audit")

MOST: Final = 500
"""Limit of entries per page."""


class AuditPage(Struct):
    """Entries, newest first, and the cursor of the next page."""

    entries: list[ShownEntry]
    next_cursor: str | None


@blueprint.get(
    "", errors=("invalid_command", *STORED),
    query=dict.fromkeys(("user", "tenant", "action", "cursor"), str)
    | {"since": float, "until": float, "limit": up_to(MOST)},
)  # fmt: skip
async def listing() -> AuditPage:
    """List entries of the audit log, the newest first."""
    entry_filter, limit = _filter(), whole_number("limit", 100, 1, MOST)
    archive, caller, cursor = web_context().store.archive, identity(), request.args.get("cursor")
    if cursor is None:
        read_by, bound = (await say(READ, roles=AUDITORS)).id, None
    else:
        bound, read_by = decode_cursor(cursor, tuple[int, str])
    read_at = await archive.read(storage.number_of, read_by, caller.user)
    if read_at is None:
        raise CommandRejected("invalid_command", "That cursor is not valid here.")
    bound = read_at if bound is None else min(read_at, bound)
    rows = await archive.read(storage.entries, entry_filter, bound, limit)
    next_cursor = encode(rows[-1].number - 1, read_by) if len(rows) == limit else None
    return AuditPage([storage.entry_of(row) for row in rows], next_cursor)


class Actions(Struct):
    """The actions of the extensions that are on, in order. Entries of other extensions stay, and are listed too."""

    actions: list[str]


@blueprint.get("/actions", errors=("rate_limited", "internal"))
async def names() -> Actions:
    """List the actions that entries can have, for a filter."""
    rights().audited(None)
    return Actions(sorted(Act.known))


def _filter() -> AuditFilter:
    """Return the filter of the current request, within the caller's rights."""
    asked_tenant = request.args.get("tenant") or None
    everywhere, tenant = rights().audited(asked_tenant)
    user, action = request.args.get("user") or None, request.args.get("action") or None
    action = None if action is None else one_of("action", action, sorted(Act.known))
    owner = None if user is None else owner_of(user, tenant)
    return AuditFilter(everywhere, tenant, owner, action, _time("since"), _time("until"))


def _time(name: str) -> float | None:
    """Return the time in a query parameter, in Unix seconds; None without it. Raises CommandRejected if it is none."""
    value = request.args.get(name)
    if value is None:
        return None
    try:
        at = float(value)
    except ValueError:
        at = math.nan
    if not math.isfinite(at):
        raise CommandRejected("invalid_command", f"{name} must be a time in Unix seconds.")
    return at
