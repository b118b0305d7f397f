"""Seals the secrets of a session; they open only with the same key and for the same registration at the provider."""

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
    """The sealed part of a session. `checked_at`: when the provider last said who the user is, in Unix seconds;
    `refresh`: its refresh token, None without one; `tokens`: ids of this server's latest tokens."""

    user: ProviderUser
    refresh: str | None = field(repr=False)
    id_token: str = field(repr=False)
    checked_at: float
    tokens: tuple[str, ...] = ()


@frozen
class Handover:
    """The content of the cookie that lets a browser take the first token of a session; it expires at `until`."""

    owner: str
    session: str
    stamp: str
    until: float


@frozen
class SessionSeal:
    """Seals the sessions of users of the provider in `registration`, each under its user and id."""

    seal: Seal
    registration: Registration

    def sealed(self, row: ProviderSession, kept: Kept) -> ProviderSession:
        """Return the session with `kept` sealed into it."""
        return evolve(row, sealed=self.seal.seal(kept, *self._place(row)))

    def open(self, row: ProviderSession) -> Kept | None:
        """Return the sealed part of a session; None if another secret, or another registration, sealed it."""
        return self.seal.open(row.sealed, Kept, *self._place(row))

    def handover(self, begun: ProviderSession, now: float) -> str:
        """Return the value of the cookie for the browser in which a session has just begun."""
        content = Handover(begun.owner, begun.id, begun.stamp, now + HANDOVER_S)
        return base64url.encode(self.seal.seal(content, "openid handover"))

    def open_handover(self, cookie: str, now: float) -> Handover | None:
        """Return the content of a cookie that `handover` made; None if it has expired, or another server made it."""
        try:
            opened = self.seal.open(base64url.decode(cookie), Handover, "openid handover")
        except ValueError:
            return None
        return opened if opened is not None and now < opened.until else None

    def digest(self, name: str) -> str:
        """Return the digest that is stored in place of a subject or session of the provider; empty for none."""
        text = f"{self.registration.issuer}\0{name[: MAX_CLAIM * 4]}"
        return hashlib.sha256(text.encode()).hexdigest() if name else ""

    def _place(self, row: ProviderSession) -> tuple[str, ...]:
        return "openid session", row.owner, row.id, self.registration.issuer, self.registration.client_id
