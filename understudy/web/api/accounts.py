"""`/auth/password`, `/auth/invite`, `/auth/join`: sign-in of users whom this server itself knows, and their invites.

1. Passwords and invites come in bodies only, never in an address; the answer has the session as `POST /api/sessions`.
2. A page of another origin is refused before, as for every route (`understudy.web.admission`).
"""

from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen
from attrs.validators import max_len
from quart import Blueprint

from transport.wire.errors import CommandRejected
from understudy.web.admission import peer
from understudy.web.context import identity, read_json, web_context

if TYPE_CHECKING:
    from understudy.auth.accounts.local_accounts import LocalAccounts

blueprint: Final = Blueprint("accounts", __name__, url_prefix="/auth")

BODY_BYTES: Final = 8 * 1024
LONGEST: Final = 1024
"""Characters of a name, a password or an invite that are read at all."""
NO_ACCOUNTS: Final = "Users of this server have no passwords."


@frozen
class PasswordRequest:
    """The body of a request to sign in."""

    name: str = field(validator=max_len(LONGEST))
    password: str = field(repr=False, validator=max_len(LONGEST))


@frozen
class ChangePasswordRequest:
    """The body of a request to change one's password."""

    password: str = field(repr=False, validator=max_len(LONGEST))
    new_password: str = field(repr=False, validator=max_len(LONGEST))


@frozen
class InviteRequest:
    """The body of a request that asks whom an invite is for."""

    invite: str = field(repr=False, validator=max_len(LONGEST))


@frozen
class JoinRequest:
    """The body of a request to set one's first password."""

    invite: str = field(repr=False, validator=max_len(LONGEST))
    password: str = field(repr=False, validator=max_len(LONGEST))


@blueprint.post("/password")
async def sign_in() -> tuple[dict[str, Any], int]:
    """Sign in with a name and a password."""
    given = await read_json(PasswordRequest, '{"name": "…", "password": "…"}', BODY_BYTES)
    return (await local_accounts().sign_in(given.name, given.password, peer())).as_json(), 201


@blueprint.put("/password")
async def change_password() -> dict[str, Any]:
    """Change the caller's password, and end their other sessions. The answer is the session with its next token."""
    caller, accounts = identity(), local_accounts()
    form = '{"password": "…", "new_password": "…"}'
    given = await read_json(ChangePasswordRequest, form, BODY_BYTES)
    return (await accounts.change_password(caller, given.password, given.new_password, peer())).as_json()


@blueprint.post("/invite")
async def invited() -> dict[str, str]:
    """Return the name of the user whom an invite is for."""
    given = await read_json(InviteRequest, '{"invite": "…"}', BODY_BYTES)
    return {"user": await local_accounts().invited(given.invite)}


@blueprint.post("/join")
async def join() -> tuple[dict[str, Any], int]:
    """Set one's first password by an invite, which is used up, and sign in."""
    given = await read_json(JoinRequest, '{"invite": "…", "password": "…"}', BODY_BYTES)
    return (await local_accounts().join(given.invite, given.password)).as_json(), 201


def local_accounts() -> "LocalAccounts":
    """Return the accounts of this server. Raises CommandRejected (`not_found`): it has none."""
    accounts = web_context().sessions.accounts
    if accounts is None:
        raise CommandRejected("not_found", NO_ACCOUNTS)
    return accounts
