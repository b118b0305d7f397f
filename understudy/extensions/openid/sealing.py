"""What is secret of a session, sealed: it is opened with the same secret, for the same registration at the provider."""

import hashlib

from attrs import evolve, field, frozen

from transport.auth import base64url
from transport.auth.tokens import MAX_CLAIM
from understudy.auth.seal import Seal
from understudy.extensions.openid.claims import ProviderUser
from understudy.extensions.openid.provider import Registration
from understudy.extensions.openid.settings import HANDOVER_S
from understudy.extensions.openid.storage import ProviderSession


@frozen
class Kept:
    """What is sealed of a session. `checked_at`: when the provider said who the user is. `tokens`: ids of its last."""

    user: ProviderUser
    refresh: str | None = field(repr=False)
    id_token: str = field(repr=False)
    checked_at: float
    tokens: tuple[str, ...] = ()


@frozen
class Handover:
    """What the cookie of a user who has just signed in holds."""

    owner: str
    session: str
    stamp: str
    until: float


@frozen
class SessionSeal:
    """Seals the sessions of the provider that `registration` names, each for its user and id."""

    seal: Seal
    registration: Registration

    def sealed(self, row: ProviderSession, kept: Kept) -> ProviderSession:
        """Return the session with what is kept of it."""
        return evolve(row, sealed=self.seal.seal(kept, *self._place(row)))

    def open(self, row: ProviderSession) -> Kept | None:
        """Return what is sealed of a session; None if that was done with another secret, or for another provider."""
        return self.seal.open(row.sealed, Kept, *self._place(row))

    def handover(self, begun: ProviderSession, now: float) -> str:
        """Return what the cookie holds of the browser in which a session has just begun."""
        kept = Handover(begun.owner, begun.id, begun.stamp, now + HANDOVER_S)
        return base64url.encode(self.seal.seal(kept, "openid handover"))

    def open_handover(self, cookie: str, now: float) -> Handover | None:
        """Return what such a cookie holds; None if it has expired, or is none of this server."""
        try:
            found = self.seal.open(base64url.decode(cookie), Handover, "openid handover")
        except ValueError:
            return None
        return found if found is not None and now < found.until else None

    def digest(self, name: str) -> str:
        """Return what is stored in place of a name that the provider gave, and nothing for none."""
        text = f"{self.registration.issuer}\0{name[: MAX_CLAIM * 4]}"
        return hashlib.sha256(text.encode()).hexdigest() if name else ""

    def _place(self, row: ProviderSession) -> tuple[str, ...]:
        return "openid session", row.owner, row.id, self.registration.issuer, self.registration.client_id
