"""Operations behind the commands invite and accounts, on the database, also while servers run.

Each has an entry in the audit log, which is stored in the same transaction. Servers read accounts whenever somebody
signs in or a session is renewed, so they need not be told.
"""

import time
from collections.abc import Iterator, Sequence

from understudy.app.settings import Settings
from understudy.auth.accounts.invites import digest_of, make_invite
from understudy.cli.user_data import audit_entry, commit_beside, open_read_only, sign_out
from understudy.storage import accounts
from understudy.storage.accounts import (
    Account,
    AddAccount,
    ChangeRights,
    DisableAccount,
    InviteAgain,
)
from understudy.storage.errors import AlreadyStored, NotStored


def invite_user(settings: Settings, name: str, roles: Sequence[str], groups: Sequence[str], expires_at: float) -> str:
    """Make an account, and return its invite. Raises StorageError; AlreadyStored if there is an account."""
    invite = make_invite()
    account = Account(name, roles, groups, "", digest_of(invite), expires_at, time.time())
    entry = audit_entry("account.invited", name, again=False)
    if not commit_beside(settings, entry, AddAccount(account))[-1]:
        raise AlreadyStored("account", name)
    return invite


def reset(settings: Settings, name: str, expires_at: float) -> str:
    """Replace the password of an account by an invite, end the user's sessions, and return the invite.

    Raises StorageError; NotStored if there is no account.
    """
    invite = make_invite()
    entry = audit_entry("account.invited", name, again=True)
    _need(commit_beside(settings, entry, InviteAgain(name, digest_of(invite), expires_at))[-1], name)
    sign_out(settings, name, None)
    return invite


def disable(settings: Settings, name: str) -> None:
    """Disable an account, and end the user's sessions. Raises StorageError; NotStored if there is no account."""
    entry = audit_entry("account.disabled", name)
    _need(commit_beside(settings, entry, DisableAccount(name, time.time()))[-1], name)
    sign_out(settings, name, None)


def set_rights(settings: Settings, name: str, roles: Sequence[str], groups: Sequence[str]) -> None:
    """Replace roles and groups of an account, and end the user's sessions, whose tokens carry the old ones.

    Raises StorageError; NotStored if there is no account.
    """
    entry = audit_entry("account.changed", name)
    _need(commit_beside(settings, entry, ChangeRights(name, tuple(roles), tuple(groups)))[-1], name)
    sign_out(settings, name, None)


def accounts_of(settings: Settings) -> Iterator[Account]:
    """Yield all accounts, by name. Raises StorageError."""
    with open_read_only(settings) as database, database.reading.connect() as connection:
        after = ""
        while page := accounts.page(connection, after):
            yield from page
            after = page[-1].owner


def state_of(account: Account, now: float) -> str:
    """Return in one word what an account can be used for."""
    if account.disabled_at is not None:
        return "disabled"
    if account.password:
        return "active"
    return "invited" if account.invite_expires_at > now else "expired"


def _need(found: int, name: str) -> None:
    if not found:
        raise NotStored("account", name)
