"""Reads and writes of passkeys (WebAuthn credentials) of local accounts.

1. The counter of a passkey only grows, so of two uses with the same count one succeeds.
2. The last passkey of an account without a password is not removed, because nobody could sign in to it then.
"""

import hashlib
from typing import Final

from attrs import asdict, field, frozen
from msgspec import Struct
from sqlalchemy import Connection, delete, func, select, update

from understudy.extensions.accounts.tables import accounts, passkeys
from understudy.storage.acts import Act
from understudy.storage.write import put, write

ADDED: Final = Act("passkey.added", "passkey")
REMOVED: Final = Act("passkey.removed", "passkey")
MOST_OF_ACCOUNT: Final = 20
"""Limit of passkeys per account."""

_p = passkeys.c
_a = accounts.c


@frozen
class Passkey:
    """A passkey. `id` is that of the credential, in base64url without padding; `public_key` is a COSE key.

    Times are Unix seconds; `used_at` is None until the first sign-in with it.
    """

    id: str
    owner: str
    public_key: bytes = field(repr=False)
    sign_count: int
    name: str
    created_at: float
    used_at: float | None = None


@write
def add_passkey(connection: Connection, passkey: Passkey) -> bool:
    """Store a passkey of an account that is not disabled. Return False, without storing it, if the id is stored
    already or the account has `MOST_OF_ACCOUNT` passkeys."""
    account = select(_a.owner).where(_a.owner == passkey.owner, _a.disabled_at.is_(None)).with_for_update()
    count = select(func.count()).select_from(passkeys).where(_p.owner == passkey.owner)
    if connection.scalar(account) is None or (connection.scalar(count) or 0) >= MOST_OF_ACCOUNT:
        return False
    return _insert(connection, passkey)


@write
def join_by_passkey(connection: Connection, invite: str, now: float, passkey: Passkey) -> bool:
    """Store the first passkey of an account and use its invite up. Return False if the invite was not valid at `now`
    or the id is stored already."""
    same_owner = _a.owner == passkey.owner
    valid = (same_owner, _a.invite == invite, _a.invite_expires_at > now, _a.disabled_at.is_(None))
    owner = connection.scalar(select(_a.owner).where(*valid).with_for_update())
    if not invite or owner is None or not _insert(connection, passkey):
        return False
    return connection.execute(update(accounts).where(same_owner).values(invite="")).rowcount > 0


@write
def use_passkey(connection: Connection, owner: str, passkey_id: str, sign_count: int, now: float) -> bool:
    """Store the counter that a passkey has signed at `now`. Return whether the passkey exists and its counter has
    grown. A counter that is always 0 is accepted: such an authenticator does not count."""
    grown = _p.sign_count < sign_count if sign_count else _p.sign_count == 0
    change = update(passkeys).where(_p.owner == owner, _p.id == passkey_id, grown)
    return connection.execute(change.values(sign_count=sign_count, used_at=now)).rowcount > 0


@write
def remove_passkey(connection: Connection, owner: str, passkey_id: str) -> bool:
    """Remove a passkey, unless it is the only way to sign in. Return whether it was removed."""
    account = select(_a.password).where(_a.owner == owner).with_for_update()
    other = select(_p.id).where(_p.owner == owner, _p.id != passkey_id).limit(1)
    if not connection.scalar(account) and connection.scalar(other) is None:
        return False
    query = delete(passkeys).where(_p.owner == owner, _p.id == passkey_id)
    return connection.execute(query).rowcount > 0


def _insert(connection: Connection, passkey: Passkey) -> bool:
    return connection.execute(put(connection, passkeys).values(**asdict(passkey)).on_conflict_do_nothing()).rowcount > 0


def public_id(passkey_id: str) -> str:
    """Return the short id by which users and the audit log name a passkey."""
    return hashlib.sha256(passkey_id.encode()).hexdigest()[:32]


def one(connection: Connection, passkey_id: str) -> Passkey | None:
    """Return the passkey of this id, or None."""
    row = connection.execute(select(*_p).where(_p.id == passkey_id)).first()
    return None if row is None else Passkey(*row)


def of_owner(connection: Connection, owner: str) -> list[Passkey]:
    """Return the passkeys of an account, oldest first."""
    rows = connection.execute(select(*_p).where(_p.owner == owner).order_by(_p.created_at, _p.id))
    return [Passkey(*row) for row in rows]


class ShownPasskey(Struct):
    """A passkey without its key, under the id by which users name it."""

    id: str
    name: str
    created_at: float
    used_at: float | None


def passkey_of(row: Passkey) -> ShownPasskey:
    """Return a stored passkey in the form in which responses show it."""
    return ShownPasskey(public_id(row.id), row.name, row.created_at, row.used_at)
