"""`/api/me`: who the caller is, and the end of their sessions; `/api/users`: operators sign out users."""

from collections.abc import Sequence

from msgspec import Struct
from quart import request

from transport.wire.errors import CommandRejected
from understudy.auth.sessions import ANONYMOUS, SESSIONS_ENDED
from understudy.storage.owners import name_of, owner_of
from understudy.web.acts import say
from understudy.web.context import identity, rights, web_context
from understudy.web.routes import STORED, Routes

blueprint = Routes("account", __name__, url_prefix="/api")


class Me(Struct):
    """The caller's identity, as in their token."""

    user: str
    name: str
    anonymous: bool
    session: str
    tenant: str | None
    roles: Sequence[str]
    groups: Sequence[str]
    expires_at: int


@blueprint.get("/me", errors=("internal",))
async def me() -> Me:
    """Return who the caller is, by their token."""
    caller = identity()
    user = name_of(caller.user)
    name, anonymous, until = caller.name or user, user.startswith(ANONYMOUS), int(caller.expires_at)
    return Me(user, name, anonymous, caller.session, caller.tenant, caller.roles, caller.groups, until)


@blueprint.delete("/me/sessions", errors=("busy", *STORED))
async def sign_out() -> None:
    """End all sessions of the caller."""
    owner = identity().user
    await say(SESSIONS_ENDED, target=owner, all=True)
    await web_context().sessions.end_all_sessions(owner)


@blueprint.delete(
    "/users/<user>/sessions", query={"tenant": str, "own": bool}, errors=("invalid_command", "busy", *STORED)
)
async def sign_out_user(user: str) -> None:
    """End all sessions of a user, for operators."""
    owner = target_of(user, "ends your own sessions, also the one of this request")
    await say(SESSIONS_ENDED, target=owner, as_operator=True, all=True)
    await web_context().sessions.end_all_sessions(owner)


def target_of(user: str, warning: str) -> str:
    """Return the key of the user whom an operator's request concerns. `warning` is its effect on the caller themselves.

    Raises:
        CommandRejected: The caller has no rights for the user (`forbidden`), or is the user and the query has no `own`
            (`invalid_command`).
    """
    owner = owner_of(user, rights().reach(request.args.get("tenant") or None))
    if owner == identity().user and request.args.get("own", "").lower() not in ("1", "true"):
        raise CommandRejected("invalid_command", f"That is you: it {warning}. Add own=true if you mean it.")
    return owner
