"""Sessions of users: new anonymous ones where that is allowed, and the identities behind tokens."""

import secrets
import time
from collections.abc import Callable
from typing import Final

from attrs import evolve, frozen

from transport.auth import Identity, Tokens, is_loopback, load_or_create_secret, origin_allowed
from transport.errors import OriginRefused, Unauthenticated
from understudy.config import Settings

ANONYMOUS: Final = "anon-"
"""What the names of users begin with who came without a token."""


class LastingTokens(Tokens):
    """Tokens that are still recognised, not accepted, for `grace_s` seconds after their end."""

    def __init__(self, secret: str | bytes, clock: Callable[[], float], grace_s: float) -> None:
        super().__init__(secret, clock)
        # The same checks by a clock that is late by the grace, so that none of them can be forgotten.
        self._late = Tokens(secret, lambda: clock() - grace_s)

    def recognise(self, token: str) -> Identity:
        """Give who a token spoke for that has run out no longer than the grace ago.

        Raises:
            Unauthenticated: It ran out before that, or never was a token of this server.
        """
        return self._late.verify(token)


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

    tokens: LastingTokens
    anonymous: bool
    ttl_s: float

    def new(self) -> Session:
        """Begin an anonymous user's session.

        Raises:
            Unauthenticated: This server gives no anonymous sessions.
        """
        if not self.anonymous:
            raise Unauthenticated("unauthenticated")
        return self._issue(Identity(user=f"{ANONYMOUS}{secrets.token_hex(8)}", session=secrets.token_hex(8)))

    def renew(self, token: str) -> Session:
        """Give a later token for the same user and session.

        An anonymous user has nothing but the token to come back with, and would be a stranger to their own threads
        without it. Where anonymous users are let in, theirs may therefore have run out, no longer than
        `refresh_grace_s` of the settings ago. That token opens nothing else, and nobody else's is renewed late.

        Raises:
            Unauthenticated: The token is not valid any more, or never was.
        """
        try:
            return self._issue(self.tokens.verify(token))
        except Unauthenticated as refused:
            if refused.code != "token_expired" or not self.anonymous:
                raise
            who = self.tokens.recognise(token)
            if not who.user.startswith(ANONYMOUS):
                raise
            return self._issue(who)

    def _issue(self, who: Identity) -> Session:
        token = self.tokens.issue(who.user, who.session, roles=who.roles, tenant=who.tenant, ttl_s=self.ttl_s)
        return Session(evolve(who, expires_at=self.tokens.verify(token).expires_at), token)


def check_place(settings: Settings, origin: str | None, host: str | None) -> None:
    """Refuse pages of other origins, and, where whoever is on this machine is trusted, requests that name another.

    The second keeps out a page whose own name was pointed at 127.0.0.1, and a proxy that would open a server without
    a secret to the world. `origin` and `host` are the two headers, None when absent.

    Raises:
        OriginRefused: It is one of these.
    """
    if settings.anonymous and host is not None and not is_loopback(host):
        raise OriginRefused(host, "This server answers under a name of this machine only; give it a secret for others.")
    if not origin_allowed(origin, host, settings.allowed_origins, loopback=settings.anonymous):
        raise OriginRefused(origin or "")


def open_tokens(settings: Settings) -> LastingTokens:
    """Give what signs and checks this server's tokens: with the secret of the settings, or the one it keeps itself.

    Raises:
        OSError, ValueError: The kept secret cannot be read or made, may be read by others, or is too short.
    """
    secret: str | bytes = settings.secret
    if not secret:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        secret = load_or_create_secret(settings.secret_file)
    return LastingTokens(secret, time.time, settings.grace_of_refresh_s)
