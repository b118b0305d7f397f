"""Names, rights and states of accounts, and the invites with which their users set a password."""

import hashlib
import secrets
import unicodedata
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from transport.auth.tokens import MAX_CLAIM, MAX_RIGHTS, MAX_ROLES, is_claim_text, rights_fit
from understudy.auth.sessions import ANONYMOUS
from understudy.extensions.accounts.storage import Account

TOKEN_BYTES: Final = 24
"""Random bytes of an invite: 192 bits cannot be guessed."""
LONGEST_NAME: Final = 64
NAME_MARKS: Final = "._@+-"
NAME_RULE: Final = "a name has 1 to 64 letters, digits and . _ @ + -, and begins with a letter or digit"


def account_name(typed: str) -> str | None:
    """Return a typed account name in its stored form, which ignores case, or None if it is no valid name."""
    name = unicodedata.normalize("NFKC", typed.strip()).casefold()
    fits = 0 < len(name) <= LONGEST_NAME and all(letter.isalnum() or letter in NAME_MARKS for letter in name)
    return name if fits and name[0].isalnum() and not name.startswith(ANONYMOUS) else None


def make_invite() -> str:
    """Return a new random invite. Only its digest is stored."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def digest_of(invite: str) -> str:
    """Return the digest by which an invite is stored."""
    return hashlib.sha256(invite.encode()).hexdigest()


def check_rights(roles: Sequence[str], groups: Sequence[str]) -> None:
    """Raise ValueError, with a sentence for the user, if these cannot be the roles and groups of an account."""
    rights = (*roles, *groups)
    if any(not is_claim_text(right) or "," in right for right in rights):
        raise ValueError(f"roles and groups are printable texts of at most {MAX_CLAIM} letters without commas")
    if not rights_fit(rights) or len(roles) > MAX_ROLES:
        raise ValueError(
            f"roles and groups have at most {MAX_RIGHTS} bytes together, and there are at most {MAX_ROLES} roles"
        )


AccountState: TypeAlias = Literal["active", "disabled", "invited", "expired"]


def state_of(account: Account, now: float) -> AccountState:
    """Return the state of an account at `now` (Unix seconds)."""
    if account.disabled_at is not None:
        return "disabled"
    if account.is_joined:
        return "active"
    return "invited" if account.invite_expires_at > now else "expired"
