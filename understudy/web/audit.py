"""Stores an entry of the audit log about what the current request is about to do."""

from quart import request

from transport.auth.identity import Identity
from understudy.auth.rights import AUDITORS, OPERATORS
from understudy.chat.commands import HTTP
from understudy.storage.audit import PAGE, AuditEntry, record
from understudy.web.context import identity, web_context


async def audit(
    action: str,
    *,
    by: Identity | None = None,
    target: str | None = None,
    tenant: str | None = None,
    as_operator: bool = False,
    **detail: str | bool,
) -> AuditEntry:
    """Store an entry about an action, before it begins, and return it.

    `by` is None for the caller; `target` is the key of the user to whom it is done, `tenant` the one that is concerned
    if that is not the target's or the caller's. `as_operator`: the caller may do it by a role.

    Raises:
        StorageUnavailable: The entry cannot be stored: the action must not happen.
    """
    caller = identity() if by is None else by
    roles = AUDITORS if action == "audit.read" else OPERATORS if as_operator else ()
    role = next((role for role in roles if role in caller.roles), "")
    way = PAGE if request.headers.get("Sec-Fetch-Site") == "same-origin" else HTTP
    entry = AuditEntry(action, caller.user, way, target, role, tenant, detail)
    await record(web_context().store, entry)
    return entry
