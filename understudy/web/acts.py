"""Says what the current request is about to do."""

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
    """Have a deed stored, before it begins, and return it.

    `by` is None for the caller; `target` is the key of the user to whom it is done, `tenant` the one that is concerned
    if that is not the target's or the caller's. `as_operator`: the caller may do it by a role of operators; else by one
    of `roles`, none for what everybody may do.

    Raises:
        StorageUnavailable: It cannot be stored: it must not happen.
    """
    caller = identity() if by is None else by
    role = next((role for role in (OPERATORS if as_operator else roles) if role in caller.roles), "")
    way = PAGE if request.headers.get("Sec-Fetch-Site") == "same-origin" else HTTP
    deed = Deed(act, caller.user, way, target, role, tenant, detail)
    await acts.say(web_context().store, deed)
    return deed
