"""Reads and writes of local accounts: the users of this server who sign in with a password or a passkey.

1. A password is stored as its Argon2id hash only, an invite as a digest.
2. An invite is taken once: of two requests with the same invite, one sets the password.
3. An account has neither a password nor passkeys until its invite is taken. A new invite removes them.
4. An account without a password and without an invite has a passkey (`passkey_storage`), or is disabled.
5. Two concurrent changes cannot together remove the last operator: each locks all usable accounts before it checks
   that another one with the role remains, so one of the two is refused.
"""

import time
from collections.abc import Collection, Iterable
from typing import Any, Final

from attrs import asdict, define, field, frozen
from sqlalchemy import Connection, delete, or_, select, update

from understudy.auth.rights import OPERATORS
from understudy.extensions.accounts.tables import accounts, passkeys
from understudy.storage.acts import Act
from understudy.storage.errors import ChangeRefused
from understudy.storage.write import Write, add_users, put, write

CHANGED: Final = Act("account.changed")
DISABLED: Final = Act("account.disabled")
INVITED: Final = Act("account.invited", "again")
JOINED: Final = Act("account.joined", "passkey")
PASSWORD_CHANGED: Final = Act("account.password_changed")
SIGN_IN_REFUSED: Final = Act("account.sign_in_refused", "passkey")
SIGNED_IN: Final = Act("account.signed_in", "passkey")

PAGE: Final = 500
"""Accounts per page of a read."""

_a = accounts.c


@define
class SoleAccount(ChangeRefused, ValueError):
    """The change would take a role from the only account that has it and with which one can sign in."""

    owner: str

    def __str__(self) -> str:
        return (
            f"{self.owner} is the only operator who can sign in (last_operator): invite another operator first, or say "
            "--force if you mean it"
        )


def _texts(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(texts)


@frozen
class Account:
    """A local account. `password` is its hash, `invite` the digest of the invite; each is empty if there is none.

    Times are Unix seconds; `disabled_at` is None for an account with which one can sign in.
    """

    owner: str
    roles: tuple[str, ...] = field(converter=_texts)
    groups: tuple[str, ...] = field(converter=_texts)
    password: str = field(repr=False)
    invite: str = field(repr=False)
    invite_expires_at: float
    created_at: float
    disabled_at: float | None = None

    @property
    def is_joined(self) -> bool:
        """Whether the user has set a password, or stored a passkey, since the last invite."""
        return bool(self.password) or not self.invite


@write
def add_account(connection: Connection, account: Account) -> bool:
    """Store a new account, and its user if that is new. Return False if the account exists already."""
    add_users(connection, [(account.owner, account.created_at)])
    row = asdict(account) | {"roles": list(account.roles), "groups": list(account.groups)}
    added = put(connection, accounts).values(**row).on_conflict_do_nothing()
    return connection.execute(added).rowcount > 0


@write
def invite_again(connection: Connection, owner: str, invite: str, expires_at: float) -> bool:
    """Replace password and passkeys of an account by an invite, and enable it. Return whether it exists."""
    values = {"password": "", "invite": invite, "invite_expires_at": expires_at, "disabled_at": None}
    connection.execute(delete(passkeys).where(passkeys.c.owner == owner))
    return _change(connection, owner, values)


@write
def take_invite(connection: Connection, owner: str, invite: str, password: str, now: float) -> bool:
    """Set the password of an account and use its invite up. Return whether the invite was valid at `now`."""
    valid = (_a.invite == invite, _a.invite_expires_at > now, _a.disabled_at.is_(None))
    return _change(connection, owner, {"password": password, "invite": ""}, *valid)


@write
def replace_password(connection: Connection, owner: str, replaces: str, password: str) -> bool:
    """Store another hash, of the same password or a new one.

    Return whether the account still has the hash `replaces`, and is not disabled.
    """
    return _change(connection, owner, {"password": password}, _a.password == replaces, _a.disabled_at.is_(None))


@write
def change_rights(
    connection: Connection, owner: str, roles: tuple[str, ...], groups: tuple[str, ...], keep: tuple[str, ...] = ()
) -> bool:
    """Replace the roles and groups of an account. Return whether the account exists.

    Raises SoleAccount if it is the only usable account with one of the roles `keep` and would lose them.
    """
    _keep_another(connection, owner, () if set(keep) & set(roles) else keep)
    return _change(connection, owner, {"roles": list(roles), "groups": list(groups)})


@write
def disable_account(connection: Connection, owner: str, at: float, keep: tuple[str, ...] = ()) -> bool:
    """Disable sign-in to an account, and withdraw its invite. Return whether the account exists.

    Raises SoleAccount if it is the only usable account with one of the roles `keep`.
    """
    _keep_another(connection, owner, keep)
    return _change(connection, owner, {"disabled_at": at, "invite": ""})


def record_of(row: Any) -> dict[str, Any]:
    """Return an account as its user's data: whether it has a password and an invite, but neither of them."""
    return {name: getattr(row, name) for name in ("roles", "groups", "created_at", "disabled_at")} | {
        "password": bool(row.password),
        "invited_until": row.invite_expires_at if row.invite else None,
    }


def shut_out(owner: str) -> Write:
    """Return the write that disables an account before its user is erased. It raises SoleAccount, as for a change."""
    return disable_account(owner, time.time(), OPERATORS)


def _keep_another(connection: Connection, owner: str, roles: Collection[str]) -> None:
    """Raise SoleAccount if no other usable account has one of these roles. Lock the rows of all usable accounts."""
    if roles and _usable(connection, roles, lock=True) == {owner}:
        raise SoleAccount(owner)


def _usable(connection: Connection, roles: Collection[str], *, lock: bool = False) -> set[str]:
    """Return the users who can sign in to an account that has one of these roles."""
    can_sign_in = or_(_a.password != "", _a.owner.in_(select(passkeys.c.owner)))
    query = select(_a.owner, _a.roles).where(can_sign_in, _a.disabled_at.is_(None)).order_by(_a.owner)
    rows = connection.execute(query.with_for_update() if lock else query)  # by owner, so that two do not deadlock
    return {owner for owner, account_roles in rows if not set(roles).isdisjoint(account_roles)}


def _change(connection: Connection, owner: str, values: dict[str, Any], *conditions: Any) -> bool:
    change = update(accounts).where(_a.owner == owner, *conditions)
    return connection.execute(change.values(**values)).rowcount > 0


def one(connection: Connection, owner: str) -> Account | None:
    """Return the account of a user, or None."""
    row = connection.execute(_ALL.where(_a.owner == owner)).first()
    return None if row is None else Account(*row)


def invited(connection: Connection, invite: str, now: float) -> Account | None:
    """Return the account with the digest of an invite that is valid at `now`, or None."""
    valid = _ALL.where(_a.invite == invite, _a.invite != "", _a.invite_expires_at > now, _a.disabled_at.is_(None))
    row = connection.execute(valid).first()
    return None if row is None else Account(*row)


def page(connection: Connection, after: str) -> list[Account]:
    """Return up to `PAGE` accounts whose owner's name sorts after `after`, by owner."""
    rows = connection.execute(_ALL.where(_a.owner > after).order_by(_a.owner).limit(PAGE))
    return [Account(*row) for row in rows]


def is_sole(connection: Connection, owner: str, roles: Collection[str]) -> bool:
    """Return whether this user is the only one who can sign in with one of these roles."""
    return _usable(connection, roles) == {owner}


_ALL: Final = select(
    _a.owner, _a.roles, _a.groups, _a.password, _a.invite, _a.invite_expires_at, _a.created_at, _a.disabled_at
)
