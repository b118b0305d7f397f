"""The storage key of a user, made of tenant and user name. Pure.

Without a tenant the key is the user name of the token. With one it is both names, separated by a character that no
claim of a token can contain, so that no two users share a key.
"""

from typing import Final

BETWEEN: Final = "\x1f"
"""U+001F, the unit separator; claims are printable (`transport.auth.tokens`)."""


def owner_of(user: str, tenant: str | None = None) -> str:
    """Return the key under which a user's data is stored."""
    return user if tenant is None else f"{tenant}{BETWEEN}{user}"


def name_of(owner: str) -> str:
    """Return the user name of a key, as in the token."""
    return owner.rpartition(BETWEEN)[2]


def tenant_of(owner: str) -> str | None:
    """Return the tenant of a key, or None."""
    tenant, between, _ = owner.rpartition(BETWEEN)
    return tenant if between else None
