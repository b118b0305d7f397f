"""Writes the current request's act into the audit log before the act begins."""

from collections.abc import Sequence

from quart import request

from transport.auth.identity import Identity
from understudy.auth.rights import OPERATORS
from understudy.chat.commands.request import HTTP
from understudy.storage import acts
from understudy.storage.acts import PAGE, Act, Deed
from understudy.web.context import identity, web_context


async def say(
    act: Act,
    /,
    *,
    by: Identity | None = None,
    target: str | None = None,
    tenant: str | None = None,
    as_operator: bool = False,
    roles: Sequence[str] = (),
    **detail: str | bool,
) -> Deed:
    """Store an entry of the audit log for an act that is about to begin. Return the entry.

    `by` defaults to the caller; `target` is the key of the affected user; `tenant` is the affected tenant, if that is
    neither the target's nor the caller's. The entry names the role by which the caller may act: a role of operators if
    `as_operator`, else one of `roles`; none for acts that every user may do.

    Raises:
        StorageUnavailable: The entry cannot be stored, so the act must not happen.
    """
    caller = identity() if by is None else by
    role = next((role for role in (OPERATORS if as_operator else roles) if role in caller.roles), "")
    way = PAGE if request.headers.get("Sec-Fetch-Site") == "same-origin" else HTTP
    deed = Deed(act, caller.user, way, target, role, tenant, detail)
    await acts.say(web_context().store, deed)
    return deed
