"""Sessions of users who signed in at the identity provider. Their tokens last minutes; each renewal asks the provider.

1. A token is renewed with the provider's refresh token, and gets the roles and groups that the provider reports now. If
   the provider refuses, the session ends: its tokens are refused on every node, and its connections closed.
2. One node asks at a time, under a claim on the stored session, and stores the new refresh token before it is used: a
   refresh token is good for one use. The other tabs of the browser share the result.
3. While the provider is away, or its answers make no sense, sessions continue unchanged until a check is overdue by
   `outage_s`.
4. An expired token can be renewed, as a computer may sleep, if it is one of the last `KEPT_TOKENS` of its session.
"""

import logging
import math
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import trio
from attrs import define, evolve, field

from transport.auth.identity import Identity
from transport.auth.tokens import LEEWAY_S
from transport.wire.errors import CommandRejected, Unauthenticated
from understudy.auth.seal import Seal
from understudy.auth.sessions import (
    ANONYMOUS,
    SESSIONS_BEGUN,
    SESSIONS_ENDED,
    SIGN_IN_AGAIN,
    IssuedSession,
    ProviderSignIn,
    Sessions,
    UserSignIn,
    WaysIn,
    secrets_for_storage,
)
from understudy.extensions.oauth.errors import GrantRefused, OAuthError, Unreachable, Untrusted
from understudy.extensions.oauth.token_endpoint import with_query
from understudy.extensions.openid import storage as provider_sessions
from understudy.extensions.openid.claims import ClaimNames, ProviderUser
from understudy.extensions.openid.provider import Provider, ProviderAnswer, Registration
from understudy.extensions.openid.sealing import Handover, Kept, SessionSeal
from understudy.extensions.openid.settings import PREFIX, SIGN_IN
from understudy.extensions.openid.storage import (
    ProviderSession,
    add_provider_session,
    change_provider_session,
    claim_provider_session,
    drop_provider_session,
)
from understudy.storage.acts import PROVIDER, Deed, say
from understudy.storage.errors import StorageUnavailable
from understudy.storage.owners import owner_of, tenant_of
from understudy.storage.revocations import revoke_session
from understudy.storage.store import Store

if TYPE_CHECKING:
    from understudy.extensions.openid.settings import OpenIdSettings
    from understudy.web.context import WebContext

log = logging.getLogger(__name__)

KEPT_TOKENS: Final = 4
FRESH_S: Final = 30.0
"""Seconds for which the provider's answer serves the other tabs of a browser."""
CLAIM_S: Final = 90.0
"""Seconds of a claim to ask the provider: longer than its requests and the attempts to store the result."""
STORE_S: Final = 20.0
"""Seconds for which the store of new tokens is retried while the database is away."""
WAIT_S: Final = 40.0
"""Seconds that a caller waits for the renewal by another task or node."""
POLL_S: Final = 0.1
AGAIN_S: Final = 5.0
"""Seconds before a provider that was away is asked again for a session."""
FORGET_S: Final = 5.0
"""Seconds for which a sign-out waits until the provider has revoked the refresh token."""
MAX_LOGOUT_URL: Final = 4_000
ENDED: Final = ("invalid_grant", "access_denied", "login_required", "interaction_required", "consent_required")
"""Refusals that concern the user, and end the session. Any other refusal is about this server, and ends no session."""


@define(eq=False)
class ProviderSessions(UserSignIn):
    """The sessions of users who signed in at `provider`. `sessions` issues and revokes their tokens, which last
    `recheck_s` seconds. `clock` is in Unix seconds."""

    provider: Provider
    store: Store
    sealing: SessionSeal
    sessions: Sessions
    clock: Callable[[], float]
    recheck_s: float
    outage_s: float
    chance: random.Random = field(factory=random.Random, repr=False)
    prefix = PREFIX
    renews_expired = True

    def ways(self) -> WaysIn:
        """Name the provider, and the path of this server that leads there."""
        return WaysIn("openid", ProviderSignIn(self.provider.registration.title, SIGN_IN))

    async def begin(self, answer: ProviderAnswer) -> ProviderSession:
        """Store the session of a user who has just signed in, and return it.

        Raises:
            Untrusted: The user has a name that only this server gives.
            StorageUnavailable: It cannot be stored.
        """
        user, now = answer.user, self.clock()
        if user is None or user.subject.startswith(ANONYMOUS):
            raise Untrusted("its user has a name that only anonymous users have")
        self._warn(user)
        life_s, tokens = self.sessions.longest_s, answer.tokens
        if tokens.refresh_token is None:  # the provider cannot be asked again: the session lasts as its access token
            life_s = min(life_s, self.sessions.ttl_s, max(tokens.expires_in or 0.0, self.recheck_s))
        owner = owner_of(user.subject, user.tenant) if self.sessions.tenants else user.subject
        kept = Kept(user, tokens.refresh_token, tokens.id_token or "", _floored(now))
        session_id, stamp = PREFIX + secrets.token_hex(16), secrets.token_hex(16)
        subject, session = map(self.sealing.digest, (user.subject, answer.provider_session or ""))
        row = ProviderSession(owner, session_id, b"", stamp, subject, session, now, now + life_s)
        row = self.sealing.sealed(row, kept)
        await say(self.store, Deed(SESSIONS_BEGUN, owner, PROVIDER, owner))
        await self.store.commit(add_provider_session(row, now))
        log.info("sign_in.done", extra={"user": owner})
        return row

    async def take(self, handover: str) -> IssuedSession | None:
        """Issue the first token of a session that has just begun in the browser with this cookie, None if it expired.
        Raises as `renew` does; Unauthenticated also if the first token was issued already."""
        opened = self.sealing.open_handover(handover, self.clock())
        return None if opened is None else await self._until_issued(lambda: self._first(opened))

    async def renew(self, identity: Identity, token: str) -> IssuedSession:
        """Issue the next token of a session, after asking the provider who the user is now.

        A token before a tenth of its life is returned unchanged.

        Raises:
            Unauthenticated: The session is over: the provider refuses, or it has lasted as long as it may.
            CommandRejected: The provider does not answer, and the check is overdue by `outage_s` (`busy`).
            StorageUnavailable: The session cannot be read or stored.
        """
        now, issued_at = self.clock(), identity.issued_at or 0.0
        if now < min(issued_at + (identity.expires_at - issued_at) / 10, identity.expires_at):
            return IssuedSession(identity, token)
        return await self._until_issued(lambda: self._attempt(identity))

    async def logout_url(self, identity: Identity, leads_to: str) -> str | None:
        """Return the address at which the provider signs the user out too (RP-Initiated Logout), or None."""
        try:
            at = await self.provider.metadata()
        except OAuthError as error:
            log.info("sign_out.not_at_provider", extra={"why": str(error)})
            return None
        if at.end_session_endpoint is None:
            return None
        row = await self.store.read(provider_sessions.one, identity.user, identity.session, self.clock())
        kept = None if row is None else self.sealing.open(row)
        query = {"client_id": self.provider.registration.client_id, "post_logout_redirect_uri": leads_to}
        url = with_query(at.end_session_endpoint, query)
        if kept is not None and kept.id_token:
            hinted = with_query(at.end_session_endpoint, {"id_token_hint": kept.id_token, **query})
            url = hinted if len(hinted) <= MAX_LOGOUT_URL else url
        return url

    async def forget(self, owner: str, session_id: str) -> None:
        """Remove an ended session, and have its refresh token revoked at the provider, within `FORGET_S`."""
        row = await self.store.read(provider_sessions.one, owner, session_id, self.clock())
        if row is not None:
            await self._drop([row])

    async def forget_user(self, owner: str) -> None:
        """Remove all sessions of a user, and have their refresh tokens revoked, within `FORGET_S`."""
        await self._drop(await self.store.read(provider_sessions.of_owner, owner))

    async def log_out(self, logout_token: str) -> int:
        """End the sessions that a logout token of the provider names (Back-Channel Logout). Return their number.

        It ends sessions that began before it was issued, or at its first use some seconds later, as clocks differ. A
        repeated token, which providers send after a failure, ends no session that began later.

        Raises:
            Untrusted: It is no logout token of the provider.
            Unreachable: The provider's keys cannot be fetched.
            CommandRejected, StorageUnavailable: A session cannot be ended now.
        """
        logout = await self.provider.logged_out(logout_token)
        subject, session = map(self.sealing.digest, (logout.subject, logout.session))
        first = logout.id and await self.store.commit(
            revoke_session(f"logout-{self.sealing.digest(logout.id)}", logout.expires_at, self.clock())
        )
        cutoff = logout.issued_at + (LEEWAY_S if first else 0.0)
        named = await self.store.read(provider_sessions.of_provider, subject, session)
        rows = [row for row in named if row.signed_in_at < cutoff]
        for row in rows:
            entry = Deed(SESSIONS_ENDED, row.owner, PROVIDER, row.owner, detail={"all": False})
            await say(self.store, entry)
            await self._end(row, "the provider has signed the user out")
        return len(rows)

    async def _until_issued(self, attempt: Callable[[], Awaitable[IssuedSession | None]]) -> IssuedSession:
        with trio.move_on_after(WAIT_S):
            while True:
                issued = await attempt()
                if issued is not None:
                    return issued
                await trio.sleep(POLL_S * self.chance.uniform(0.5, 1.5))
        raise self._away()

    async def _first(self, begun: Handover) -> IssuedSession | None:
        row, kept = await self._read(begun.owner, begun.session)
        if row.stamp != begun.stamp:
            raise Unauthenticated("token_expired", SIGN_IN_AGAIN)
        return await self._issue(row, kept)

    async def _attempt(self, identity: Identity) -> IssuedSession | None:
        """Return the next token; None if another task or node is asking the provider."""
        (row, kept), now = await self._read(identity.user, identity.session), self.clock()
        if now >= identity.expires_at and identity.token_id not in kept.tokens:
            raise Unauthenticated("token_expired", SIGN_IN_AGAIN)
        just_asked = kept.checked_at > (identity.issued_at or 0.0) and now - kept.checked_at < FRESH_S
        if kept.refresh is None or just_asked:
            return await self._issue(row, kept)
        if row.claimed_until > now:
            return None
        try:
            await self.provider.metadata()  # before the claim: nothing is lost if the caller leaves meanwhile
        except OAuthError as error:
            return await self._go_on(row, kept, error)
        claim = secrets.token_hex(16)
        with trio.CancelScope(shield=True):  # every step is bounded; a claim without a renewal would delay other tabs
            if await self.store.commit(claim_provider_session(row.owner, row.id, row.stamp, claim, now + CLAIM_S)):
                return await self._ask(evolve(row, stamp=claim), kept, kept.refresh)
        return None

    async def _ask(self, row: ProviderSession, kept: Kept, refresh: str) -> IssuedSession | None:
        """Renew a session under a claim by asking the provider. Return None if the session was changed meanwhile.
        Raises Unauthenticated if the session is over."""
        try:
            answer = await self.provider.refresh(refresh, kept.user.subject)
        except OAuthError as error:
            if isinstance(error, GrantRefused) and error.code in ENDED:
                await self._end(row, str(error))
                raise Unauthenticated("token_expired", SIGN_IN_AGAIN) from None
            return await self._go_on(row, kept, error)
        kept = evolve(kept, refresh=answer.tokens.refresh_token, id_token=answer.tokens.id_token or kept.id_token)
        user = answer.user
        if user is None:
            return await self._go_on(row, kept, Unreachable("it does not say who the user is now"))
        if self.sessions.tenants and user.tenant != tenant_of(row.owner):
            await self._end(row, "the user is of another tenant now")
            raise Unauthenticated("token_expired", SIGN_IN_AGAIN)
        if (user.roles, user.groups) != (kept.user.roles, kept.user.groups):
            log.info("sign_in.rights_changed", extra={"user": row.owner})
            self._warn(user)
        return await self._issue(
            evolve(row, claimed_until=0.0), evolve(kept, user=user, checked_at=_floored(self.clock()))
        )

    async def _go_on(self, row: ProviderSession, kept: Kept, error: OAuthError) -> IssuedSession | None:
        """Continue a session unchanged, as the provider could not say who the user is. Raises CommandRejected if the
        check is overdue by `outage_s`."""
        log.warning("sign_in.not_renewed", extra={"user": row.owner, "why": str(error)})
        now = self.clock()
        paused = evolve(row, claimed_until=now + AGAIN_S)
        if now < kept.checked_at + self.recheck_s + self.outage_s:
            return await self._issue(paused, kept)
        await self._store(evolve(paused, claimed_until=0.0), kept)
        raise self._away()

    async def _issue(self, row: ProviderSession, kept: Kept) -> IssuedSession | None:
        """Issue a token, and store the session with its id. Return None if the session was changed meanwhile."""
        left_s = row.expires_at - self.clock()
        life_s = left_s if kept.refresh is None else min(self.recheck_s, left_s)
        user = kept.user
        identity = Identity(
            row.owner, row.id, tenant_of(row.owner), user.roles, groups=user.groups, signed_in_at=row.signed_in_at,
            name=user.name,
        )  # fmt: skip
        issued = self.sessions.issue(identity, max(1.0, life_s))
        tokens = (*kept.tokens, issued.identity.token_id)[-KEPT_TOKENS:]
        return issued if await self._store(row, evolve(kept, tokens=tokens)) else None

    async def _store(self, row: ProviderSession, kept: Kept) -> bool:
        """Store a session in place of `row`. Return False if that was changed meanwhile, or is gone."""
        newer = self.sealing.sealed(evolve(row, stamp=secrets.token_hex(16)), kept)
        deadline = trio.current_time() + STORE_S
        while True:
            try:
                if await self.store.commit(change_provider_session(newer, row.stamp)):
                    return True
                stored = await self.store.read(provider_sessions.one, row.owner, row.id, self.clock())
                return stored is not None and stored.stamp == newer.stamp  # an earlier attempt may have succeeded
            except StorageUnavailable:
                if trio.current_time() >= deadline:
                    raise
                await trio.sleep(0.5)

    async def _read(self, owner: str, session_id: str) -> tuple[ProviderSession, Kept]:
        row = await self.store.read(provider_sessions.one, owner, session_id, self.clock())
        kept = None if row is None else self.sealing.open(row)
        if row is None or kept is None:
            raise Unauthenticated("token_expired", SIGN_IN_AGAIN)
        return row, kept

    async def _end(self, row: ProviderSession, why: str) -> None:
        """End a session that the provider has ended."""
        await self.sessions.revoke(Identity(row.owner, row.id))
        await self.store.commit(drop_provider_session(row.owner, row.id))
        log.info("sign_in.ended", extra={"user": row.owner, "why": why})

    async def _drop(self, rows: list[ProviderSession]) -> None:
        """Remove sessions that are revoked, here and at the provider."""
        for row in rows:
            await self.store.commit(drop_provider_session(row.owner, row.id))
        with trio.move_on_after(FORGET_S):
            for kept in filter(None, map(self.sealing.open, rows)):
                if kept.refresh is not None:
                    try:
                        await self.provider.revoke(kept.refresh)
                    except OAuthError as error:
                        log.info("sign_out.not_at_provider", extra={"why": str(error)})

    def _warn(self, user: ProviderUser) -> None:
        if user.left_out:
            log.warning("sign_in.groups_left_out", extra={"user": user.subject, "left_out": user.left_out})

    def _away(self) -> CommandRejected:
        title = self.provider.registration.title
        return CommandRejected("busy", f"{title} does not answer, so the session cannot be renewed now.", AGAIN_S)


def _floored(now: float) -> float:
    """Round a time down to whole milliseconds, as in tokens, so that the next token is never older than it."""
    return math.floor(now * 1000) / 1000


def open_provider_sessions(table: "OpenIdSettings", server: "WebContext") -> ProviderSessions:
    """Build the sessions of users who sign in at the provider that the settings name."""
    settings = server.settings
    claims = ClaimNames(table.name_claim, table.roles_claim, table.groups_claim, settings.tenant_claim)
    secret, title = str(table.client_secret), table.title or urlsplit(table.issuer).netloc
    registration = Registration(table.issuer, table.client_id, secret, tuple(table.scopes), table.prompt, title, claims)
    provider = Provider(registration, time.time)
    sealing = SessionSeal(Seal(*secrets_for_storage(settings)), registration)
    return ProviderSessions(
        provider, server.store, sealing, server.sessions, time.time, float(table.recheck_s), float(table.outage_s)
    )
