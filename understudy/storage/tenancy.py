"""Whose something is: the name under which all that a user has is stored. Pure.

A user without a tenant is stored under the name that the token has for them. One of a tenant is stored under both
names, with a character between that no claim of a token can hold: so no name of a user can ever be another's.
"""

from typing import Final

BETWEEN: Final = "\x1f"
"""U+001F, the unit separator; claims are printable (`transport.auth.tokens`)."""


def owner_of(user: str, tenant: str | None = None) -> str:
    """The name under which a user's data is stored."""
    return user if tenant is None else f"{tenant}{BETWEEN}{user}"


def name_of(owner: str) -> str:
    """The user's own name, as their token has it."""
    return owner.rpartition(BETWEEN)[2]


def tenant_of(owner: str) -> str | None:
    """Their tenant, if they have one."""
    tenant, between, _ = owner.rpartition(BETWEEN)
    return tenant if between else None
