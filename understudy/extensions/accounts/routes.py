"""`/auth/password`, `/auth/invite`, `/auth/join`: sign-in of users of this server's own accounts, and their invites.

1. Passwords and invites are sent in bodies only, never in a URL; the response has the form of `POST /api/sessions`.
2. `understudy.web.admission` refuses requests of pages of another origin, as for every route.
"""

from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias, cast

from attrs import field, frozen
from msgspec import Meta

from transport.wire.errors import CommandRejected
from understudy.auth.sessions import Session
from understudy.web.admission import peer
from understudy.web.context import identity, read_json, web_context
from understudy.web.routes import STORED, Routes

if TYPE_CHECKING:
    from understudy.extensions.accounts.local_accounts import LocalAccounts

blueprint: Final = Routes("accounts", __name__, url_prefix="/auth")

BODY_BYTES: Final = 8 * 1024
LONGEST: Final = 1024
"""Limit of the characters of a name, a password or an invite; a longer one is an invalid body."""
Text: TypeAlias = Annotated[str, Meta(max_length=LONGEST)]
NO_ACCOUNTS: Final = "Users of this server have no passwords."


@frozen
class PasswordRequest:
    """The body of a request to sign in."""

    name: Text
    password: Text = field(repr=False)


@frozen
class ChangePasswordRequest:
    """The body of a request to change one's password."""

    password: Text = field(repr=False)
    new_password: Text = field(repr=False)


@frozen
class InviteRequest:
    """The body of a request for the name of an invite's user."""

    invite: Text = field(repr=False)


@frozen
class JoinRequest:
    """The body of a request to set one's first password."""

    invite: Text = field(repr=False)
    password: Text = field(repr=False)


@blueprint.post(
    "/password", status=201, body=PasswordRequest, token=False,
    errors=("unauthenticated", "token_expired", "not_found", "rate_limited", "busy", *STORED),
)  # fmt: skip
async def sign_in() -> Session:
    """Sign in with a name and a password."""
    body = await read_json(PasswordRequest, '{"name": "…", "password": "…"}', BODY_BYTES)
    return (await local_accounts().sign_in(body.name, body.password, peer())).shown()


@blueprint.put(
    "/password", body=ChangePasswordRequest,
    errors=("token_expired", "forbidden", "not_found", "rate_limited", "busy", *STORED),
)  # fmt: skip
async def change_password() -> Session:
    """Change the caller's password, and end their other sessions."""
    caller, accounts = identity(), local_accounts()
    form = '{"password": "…", "new_password": "…"}'
    body = await read_json(ChangePasswordRequest, form, BODY_BYTES)
    return (await accounts.change_password(caller, body.password, body.new_password, peer())).shown()


@blueprint.post("/invite", body=InviteRequest, token=False, errors=("not_found", *STORED))
async def invited() -> dict[Literal["user"], str]:
    """Return the name of the user whom an invite is for."""
    body = await read_json(InviteRequest, '{"invite": "…"}', BODY_BYTES)
    return {"user": await local_accounts().invited(body.invite)}


@blueprint.post(
    "/join", status=201, body=JoinRequest, token=False, errors=("token_expired", "not_found", "busy", *STORED)
)
async def join() -> Session:
    """Set one's first password by an invite, which is used up, and sign in."""
    body = await read_json(JoinRequest, '{"invite": "…", "password": "…"}', BODY_BYTES)
    return (await local_accounts().join(body.invite, body.password)).shown()


def local_accounts() -> "LocalAccounts":
    """Return the accounts of this server. Raises CommandRejected (`not_found`): it has none."""
    accounts = web_context().sessions.sign_in
    if accounts is None or accounts.ways().by != "accounts":
        raise CommandRejected("not_found", NO_ACCOUNTS)
    return cast("LocalAccounts", accounts)
