"""Names of accounts, and the invites with which their users set a password."""

import hashlib
import secrets
import unicodedata
from typing import Final

from understudy.auth.sessions import ANONYMOUS

TOKEN_BYTES: Final = 24
"""Random bytes of an invite: 192 bits, of which nobody guesses one."""
LONGEST_NAME: Final = 64
NAME_MARKS: Final = "._@+-"


def account_name(typed: str) -> str | None:
    """Return the name of an account in the form that is stored, so that its case does not matter; None if it cannot be
    one."""
    name = unicodedata.normalize("NFKC", typed.strip()).casefold()
    fits = 0 < len(name) <= LONGEST_NAME and all(each.isalnum() or each in NAME_MARKS for each in name)
    return name if fits and name[0].isalnum() and not name.startswith(ANONYMOUS) else None


def make_invite() -> str:
    """Return a new invite, of which only the digest is stored."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def digest_of(invite: str) -> str:
    """Return the digest by which an invite is stored."""
    return hashlib.sha256(invite.encode()).hexdigest()
