"""`/api/admin/accounts`: invites, rights and resets of the accounts of this server, for operators of the server.

1. What the commands `invite` and `accounts` do (`understudy.extensions.accounts.offline`), on the server that runs.
2. An invite is told once, in the answer that makes it, as the path of a link.
3. Nobody changes their own account here, and the last operator who can sign in stays one.
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
    """The body of a change: other `roles` and `groups`, both, or `disabled`."""

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
    """Accounts by name, and the cursor of the page after."""

    accounts: list[ShownAccount]
    next_cursor: str | None


class JoinLink(Struct):
    """The path of a link with which a user joins, and when it expires."""

    name: str
    path: str
    expires_at: float


@blueprint.get("", query={"cursor": str}, errors=OF_ONE)
async def listing() -> AccountsPage:
    """List the accounts by name, in pages."""
    local, cursor = _known(), request.args.get("cursor")
    after = "" if cursor is None else decode_cursor(cursor, tuple[str])[0]
    accounts = await web_context().store.archive.read(queries.page, after)
    rows = [_row(account, local.clock()) for account in accounts]
    return AccountsPage(rows, encode(accounts[-1].owner) if len(accounts) == PAGE else None)


@blueprint.post("", status=201, body=InviteUser, errors=ERRORS)
async def invite() -> JoinLink:
    """Make an account, and return the path of the link with which its user joins."""
    local, form = _known(), '{"name": "…", "roles"?: ["…"], "groups"?: ["…"], "hours"?: 72}'
    body = await read_json(InviteUser, form)
    name, (roles, groups) = _name(body.name), _rights(body.roles, body.groups)
    made, now = make_invite(), local.clock()
    account = Account(name, roles, groups, "", digest_of(made), now + body.hours * HOUR_S, now)
    await say(INVITED, target=name, as_operator=True, again=False)
    if not await web_context().store.commit(add_account(account)):
        raise CommandRejected("invalid_command", "There is an account of that name: reset it for another link.")
    return JoinLink(name, f"/join#{made}", account.invite_expires_at)


@blueprint.post("/<name>/invite", status=201, body=ResetAccount, errors=ERRORS)
async def reset(name: str) -> JoinLink:
    """Take the password of an account away, end its sessions, and return another link."""
    local, owner = _known(), _other(name)
    body = await read_json(ResetAccount, '{"hours"?: 72}')
    made, expires_at = make_invite(), local.clock() + body.hours * HOUR_S
    await _existing(owner)
    await say(INVITED, target=owner, as_operator=True, again=True)
    await _change(invite_again(owner, digest_of(made), expires_at), owner)
    return JoinLink(owner, f"/join#{made}", expires_at)


@blueprint.patch("/<name>", body=ChangeAccount, errors=(*ERRORS, "last_operator"))
async def change(name: str) -> ShownAccount:
    """Replace the roles and groups of an account, or disable it."""
    local, owner = _known(), _other(name)
    body = await read_json(ChangeAccount, '{"roles": ["…"], "groups": ["…"]} or {"disabled": true}')
    if body.disabled == (body.roles is not None or body.groups is not None):
        raise CommandRejected("invalid_command", "Send either roles and groups, or disabled.")
    before = await _existing(owner)
    if body.disabled:
        await say(DISABLED, target=owner, as_operator=True)
        await _change(disable_account(owner, local.clock(), OPERATORS), owner)
    else:
        roles, groups = _rights(
            before.roles if body.roles is None else body.roles,
            before.groups if body.groups is None else body.groups,
        )
        await say(CHANGED, target=owner, as_operator=True)
        await _change(change_rights(owner, roles, groups, OPERATORS), owner)
    return _row(await _existing(owner), local.clock())


def _known() -> "LocalAccounts":
    """Return the accounts of this server, which its operators may change.

    Raises:
        CommandRejected: The caller may not (`forbidden`), or its users have no passwords (`not_found`).
    """
    rights().check_server()
    return local_accounts()


def _name(typed: str) -> str:
    name = account_name(typed)
    if name is None:
        raise CommandRejected("invalid_command", f"{NAME_RULE.capitalize()}.")
    return name


def _other(typed: str) -> str:
    """Return the name of an account that is not the caller's."""
    name = _name(typed)
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
    """Commit a change, and end the sessions of its user, whose tokens carry what was before.

    Raises:
        CommandRejected: It would leave no operator who can sign in (`last_operator`), or the account is there no more
            (`not_found`).
        StorageUnavailable: It cannot be stored.
    """
    context = web_context()
    try:
        done = await context.store.commit(work)
    except SoleAccount as refused:
        from understudy.extensions.accounts.local_accounts import LAST_OPERATOR

        raise CommandRejected("last_operator", LAST_OPERATOR) from refused
    if not done:
        raise CommandRejected("not_found", NOT_THERE)
    await context.sessions.end_all_sessions(owner)


def _row(account: Account, now: float) -> ShownAccount:
    return ShownAccount(account.owner, state_of(account, now), account.roles, account.groups, account.created_at)
