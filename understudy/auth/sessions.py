"""Sessions of users: whose token counts, new anonymous ones where that is allowed, renewing, and ending them."""

import errno
import math
import secrets
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

import trio
from attrs import define, evolve, field, frozen

from transport.auth.fetch import fetch
from transport.auth.identity import Identity, is_loopback, origin_allowed
from transport.auth.jwks import KeySet, ProviderTokens, read_key_set
from transport.auth.keyring import KeyFetcher, Keyring
from transport.auth.token_cache import VerifiedTokens
from transport.auth.tokens import ALGORITHM, TENANT, Tokens, load_or_create_secret, read_jose_header
from transport.connection.limits import RateLimit
from transport.wire.errors import CommandRejected, KeySetInvalid, OriginRefused, Unauthenticated, UnknownKey
from understudy.auth.revocation import RevokedSessions, user_key
from understudy.auth.settings import AuthSettings
from understudy.storage.private_files import keep_private
from understudy.storage.tenancy import name_of, owner_of

REVOCATIONS_FILE: Final = "ended-sessions"
"""The file of sessions that were ended, in the data folder."""
ANONYMOUS: Final = "anon-"
"""What the names of users begin with who came without a token."""
ANONYMOUS_MAX_S: Final = 400 * 24 * 3600.0
"""How long an anonymous user's session can be renewed: as long as browsers keep a cookie (RFC 6265bis)."""
MAX_KEYS_BYTES: Final = 256 * 1024
"""The largest set of keys that is read: a hundred of the longest have half of it."""
KEYS_TIMEOUT_S: Final = 5.0
"""How long an address may take to give them."""
KEY_WAIT_S: Final = 2.0
"""How long whoever brings a token waits for the key that it names, while keys are being fetched."""


class RenewableTokens(Tokens):
    """Tokens that are still recognised, not accepted, for `grace_s` seconds after their end."""

    def __init__(
        self, secret: str | bytes, clock: Callable[[], float], grace_s: float, tenant_claim: str = TENANT
    ) -> None:
        super().__init__(secret, clock, tenant_claim)
        self.clock = clock
        self.grace_s = grace_s
        # The same checks by a clock that is late by the grace, so that none of them can be forgotten.
        self._late = Tokens(secret, lambda: clock() - grace_s, tenant_claim)

    def verify_expired(self, token: str) -> Identity:
        """Give who a token spoke for that has run out no longer than the grace ago.

        Raises:
            Unauthenticated: It ran out before that, or never was a token of this server.
        """
        return self._late.verify(token)


@frozen
class IssuedSession:
    """A session that was just given out, with the token that proves it."""

    identity: Identity
    token: str = field(repr=False)

    def as_json(self) -> dict[str, object]:
        """Give what `POST /api/sessions` answers."""
        who = self.identity
        return {
            "session_token": self.token,
            "user": name_of(who.user),
            "session": who.session,
            "expires_at": int(who.expires_at),
        }


@frozen
class IdentityProvider:
    """An identity provider: the tokens it signs, its keys, and how they are fetched."""

    tokens: ProviderTokens
    keyring: Keyring
    fetch: Callable[[], Awaitable[KeySet]]

    def keeper(self) -> KeyFetcher:
        """Make the actor that keeps the keys fresh."""
        return KeyFetcher(self.keyring, self.fetch)


@define
class Sessions:
    """Says whose tokens count, and gives out, renews and ends sessions.

    `anonymous` allows users who bring no token; tokens live `ttl_s` seconds. `provider` None: only tokens under the
    secret count. `on_end` is told who signed out. `rate` bounds new sessions from one address. With `tenants` the
    `user` of an identity is the name of `understudy.storage.tenancy`: those of two tenants are two, whatever they are
    called. `longest_s` is how long after signing in a session can be renewed.
    """

    tokens: RenewableTokens
    anonymous: bool
    ttl_s: float
    revoked: RevokedSessions
    provider: IdentityProvider | None = None
    rate: RateLimit | None = None
    on_end: list[Callable[[Identity], object]] = field(factory=list, repr=False)
    tenants: bool = False
    longest_s: float = 30 * 24 * 3600.0
    _proven: VerifiedTokens = field(factory=VerifiedTokens, init=False, repr=False)

    def issue_anonymous(self, peer: str | None = None) -> IssuedSession:
        """Begin an anonymous user's session, for somebody at this address.

        Raises:
            Unauthenticated: This server gives no anonymous sessions.
            CommandRejected: The address has begun as many as it may in a minute (`rate_limited`).
        """
        if not self.anonymous:
            raise Unauthenticated("unauthenticated")
        if self.rate is not None and peer is not None:
            retry_after = self.rate.take(peer, time.monotonic())
            if retry_after > 0:
                raise CommandRejected("rate_limited", "Too many new sessions; wait a moment.", retry_after)
        return self._issue(
            Identity(user=f"{ANONYMOUS}{secrets.token_hex(8)}", session=secrets.token_hex(8)), self.ttl_s
        )

    def verify(self, token: str) -> Identity:
        """Give who a token speaks for; HS256 is proven by the secret, RS256 and ES256 by a key of the provider.

        Raises:
            Unauthenticated: It does not count, or not any more, or its session was ended.
        """
        keys = None if self.provider is None else self.provider.keyring.current
        who = self._proven.find(token, keys, self.tokens.clock())
        if who is None:
            if self.provider is None or read_jose_header(token).algorithm == ALGORITHM:
                who = self.tokens.verify(token)
            else:
                who = self.provider.tokens.verify(token)
            who = self._with_owner(who)
            self._proven.add(token, keys, who)
        self.check_not_revoked(who)
        if self.revoked.is_replaced(who):
            raise Unauthenticated("unauthenticated")
        return who

    def check_not_revoked(self, who: Identity) -> None:
        """Refuse somebody whose session was ended meanwhile.

        Raises:
            Unauthenticated: It was.
        """
        if who in self.revoked:
            raise Unauthenticated("unauthenticated")

    async def verify_awaiting_keys(self, token: str) -> Identity:
        """As `verify`, and wait a moment for a key that may have come into use just now.

        Raises:
            Unauthenticated: As `verify`.
        """
        if self.provider is not None:
            with trio.move_on_after(KEY_WAIT_S):
                # Twice, as a fetch that was under way already may have begun before the key was published.
                for _ in range(2):
                    try:
                        return self.verify(token)
                    except UnknownKey:
                        await self.provider.keyring.wait_fetched(KEY_WAIT_S)
        return self.verify(token)

    def renew(self, token: str) -> IssuedSession:
        """Sign a later token for the same user and session, which lasts as long as this one did, and `ttl_s` at most.

        It has no roles: whether the user still has them is known to whoever gave them, and they come with a token from
        there. `longest_s` after signing in there is no later token. One that has lasted for less than a tenth of its
        time is given back as it is.

        An anonymous user has nothing but the token to come back with, and would be a stranger to their own threads
        without it. Where anonymous users are let in, theirs may therefore have run out, no longer than
        `refresh_grace_s` of the settings ago. That token opens nothing else, and nobody else's is renewed late.

        Raises:
            Unauthenticated: The token is not valid any more, or never was, or its session has lasted as long as it may.
            CommandRejected: Only its issuer can tell how long it may last: it is one of the provider's, or does not say
                when it was issued (`forbidden`).
        """
        who = self._verify_late(token)
        if read_jose_header(token).algorithm != ALGORITHM:
            raise CommandRejected("forbidden", "That token is renewed where it came from.")
        if who.issued_at is None:
            raise CommandRejected("forbidden", "That token does not say when it was issued (iat), and is not renewed.")
        now, anonymous = self.tokens.clock(), who.user.startswith(ANONYMOUS)
        life_s = self.ttl_s if anonymous else min(self.ttl_s, max(1.0, math.floor(who.expires_at - who.issued_at)))
        if now < min(who.issued_at + life_s / 10, who.expires_at):
            return IssuedSession(who, token)
        began = who.issued_at if who.signed_in_at is None else who.signed_in_at
        left_s = began + (ANONYMOUS_MAX_S if anonymous else self.longest_s) - now
        if left_s <= 0:
            raise Unauthenticated("token_expired", "This session has lasted as long as it may; sign in again.")
        return self._issue(evolve(who, roles=(), signed_in_at=began), min(life_s, left_s))

    async def renew_and_revoke(self, token: str) -> IssuedSession:
        """Renew a token, after which it counts for a moment longer and then no more.

        Raises:
            Unauthenticated, CommandRejected: As `renew`; or no more can be kept right now (`busy`).
            StorageUnavailable: It cannot be written down; the token goes on to count.
        """
        session = self.renew(token)
        if session.token != token:
            await self.revoked.revoke_token(self._verify_late(token))
        return session

    async def end_all_sessions(self, user: str) -> None:
        """End all sessions of a user, without a token of theirs: what was issued until now is refused.

        Raises:
            CommandRejected: No more ended sessions can be kept right now (`busy`).
            StorageUnavailable: It cannot be written down; the sessions go on.
        """
        await self.revoked.revoke_user(user)
        self.revoked.on_revoked([user_key(user)])

    async def end_for_erasure(self, user: str) -> None:
        """As `end_all`, and return once no server takes a token of the user any more."""
        await self.end_all_sessions(user)
        await self.revoked.wait_propagated()

    async def end_session(self, token: str) -> Identity:
        """End the session of a token, once and for all: every token of it is refused, and its sockets are closed.

        Raises:
            Unauthenticated: As `renew`.
            CommandRejected: No more ended sessions can be kept right now (`busy`).
            StorageUnavailable: It cannot be written down; the session goes on.
        """
        who = self._verify_late(token)
        # No token of the session that this server gave out lasts longer, nor is renewed after that.
        longest_s = max(who.expires_at, self.revoked.clock() + self.ttl_s) + self.tokens.grace_s
        await self.revoked.revoke_session(who, longest_s)
        for told in self.on_end:
            told(who)
        return who

    def _verify_late(self, token: str) -> Identity:
        """Who a token speaks for, or for an anonymous user spoke for."""
        try:
            return self.verify(token)
        except Unauthenticated as refused:
            if refused.code != "token_expired" or not self.anonymous:
                raise
            who = self._with_owner(self.tokens.verify_expired(token))
            if not who.user.startswith(ANONYMOUS):
                raise
        self.check_not_revoked(who)
        return who

    def _with_owner(self, who: Identity) -> Identity:
        """Somebody under the name that is theirs alone."""
        return evolve(who, user=owner_of(who.user, who.tenant)) if self.tenants else who

    def _issue(self, who: Identity, ttl_s: float) -> IssuedSession:
        name, began = name_of(who.user), who.signed_in_at
        token = self.tokens.issue(
            name, who.session, roles=who.roles, tenant=who.tenant, ttl_s=ttl_s, signed_in_at=began
        )
        return IssuedSession(evolve(self.tokens.verify(token), user=who.user), token)


def check_origin(settings: AuthSettings, origin: str | None, host: str | None) -> None:
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


def open_sessions(settings: AuthSettings, clock: Callable[[], float] = time.time) -> Sessions:
    """Give what decides about tokens, as the settings say. Which sessions have ended is still to be said.

    Raises:
        OSError, ValueError: As `open_tokens`, or a JWKS that is a file cannot be read or used.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    keep_private(settings.data_dir)
    if settings.signs:
        tokens = open_tokens(settings)
    else:
        # Nobody ever learns this secret: tokens of the provider are the only ones.
        tokens = RenewableTokens(secrets.token_bytes(32), clock, settings.grace_of_refresh_s, _claim(settings))
    per_minute = settings.limits.sessions_per_minute
    return Sessions(
        tokens,
        settings.anonymous,
        settings.token_ttl_s,
        RevokedSessions(clock),
        _provider(settings, clock) if settings.jwks else None,
        RateLimit(per_minute, per_minute),
        tenants=bool(settings.tenant_claim),
        longest_s=settings.session_max_s,
    )


def _provider(settings: AuthSettings, clock: Callable[[], float]) -> IdentityProvider:
    keyring = Keyring()
    issuer, audience = settings.jwt_issuer or None, settings.jwt_audience or None
    tokens = ProviderTokens(keyring.find, clock, issuer, audience, _claim(settings))
    if "://" not in settings.jwks:
        # At once: a file that cannot be used is the operator's mistake, an address that is away for now is not.
        try:
            keyring.replace(_read_file(Path(settings.jwks)))
        except KeySetInvalid as error:
            raise ValueError(f"{settings.jwks} cannot be used as jwks: {error}") from error
    return IdentityProvider(tokens, keyring, partial(read_keys, settings.jwks))


async def read_keys(jwks: str) -> KeySet:
    """Give the keys in a file, or at an address.

    Raises:
        FetchFailed, KeySetInvalid, OSError: There are none that can be had, or used.
    """
    # In a thread: a hundred keys take some milliseconds.
    if "://" not in jwks:
        return await trio.to_thread.run_sync(_read_file, Path(jwks))
    document = await fetch(jwks, max_bytes=MAX_KEYS_BYTES, within_s=KEYS_TIMEOUT_S)
    return await trio.to_thread.run_sync(read_key_set, document)


def _read_file(path: Path) -> KeySet:
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, f"there is no file {path}, which jwks (UNDERSTUDY_JWKS) names")
    with path.open("rb") as file:
        document = file.read(MAX_KEYS_BYTES + 1)
    if len(document) > MAX_KEYS_BYTES:
        raise KeySetInvalid(f"it has more than {MAX_KEYS_BYTES} bytes")
    return read_key_set(document)


def open_tokens(settings: AuthSettings) -> RenewableTokens:
    """Give what signs and checks this server's tokens: with the secret of the settings, or the one it keeps itself.

    Raises:
        OSError, ValueError: The kept secret cannot be read or made, may be read by others, or is too short; or this
            server has none, as it takes an identity provider's tokens only.
    """
    if not settings.signs:
        raise ValueError("this server takes tokens of its identity provider only; set UNDERSTUDY_SECRET to sign some")
    secret: str | bytes = settings.secret
    if not secret:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        secret = load_or_create_secret(settings.secret_file)
    return RenewableTokens(secret, time.time, settings.grace_of_refresh_s, _claim(settings))


def _claim(settings: AuthSettings) -> str:
    return settings.tenant_claim or TENANT
