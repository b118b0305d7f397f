"""The operations of the commands `invite` and `accounts`, on the database, also while servers run.

Each operation stores its entry in the audit log in the same transaction. Servers read an account whenever its user
signs in or a session is renewed, so they need no notice of a change.
"""

import time
from collections.abc import Iterator, Sequence

from understudy.app.settings import Settings
from understudy.auth.rights import OPERATORS
from understudy.cli.stored_data import commit_beside, deed_of, open_read_only, sign_out
from understudy.extensions.accounts import storage as accounts
from understudy.extensions.accounts.invites import digest_of, make_invite
from understudy.extensions.accounts.storage import (
    CHANGED,
    DISABLED,
    INVITED,
    Account,
    SoleAccount,
    add_account,
    change_rights,
    disable_account,
    invite_again,
)
from understudy.storage.acts import Deed
from understudy.storage.errors import AlreadyStored, NotStored
from understudy.storage.write import Write


def invite_user(settings: Settings, name: str, roles: Sequence[str], groups: Sequence[str], expires_at: float) -> str:
    """Make an account, and return its invite. Raises StorageError; AlreadyStored if there is an account."""
    invite = make_invite()
    account = Account(name, roles, groups, "", digest_of(invite), expires_at, time.time())
    entry = deed_of(INVITED, name, again=False)
    if not commit_beside(settings, entry, add_account(account))[-1]:
        raise AlreadyStored("account", name)
    return invite


def reset(settings: Settings, name: str, expires_at: float) -> str:
    """Replace the password of an account by an invite, end the user's sessions, and return the invite.

    Raises StorageError; NotStored if there is no account.
    """
    invite = make_invite()
    _change(settings, deed_of(INVITED, name, again=True), name, invite_again(name, digest_of(invite), expires_at))
    return invite


def disable(settings: Settings, name: str, *, force: bool = False) -> None:
    """Disable an account, and end the user's sessions.

    Raises StorageError; NotStored if there is no account; SoleAccount unless `force`.
    """
    keep_an_operator(settings, name, force=force)
    change = disable_account(name, time.time(), () if force else OPERATORS)
    _change(settings, deed_of(DISABLED, name), name, change)


def set_rights(
    settings: Settings, name: str, roles: Sequence[str], groups: Sequence[str], *, force: bool = False
) -> None:
    """Replace roles and groups of an account, and end the user's sessions, whose tokens carry the old ones.

    Raises StorageError; NotStored if there is no account; SoleAccount unless `force`.
    """
    keep_an_operator(settings, name, force=force or not set(OPERATORS).isdisjoint(roles))
    change = change_rights(name, tuple(roles), tuple(groups), () if force else OPERATORS)
    _change(settings, deed_of(CHANGED, name), name, change)


def keep_an_operator(settings: Settings, name: str, *, force: bool) -> None:
    """Refuse to change the last operator's account with which one can sign in, before anything is stored.

    The change itself checks this again, because another one may be made meanwhile.

    Raises StorageError; SoleAccount if it is the last operator's, unless `force`.
    """
    with open_read_only(settings) as database, database.reading.connect() as connection:
        if not force and accounts.is_sole(connection, name, OPERATORS):
            raise SoleAccount(name)


def accounts_of(settings: Settings) -> Iterator[Account]:
    """Yield all accounts, by name. Raises StorageError."""
    with open_read_only(settings) as database, database.reading.connect() as connection:
        after = ""
        while page := accounts.page(connection, after):
            yield from page
            after = page[-1].owner


def _change(settings: Settings, deed: Deed, name: str, change: Write) -> None:
    """Commit a change of an account together with the audit entry `deed`, and end the user's sessions. Raises
    StorageError; NotStored if there is no account; SoleAccount."""
    if not commit_beside(settings, deed, change)[-1]:
        raise NotStored("account", name)
    sign_out(settings, name, None)
