"""Reads and writes of passkeys (WebAuthn credentials) of local accounts.

1. The counter of a passkey only grows: of two uses with one count, one succeeds.
2. The last passkey of an account without a password is not removed: nobody could sign in to it.
"""

import hashlib
from typing import Final

from attrs import asdict, field, frozen
from msgspec import Struct
from sqlalchemy import Connection, delete, func, select, update

from understudy.extensions.accounts.tables import accounts, passkeys
from understudy.storage.acts import Act
from understudy.storage.write import Write, put

ADDED: Final = Act("passkey.added", "passkey")
REMOVED: Final = Act("passkey.removed", "passkey")
MOST_OF_ACCOUNT: Final = 20
"""Passkeys of an account."""

_p = passkeys.c
_a = accounts.c


@frozen
class Passkey:
    """A passkey. `id` is that of the credential, in base64url without padding; `public_key` is a COSE key.

    Times are Unix seconds; `used_at` is None until somebody signs in with it.
    """

    id: str
    owner: str
    public_key: bytes = field(repr=False)
    sign_count: int
    name: str
    created_at: float
    used_at: float | None = None


@frozen
class AddPasskey(Write):
    """Store a passkey of an account that is not disabled. The answer is whether it is stored: not if the id is there
    already, nor if the account has `MOST_OF_ACCOUNT`."""

    passkey: Passkey

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        account = select(_a.owner).where(_a.owner == self.passkey.owner, _a.disabled_at.is_(None)).with_for_update()
        has = select(func.count()).select_from(passkeys).where(_p.owner == self.passkey.owner)
        if connection.scalar(account) is None or (connection.scalar(has) or 0) >= MOST_OF_ACCOUNT:
            return False
        return _insert(connection, self.passkey)


@frozen
class JoinByPasskey(Write):
    """Store the first passkey of an account and use its invite up. The answer is whether the invite was valid at `now`
    and the id is not there already."""

    invite: str = field(repr=False)
    now: float
    passkey: Passkey

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        mine = _a.owner == self.passkey.owner
        valid = (mine, _a.invite == self.invite, _a.invite_expires_at > self.now, _a.disabled_at.is_(None))
        found = connection.scalar(select(_a.owner).where(*valid).with_for_update())
        if not self.invite or found is None or not _insert(connection, self.passkey):
            return False
        return connection.execute(update(accounts).where(mine).values(invite="")).rowcount > 0


@frozen
class UsePasskey(Write):
    """Store the count that a passkey has signed at `now`. The answer is whether it is there and the count has grown:
    only if it is always 0, the passkey does not count."""

    owner: str
    id: str
    sign_count: int
    now: float

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        grown = _p.sign_count < self.sign_count if self.sign_count else _p.sign_count == 0
        used = update(passkeys).where(_p.owner == self.owner, _p.id == self.id, grown)
        return connection.execute(used.values(sign_count=self.sign_count, used_at=self.now)).rowcount > 0


@frozen
class RemovePasskey(Write):
    """Remove a passkey. The answer is whether it was there, and not the only way to sign in."""

    owner: str
    id: str

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        account = select(_a.password).where(_a.owner == self.owner).with_for_update()
        other = select(_p.id).where(_p.owner == self.owner, _p.id != self.id).limit(1)
        if not connection.scalar(account) and connection.scalar(other) is None:
            return False
        gone = delete(passkeys).where(_p.owner == self.owner, _p.id == self.id)
        return connection.execute(gone).rowcount > 0


def _insert(connection: Connection, passkey: Passkey) -> bool:
    return connection.execute(put(connection, passkeys).values(**asdict(passkey)).on_conflict_do_nothing()).rowcount > 0


def public_id(passkey_id: str) -> str:
    """Return the short id by which users and the audit log name a passkey."""
    return hashlib.sha256(passkey_id.encode()).hexdigest()[:32]


def one(connection: Connection, passkey_id: str) -> Passkey | None:
    """Return the passkey of this id, or None."""
    found = connection.execute(select(*_p).where(_p.id == passkey_id)).first()
    return None if found is None else Passkey(*found)


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
    """Return a passkey as it is shown."""
    return ShownPasskey(public_id(row.id), row.name, row.created_at, row.used_at)
