"""The key of an owner: the user name of the token or, with tenants, both names.

They are separated by a character that no claim of a token can contain, so that no two users share a key.
"""

from typing import Final

from .errors import BadName

BETWEEN: Final = "\x1f"
"""Separates tenant and user in a key: U+001F, the unit separator; claims are printable (`transport.auth.tokens`)."""


def owner_of(user: str, tenant: str | None = None) -> str:
    """Return the key under which a user's data is stored.

    Raises `BadName` for a name with characters that are not printable: with `BETWEEN` in it, the key of a user without
    a tenant would be that of one with a tenant.
    """
    if not user.isprintable() or not (tenant or "").isprintable():
        raise BadName
    return user if tenant is None else f"{tenant}{BETWEEN}{user}"


def name_of(owner: str) -> str:
    """Return the user name of a key, as in the token."""
    return owner.rpartition(BETWEEN)[2]


def tenant_of(owner: str) -> str | None:
    """Return the tenant of a key, or None."""
    tenant, between, _ = owner.rpartition(BETWEEN)
    return tenant if between else None
