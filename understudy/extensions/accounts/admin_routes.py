"""`/api/admin/accounts`: invites, rights and resets of the accounts of this server, for operators of the server.

1. The routes do on a running server what the commands `invite` and `accounts` do (`accounts.offline`).
2. An invite appears once, as the path of a link in the response that creates it; only its digest is stored.
3. A caller cannot change their own account, and the last operator who can sign in cannot lose that right.
"""

from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

from attrs import field, frozen
from msgspec import Meta, Struct
from quart import request

from transport.wire.errors import CommandRejected
from understudy.auth.rights import OPERATORS
from understudy.extensions.accounts import storage as queries
from understudy.extensions.accounts.invites import (
    NAME_RULE,
    AccountState,
    account_name,
    check_rights,
    digest_of,
    make_invite,
    state_of,
)
from understudy.extensions.accounts.routes import Text, local_accounts
from understudy.extensions.accounts.storage import (
    CHANGED,
    DISABLED,
    INVITED,
    PAGE,
    Account,
    SoleAccount,
    add_account,
    change_rights,
    disable_account,
    invite_again,
)
from understudy.storage.queries import decode_cursor, encode
from understudy.storage.write import Write
from understudy.web.acts import say
from understudy.web.context import identity, read_json, rights, web_context
from understudy.web.routes import OF_BODY, OF_ONE, STORED, Routes

if TYPE_CHECKING:
    from understudy.extensions.accounts.local_accounts import LocalAccounts

blueprint: Final = Routes("admin_accounts", __name__, url_prefix="/api/admin/accounts")

HOURS: Final = 72
MOST_HOURS: Final = 720
HOUR_S: Final = 3600.0
ERRORS: Final = (*OF_BODY, "not_found", "busy", *STORED)
Hours: TypeAlias = Annotated[int, Meta(ge=1, le=MOST_HOURS)]
NOT_THERE: Final = "There is no account of that name."


@frozen
class InviteUser:
    """The body of a request for a new account; the link to join it is valid for `hours`."""

    name: Text
    roles: list[str] = field(factory=list)
    groups: list[str] = field(factory=list)
    hours: Hours = HOURS


@frozen
class ResetAccount:
    """The body of a request for another link to join an account."""

    hours: Hours = HOURS


@frozen
class ChangeAccount:
    """The body of a change: either new `roles`, `groups` or both, or `disabled`."""

    roles: list[str] | None = None
    groups: list[str] | None = None
    disabled: bool = False


class ShownAccount(Struct):
    """An account without its password, keys and invite."""

    name: str
    state: AccountState
    roles: tuple[str, ...]
    groups: tuple[str, ...]
    created_at: float


class AccountsPage(Struct):
    """Accounts by name, and the cursor of the next page."""

    accounts: list[ShownAccount]
    next_cursor: str | None


class JoinLink(Struct):
    """The path of a link with which a user joins, and the time at which it expires (Unix seconds)."""

    name: str
    path: str
    expires_at: float


@blueprint.get("", query={"cursor": str}, errors=OF_ONE)
async def listing() -> AccountsPage:
    """List the accounts by name, in pages."""
    local, cursor = _accounts_to_change(), request.args.get("cursor")
    after = "" if cursor is None else decode_cursor(cursor, tuple[str])[0]
    accounts = await web_context().store.archive.read(queries.page, after)
    rows = [_shown(account, local.clock()) for account in accounts]
    return AccountsPage(rows, encode(accounts[-1].owner) if len(accounts) == PAGE else None)


@blueprint.post("", status=201, body=InviteUser, errors=ERRORS)
async def invite() -> JoinLink:
    """Make an account, and return the path of the link with which its user joins."""
    local, form = _accounts_to_change(), '{"name": "…", "roles"?: ["…"], "groups"?: ["…"], "hours"?: 72}'
    body = await read_json(InviteUser, form)
    name, (roles, groups) = _check_name(body.name), _rights(body.roles, body.groups)
    token, now = make_invite(), local.clock()
    account = Account(name, roles, groups, "", digest_of(token), now + body.hours * HOUR_S, now)
    await say(INVITED, target=name, as_operator=True, again=False)
    if not await web_context().store.commit(add_account(account)):
        raise CommandRejected("invalid_command", "There is an account of that name: reset it for another link.")
    return JoinLink(name, f"/join#{token}", account.invite_expires_at)


@blueprint.post("/<name>/invite", status=201, body=ResetAccount, errors=ERRORS)
async def reset(name: str) -> JoinLink:
    """Take the password of an account away, end its sessions, and return another link."""
    local, owner = _accounts_to_change(), _other(name)
    body = await read_json(ResetAccount, '{"hours"?: 72}')
    token, expires_at = make_invite(), local.clock() + body.hours * HOUR_S
    await _existing(owner)
    await say(INVITED, target=owner, as_operator=True, again=True)
    await _change(invite_again(owner, digest_of(token), expires_at), owner)
    return JoinLink(owner, f"/join#{token}", expires_at)


@blueprint.patch("/<name>", body=ChangeAccount, errors=(*ERRORS, "last_operator"))
async def change(name: str) -> ShownAccount:
    """Replace the roles and groups of an account, or disable it."""
    local, owner = _accounts_to_change(), _other(name)
    body = await read_json(ChangeAccount, '{"roles": ["…"], "groups": ["…"]} or {"disabled": true}')
    if body.disabled == (body.roles is not None or body.groups is not None):
        raise CommandRejected("invalid_command", "Send either roles and groups, or disabled.")
    account = await _existing(owner)
    if body.disabled:
        await say(DISABLED, target=owner, as_operator=True)
        await _change(disable_account(owner, local.clock(), OPERATORS), owner)
    else:
        roles, groups = _rights(
            account.roles if body.roles is None else body.roles,
            account.groups if body.groups is None else body.groups,
        )
        await say(CHANGED, target=owner, as_operator=True)
        await _change(change_rights(owner, roles, groups, OPERATORS), owner)
    return _shown(await _existing(owner), local.clock())


def _accounts_to_change() -> "LocalAccounts":
    """Return the accounts of this server, after checking that the caller may change them.

    Raises:
        CommandRejected: The caller is no operator (`forbidden`), or accounts are off (`not_found`).
    """
    rights().check_server()
    return local_accounts()


def _check_name(typed: str) -> str:
    name = account_name(typed)
    if name is None:
        raise CommandRejected("invalid_command", f"{NAME_RULE.capitalize()}.")
    return name


def _other(given_name: str) -> str:
    """Return the normalized name of an account. Raises CommandRejected if it is the caller's or no name."""
    name = _check_name(given_name)
    if name == identity().user:
        raise CommandRejected("invalid_command", "That is you: ask another operator to change your account.")
    return name


def _rights(roles: list[str] | tuple[str, ...], groups: list[str] | tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    try:
        check_rights(roles, groups)
    except ValueError as error:
        raise CommandRejected("invalid_command", f"{str(error).capitalize()}.") from None
    return tuple(roles), tuple(groups)


async def _existing(owner: str) -> Account:
    account = await web_context().store.read(queries.one, owner)
    if account is None:
        raise CommandRejected("not_found", NOT_THERE)
    return account


async def _change(work: Write, owner: str) -> None:
    """Commit a change of an account, and end its user's sessions, because their tokens carry the old rights.

    Raises:
        CommandRejected: The change would leave no operator who can sign in (`last_operator`), or the account no longer
            exists (`not_found`).
        StorageUnavailable: The change cannot be stored.
    """
    context = web_context()
    try:
        changed = await context.store.commit(work)
    except SoleAccount as error:
        from understudy.extensions.accounts.local_accounts import LAST_OPERATOR

        raise CommandRejected("last_operator", LAST_OPERATOR) from error
    if not changed:
        raise CommandRejected("not_found", NOT_THERE)
    await context.sessions.end_all_sessions(owner)


def _shown(account: Account, now: float) -> ShownAccount:
    return ShownAccount(account.owner, state_of(account, now), account.roles, account.groups, account.created_at)
