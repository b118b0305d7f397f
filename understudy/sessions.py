"""Sessions of users: new anonymous ones where that is allowed, and the identities behind tokens."""

import secrets
import time

from attrs import evolve, frozen

from transport.auth import Identity, Tokens, load_or_create_secret
from transport.codes import ERRORS
from transport.errors import Unauthenticated
from understudy.config import Settings


@frozen
class Session:
    """A session that was just given out, with the token that proves it."""

    identity: Identity
    token: str

    def as_json(self) -> dict[str, object]:
        """Give what `POST /api/sessions` answers."""
        who = self.identity
        return {
            "session_token": self.token,
            "user": who.user,
            "session": who.session,
            "expires_at": int(who.expires_at),
        }


@frozen
class Sessions:
    """Gives out and renews sessions. `anonymous` allows users who bring no token; tokens live `ttl_s` seconds."""

    tokens: Tokens
    anonymous: bool
    ttl_s: float

    def new(self) -> Session:
        """Begin an anonymous user's session.

        Raises:
            Unauthenticated: This server gives no anonymous sessions.
        """
        if not self.anonymous:
            raise Unauthenticated("unauthenticated", ERRORS["unauthenticated"].text)
        return self._issue(Identity(user=f"anon-{secrets.token_hex(8)}", session=secrets.token_hex(8)))

    def renew(self, token: str) -> Session:
        """Give a later token for the same user and session.

        Raises:
            Unauthenticated: The token is not valid any more, or never was.
        """
        return self._issue(self.tokens.verify(token))

    def _issue(self, who: Identity) -> Session:
        token = self.tokens.issue(who.user, who.session, roles=who.roles, tenant=who.tenant, ttl_s=self.ttl_s)
        return Session(evolve(who, expires_at=self.tokens.verify(token).expires_at), token)


def open_tokens(settings: Settings) -> Tokens:
    """Give what signs and checks this server's tokens: with the secret of the settings, or the one it keeps itself.

    Raises:
        OSError, ValueError: The kept secret cannot be read or made, may be read by others, or is too short.
    """
    secret: str | bytes = settings.secret
    if not secret:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        secret = load_or_create_secret(settings.secret_file)
    return Tokens(secret, time.time)
