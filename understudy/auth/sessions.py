"""Sessions: verify tokens, issue anonymous ones, renew and end sessions."""

import errno
import math
import secrets
import time
from codecs import BOM_UTF8
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

import trio
from attrs import define, evolve, field, frozen
from msgspec import Struct

from transport.auth.fetch import fetch
from transport.auth.identity import Identity, is_loopback, origin_allowed
from transport.auth.tokens import ALGORITHM, TENANT, Tokens, VerifiedTokens, load_or_create_secret, read_jose_header
from transport.connection.limits import RateLimit
from transport.wire.errors import CommandRejected, KeySetInvalid, OriginRefused, Unauthenticated, UnknownKey
from understudy.auth.revocation import RevokedSessions, family_key, user_key
from understudy.auth.settings import JwtSettings, SessionSettings
from understudy.storage.acts import Act
from understudy.storage.data_folder import keep_private
from understudy.storage.limits import Limits
from understudy.storage.owners import name_of, owner_of

if TYPE_CHECKING:
    from transport.auth.keyring import KeyFetcher, Keyring, KeySet, ProviderTokens

SESSIONS_BEGUN: Final = Act("sessions.begun")
SESSIONS_ENDED: Final = Act("sessions.ended", "all")

ANONYMOUS: Final = "anon-"
"""Prefix of the names of anonymous users."""
ANONYMOUS_MAX_S: Final = 400 * 24 * 3600.0
"""Seconds for which an anonymous user's session can be renewed: as long as browsers keep a cookie (RFC 6265bis)."""
MAX_KEYS_BYTES: Final = 256 * 1024
"""Size of the largest key set that is read. A hundred of the longest keys take half of it."""
KEYS_TIMEOUT_S: Final = 5.0
"""Seconds within which a URL must return the keys."""
SIGNED_IN: Final = ("local-", "oidc-")
"""Prefixes of the names of sessions that an extension's sign-in has begun; only that sign-in renews them."""
SIGN_IN_AGAIN: Final = "This session is over; sign in again."
KEY_WAIT_S: Final = 2.0
"""Seconds for which the verification of a token waits for an unknown key, while keys are being fetched."""


class AuthSettings(Protocol):
    """The settings that sign-in and sessions need; see `understudy.app.settings.Settings`."""

    @property
    def accepted_secrets(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def allowed_origins(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def anonymous(self) -> bool: ...  # noqa: D102
    @property
    def data_dir(self) -> Path: ...  # noqa: D102
    @property
    def grace_of_refresh_s(self) -> int: ...  # noqa: D102
    @property
    def jwt(self) -> JwtSettings: ...  # noqa: D102
    @property
    def limits(self) -> Limits: ...  # noqa: D102
    @property
    def secret(self) -> str: ...  # noqa: D102
    @property
    def secret_file(self) -> Path: ...  # noqa: D102
    @property
    def session(self) -> SessionSettings: ...  # noqa: D102
    @property
    def signs(self) -> bool: ...  # noqa: D102
    @property
    def tenant_claim(self) -> str: ...  # noqa: D102


class RenewableTokens(Tokens):
    """Tokens that `verify_expired` still recognizes for `grace_s` seconds after their expiry; `verify` does not."""

    def __init__(
        self,
        secret: str | bytes,
        clock: Callable[[], float],
        grace_s: float,
        tenant_claim: str = TENANT,
        accepted: Sequence[str | bytes] = (),
    ) -> None:
        super().__init__(secret, clock, tenant_claim, accepted)
        self.clock = clock
        self.grace_s = grace_s
        # A clock that is slow by the grace makes expiry the only check that differs.
        self._late = self._slow_by(grace_s)

    def verify_expired(self, token: str, grace_s: float | None = None) -> Identity:
        """Return the identity of a token that may have expired, at most `grace_s` ago.

        Raises:
            Unauthenticated: The token expired earlier, or is none of this server.
        """
        if grace_s is None:
            return self._late.verify(token)
        return self._slow_by(grace_s).verify(token)

    def _slow_by(self, seconds: float) -> Tokens:
        secret, *accepted = self._keys
        return Tokens(secret, lambda: self.clock() - seconds, self._tenant_claim, accepted)


class Session(Struct):
    """A session with its token, as it is shown to its user."""

    session_token: str
    user: str
    session: str
    anonymous: bool
    expires_at: int


@frozen
class IssuedSession:
    """A session that was just issued or renewed, with its token."""

    identity: Identity
    token: str = field(repr=False)

    def shown(self) -> Session:
        """Return the session for its user."""
        user, session = name_of(self.identity.user), self.identity.session
        return Session(self.token, user, session, user.startswith(ANONYMOUS), int(self.identity.expires_at))


class ProviderSignIn(Struct):
    """Where users sign in at an identity provider."""

    title: str
    url: str


class WaysIn(Struct):
    """How users of the page sign in: `by` an extension, whose `sign_in.js` shows the form; None: with a token."""

    by: str | None = None
    provider: ProviderSignIn | None = None


class UserSignIn:
    """A sign-in by an extension. Only the sign-in renews its sessions, whose names begin with `prefix`, one of
    `SIGNED_IN`. Its methods raise the errors that `Sessions` documents."""

    prefix: ClassVar[str]
    renews_expired: ClassVar[bool] = False
    """Whether a token that has expired can still be renewed."""

    def ways(self) -> WaysIn:
        """Return how users of the page sign in."""
        raise NotImplementedError

    async def renew(self, identity: Identity, token: str) -> IssuedSession:
        """Issue the next token of a session, after checking that the user may stay, and with which rights."""
        raise NotImplementedError

    async def take(self, handover: str) -> IssuedSession | None:
        """Return the session that a sign-in began for the browser with this cookie; None if there is none."""

    async def logout_url(self, identity: Identity, leads_to: str) -> str | None:
        """Return the provider's logout address, which redirects to `leads_to`; None if the provider has none."""

    async def forget(self, owner: str, session_id: str) -> None:
        """Drop the data of a session that has ended."""

    async def forget_user(self, owner: str) -> None:
        """Drop the data of a user's sessions, which have all ended."""

    async def check_erasable(self, owner: str) -> None:
        """Raise CommandRejected, with the reason, if a user must not be erased."""

    async def shut_out(self, owner: str) -> None:
        """Prevent new sessions of a user who is about to be erased. Raises as `check_erasable`."""


@frozen
class IdentityProvider:
    """An identity provider: the tokens it signs, its keys, and how to fetch them."""

    tokens: "ProviderTokens"
    keyring: "Keyring"
    fetch: "Callable[[], Awaitable[KeySet]]"

    def keeper(self) -> "KeyFetcher":
        """Build the actor that refreshes the keys."""
        from transport.auth.keyring import KeyFetcher

        return KeyFetcher(self.keyring, self.fetch)


@define
class Sessions:
    """Verifies tokens; issues, renews and ends sessions.

    `anonymous` allows users without a token. Tokens are valid for `ttl_s` seconds. Without a `provider`, only tokens
    signed with the secret are accepted. `sign_in` is the sign-in by an extension, None without one. `on_end` is called
    with the identity that signed out. `rate` limits new sessions of one address. With `tenants`, the `user` of an
    identity is the owner of `understudy.storage.records`, so that users of one name in two tenants differ. A session
    can be renewed for `longest_s` seconds after sign-in.
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
    sign_in: UserSignIn | None = field(default=None, repr=False)
    _proven: VerifiedTokens = field(factory=VerifiedTokens, init=False, repr=False)

    def issue_anonymous(self, peer: str | None = None, roles: tuple[str, ...] = ()) -> IssuedSession:
        """Issue a session for an anonymous user at this address, with the `roles` that `local_user` found.

        Raises:
            Unauthenticated: This server issues no anonymous sessions.
            CommandRejected: The address has reached its limit of new sessions per minute (`rate_limited`).
        """
        if not self.anonymous:
            raise Unauthenticated("unauthenticated")
        if self.rate is not None and peer is not None:
            retry_after = self.rate.take(peer, time.monotonic())
            if retry_after > 0:
                raise CommandRejected("rate_limited", "Too many new sessions; wait a moment.", retry_after)
        user, session = f"{ANONYMOUS}{secrets.token_hex(8)}", secrets.token_hex(8)
        return self.issue(Identity(user=user, session=session, roles=roles), self.ttl_s)

    def verify(self, token: str) -> Identity:
        """Return the identity of a token: HS256 is verified with the secret, other algorithms with the provider's key.

        Raises:
            Unauthenticated: The token is invalid, expired, replaced, or its session was ended.
        """
        keys = None if self.provider is None else self.provider.keyring.current
        identity = self._proven.find(token, keys, self.tokens.clock())
        if identity is None:
            if self.provider is None or read_jose_header(token).algorithm == ALGORITHM:
                identity = self.tokens.verify(token)
            else:
                identity = self.provider.tokens.verify(token)
            identity = self._with_owner(identity)
            self._proven.add(token, keys, identity)
        self.check_not_revoked(identity)
        if self.revoked.is_replaced(identity):
            raise Unauthenticated("unauthenticated")
        return identity

    def check_not_revoked(self, identity: Identity) -> None:
        """Refuse an identity whose session has been revoked since its token was verified.

        Raises:
            Unauthenticated: The session is revoked.
        """
        if identity in self.revoked:
            raise Unauthenticated("unauthenticated")

    async def verify_awaiting_keys(self, token: str) -> Identity:
        """Verify a token. If its key is unknown, wait up to KEY_WAIT_S, as the key may just have come into use.

        Raises:
            Unauthenticated: As `verify`.
        """
        if self.provider is not None:
            with trio.move_on_after(KEY_WAIT_S):
                # Two fetches, because one already in flight may have started before the key was published.
                for _ in range(2):
                    try:
                        return self.verify(token)
                    except UnknownKey:
                        await self.provider.keyring.wait_fetched(KEY_WAIT_S)
        return self.verify(token)

    def renew(self, token: str, roles: tuple[str, ...] = (), groups: tuple[str, ...] = ()) -> IssuedSession:
        """Sign a later token for the same user and session, valid for as long as this one was, at most `ttl_s`.

        The new token has these roles and groups, not those of the old one, which the user may no longer have. None is
        issued `longest_s` after sign-in. A token that has used less than a tenth of its time is returned unchanged.

        An anonymous user would lose their threads without the token. If anonymous users are allowed, their tokens can
        therefore be renewed up to `session.refresh_grace_s` after expiry. An expired token is good for nothing else,
        and no other user's token is renewed after expiry.

        Raises:
            Unauthenticated: The token is invalid or expired, or its session has reached its longest duration.
            CommandRejected: The token is the provider's, or has no time of issue, so only its issuer can renew it
                (`forbidden`).
        """
        identity = self._verify_late(token)
        if read_jose_header(token).algorithm != ALGORITHM:
            raise CommandRejected("forbidden", "That token is renewed where it came from.")
        if identity.issued_at is None:
            raise CommandRejected("forbidden", "That token does not say when it was issued (iat), and is not renewed.")
        now, anonymous = self.tokens.clock(), identity.user.startswith(ANONYMOUS)
        life_s = (
            self.ttl_s if anonymous else min(self.ttl_s, max(1.0, math.floor(identity.expires_at - identity.issued_at)))
        )
        if now < min(identity.issued_at + life_s / 10, identity.expires_at):
            return IssuedSession(identity, token)
        began = identity.issued_at if identity.signed_in_at is None else identity.signed_in_at
        left_s = began + (ANONYMOUS_MAX_S if anonymous else self.longest_s) - now
        if left_s <= 0:
            raise Unauthenticated("token_expired", "This session has lasted as long as it may; sign in again.")
        return self.issue(evolve(identity, roles=roles, groups=groups, signed_in_at=began), min(life_s, left_s))

    async def renew_and_revoke(self, token: str, local: tuple[str, ...] = ()) -> IssuedSession:
        """Renew a token, and revoke the old one after a short overlap. `local` are roles that `local_user` found for an
        anonymous user.

        A session that a sign-in has begun is renewed by the sign-in.

        Raises:
            Unauthenticated, CommandRejected: As `renew`; or the limit of revocations is reached, or the identity
                provider of the sign-in does not answer (`busy`).
            StorageUnavailable: The revocation cannot be written; the old token is still valid.
        """
        identity = self._verify_late(token)
        if identity.session.startswith(SIGNED_IN):
            sign_in = self.sign_in_of(identity)
            if sign_in is None:  # it has been removed from the settings
                raise Unauthenticated("token_expired", SIGN_IN_AGAIN)
            session = await sign_in.renew(identity, token)
        else:
            anonymous = self.anonymous and identity.user.startswith(ANONYMOUS)
            session = self.renew(token, local if anonymous else ())
        if session.token != token and identity.expires_at > self.tokens.clock():
            await self.revoked.revoke_token(identity)
        return session

    def sign_in_of(self, identity: Identity) -> UserSignIn | None:
        """Return the sign-in that has begun a session; None if the server no longer has it, or there was none."""
        sign_in = self.sign_in
        return sign_in if sign_in is not None and identity.session.startswith(sign_in.prefix) else None

    async def end_all_sessions(self, user: str) -> None:
        """End all sessions of a user, without a token of theirs: every token issued until now is refused.

        Raises:
            CommandRejected: The limit of revocations is reached (`busy`).
            StorageUnavailable: The revocation cannot be written; the sessions are still valid.
        """
        await self.revoked.revoke_user(user)
        self.revoked.on_revoked([user_key(user)])
        if self.sign_in is not None:
            await self.sign_in.forget_user(user)

    async def end_for_erasure(self, user: str) -> None:
        """End all sessions of a user, and wait until no server accepts their tokens. Raises as `end_all_sessions`."""
        await self.end_all_sessions(user)
        await self.revoked.wait_propagated()

    async def end_session(self, token: str) -> Identity:
        """End the session of a token for good: every token of it is refused, and its connections are closed.

        Raises:
            Unauthenticated: The token is invalid or expired.
            CommandRejected: The limit of revocations is reached (`busy`).
            StorageUnavailable: The revocation cannot be written; the session is still valid.
        """
        identity = self._verify_late(token)
        await self.revoke(identity)
        if (sign_in := self.sign_in_of(identity)) is not None:
            await sign_in.forget(identity.user, identity.session)
        return identity

    def verify_for_sign_out(self, token: str) -> Identity:
        """Return the identity of a token whose session can be ended, although the token may have expired.

        Raises:
            Unauthenticated: The token is invalid, or expired for so long that it cannot be renewed.
        """
        return self._verify_late(token)

    async def revoke(self, identity: Identity) -> None:
        """Refuse every token of a session from now on, and close its connections. Raises as `end_session`."""
        # No token of the session that this server has issued lasts longer, or can be renewed after that.
        last = 0.0 if math.isinf(identity.expires_at) else identity.expires_at
        await self.revoked.revoke_session(identity, max(last, self.revoked.clock() + self.ttl_s) + self.tokens.grace_s)
        for notify in self.on_end:
            notify(identity)

    async def revoke_family(self, user: str, family: str, spared: Identity) -> None:
        """Refuse every token of a user's sessions named `family`, a dash and a text without dashes, except `spared`,
        and close their connections. Raises as `end_session`."""
        member = evolve(spared, user=user, session=f"{family}-")
        until = self.revoked.clock() + self.ttl_s + self.tokens.grace_s  # see `revoke`
        await self.revoked.revoke_family(member, until, spared)
        self.revoked.on_revoked([family_key(member)])

    def _verify_late(self, token: str) -> Identity:
        """Return the identity of a token, which may have expired if it is an anonymous user's, or if the session's
        sign-in renews expired tokens."""
        renews_expired = self.sign_in is not None and self.sign_in.renews_expired
        try:
            return self.verify(token)
        except Unauthenticated as refused:
            if refused.code != "token_expired" or not (self.anonymous or renews_expired):
                raise
            grace_s = self.longest_s if renews_expired else None
            try:
                identity = self._with_owner(self.tokens.verify_expired(token, grace_s))
            except Unauthenticated:
                raise refused from None
            valid = self.sign_in_of(identity) is not None if renews_expired else identity.user.startswith(ANONYMOUS)
            if not valid:
                raise
        self.check_not_revoked(identity)
        return identity

    def _with_owner(self, identity: Identity) -> Identity:
        """Return the identity with the owner's name as its user, if the server has tenants."""
        return evolve(identity, user=owner_of(identity.user, identity.tenant)) if self.tenants else identity

    def issue(self, identity: Identity, ttl_s: float) -> IssuedSession:
        """Sign a token for the user and session of an identity, valid for `ttl_s` seconds from now."""
        name, began = name_of(identity.user), identity.signed_in_at
        token = self.tokens.issue(
            name,
            identity.session,
            roles=identity.roles,
            groups=identity.groups,
            tenant=identity.tenant,
            ttl_s=ttl_s,
            signed_in_at=began,
            name=identity.name,
        )
        return IssuedSession(evolve(self.tokens.verify(token), user=identity.user), token)


def check_origin(settings: AuthSettings, origin: str | None, host: str | None) -> None:
    """Refuse pages of foreign origins. If all users of this machine are trusted, refuse foreign host names too.

    The second check stops pages whose host name resolves to 127.0.0.1, and proxies that would expose a server without a
    secret. `origin` and `host` are the two headers, None if absent.

    Raises:
        OriginRefused: The origin or the host is refused.
    """
    if settings.anonymous and host is not None and not is_loopback(host):
        raise OriginRefused(host, "This server answers under a name of this machine only; give it a secret for others.")
    if not origin_allowed(origin, host, settings.allowed_origins, loopback=settings.anonymous):
        raise OriginRefused(origin or "")


def open_sessions(settings: AuthSettings, clock: Callable[[], float] = time.time) -> Sessions:
    """Build the sessions as the settings say. The caller must assign `revoked` before the first use.

    Raises:
        OSError, ValueError: As `open_tokens`, or a JWKS file cannot be read or used.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    keep_private(settings.data_dir)
    if settings.signs:
        tokens = open_tokens(settings)
    else:
        # The secret is random and not stored, so only the provider's tokens are accepted.
        tokens = RenewableTokens(secrets.token_bytes(32), clock, settings.grace_of_refresh_s, _claim(settings))
    per_minute = settings.limits.sessions_per_minute
    return Sessions(
        tokens,
        settings.anonymous,
        settings.session.token_ttl_s,
        RevokedSessions(clock),
        _provider(settings, clock) if settings.jwt.keys else None,
        RateLimit(per_minute, per_minute),
        tenants=bool(settings.tenant_claim),
        longest_s=settings.session.max_s,
    )


def _provider(settings: AuthSettings, clock: Callable[[], float]) -> IdentityProvider:
    from transport.auth.keyring import Keyring, ProviderTokens  # here, as it imports `cryptography`

    keyring = Keyring()
    issuer, audience = settings.jwt.issuer or None, settings.jwt.audience or None
    tokens = ProviderTokens(keyring.find, clock, issuer, audience, _claim(settings))
    if "://" not in settings.jwt.keys:
        # A file is read now, because an unusable one is the operator's mistake; an unavailable URL is not.
        try:
            keyring.replace(_read_file(Path(settings.jwt.keys)))
        except KeySetInvalid as error:
            raise ValueError(f"{settings.jwt.keys} cannot be used as jwt.keys: {error}") from error
    return IdentityProvider(tokens, keyring, partial(read_keys, settings.jwt.keys))


async def read_keys(jwks: str) -> "KeySet":
    """Return the keys in a file, or at a URL.

    Raises:
        FetchFailed, KeySetInvalid, OSError: The keys cannot be read or used.
    """
    # Keys are parsed in a thread, because a hundred of them take some milliseconds.
    if "://" not in jwks:
        return await trio.to_thread.run_sync(_read_file, Path(jwks))
    from transport.auth.keyring import read_key_set

    document = await fetch(jwks, max_bytes=MAX_KEYS_BYTES, within_s=KEYS_TIMEOUT_S)
    return await trio.to_thread.run_sync(read_key_set, document)


def _read_file(path: Path) -> "KeySet":
    from transport.auth.keyring import read_key_set

    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, f"there is no file {path}, which jwt.keys (UNDERSTUDY_JWT_KEYS) names")
    with path.open("rb") as file:
        document = file.read(MAX_KEYS_BYTES + 1).removeprefix(BOM_UTF8)
    if len(document) > MAX_KEYS_BYTES:
        raise KeySetInvalid(f"it has more than {MAX_KEYS_BYTES} bytes")
    return read_key_set(document)


def secrets_for_storage(settings: AuthSettings) -> list[bytes]:
    """Return the secrets from which the keys of a `Seal` are derived. Call it after `open_sessions`.

    The first one seals, and each can open. A server that signs no tokens gets a new secret at each call, with which
    texts that were sealed before cannot be opened.
    """
    if not settings.signs:
        return [secrets.token_bytes(32)]
    own = str(settings.secret).encode() or load_or_create_secret(settings.secret_file)
    return [own, *(secret.encode() for secret in settings.accepted_secrets)]


def open_tokens(settings: AuthSettings) -> RenewableTokens:
    """Build the signer and verifier of this server's tokens, with the secret of the settings or the server's own.

    Raises:
        OSError, ValueError: The server's own secret cannot be read or created, can be read by other users, or is too
            short; or the server has no secret, because it accepts only an identity provider's tokens.
    """
    if not settings.signs:
        raise ValueError("this server takes tokens of its identity provider only; set UNDERSTUDY_SECRET to sign some")
    secret: str | bytes = settings.secret
    if not secret:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        secret = load_or_create_secret(settings.secret_file)
    accepted = settings.accepted_secrets
    return RenewableTokens(secret, time.time, settings.grace_of_refresh_s, _claim(settings), accepted)


def _claim(settings: AuthSettings) -> str:
    return settings.tenant_claim or TENANT
