"""Users' sign-ins at MCP servers: tokens that are refreshed before they expire, once for all tasks and nodes.

1. A node that refreshes claims the sign-in under its stamp, and stores the new tokens under that claim. So a refresh
   token is used once, and no node overwrites the tokens of another.
2. A started refresh is finished: the caller's cancellation waits until the new tokens are stored.
3. A sign-in whose token is refused and cannot be refreshed is removed.
"""

import logging
import random
import secrets
from collections.abc import Callable
from typing import Final

import trio
from attrs import define, evolve, field

from understudy.auth.seal import Seal
from understudy.extensions.mcp.errors import RefusedToken, SignedOut
from understudy.extensions.mcp.oauth import grants
from understudy.extensions.mcp.oauth import storage as sign_ins
from understudy.extensions.mcp.oauth.grants import UserTokens
from understudy.extensions.mcp.oauth.storage import SignIn, claim_sign_in, drop_client, drop_sign_in, put_sign_in
from understudy.extensions.oauth.errors import GrantRefused, OAuthError, Unreachable
from understudy.extensions.oauth.guarded_http import GuardedHttp
from understudy.storage.errors import StorageUnavailable
from understudy.storage.store import Store
from understudy.tools.mcp_server import McpServer

log = logging.getLogger(__name__)

EARLY: Final = (0.6, 0.8)
"""Fractions of its life between which a token is refreshed, at random, so that not all are refreshed at once."""
CLAIM_S: Final = 40.0
"""Seconds for which a refresh is claimed: longer than a request and the attempts to store its result."""
STORE_S: Final = 20.0
"""Seconds for which storing new tokens is retried while the database is unavailable."""
WAIT_S: Final = 30.0
"""Seconds that a caller waits for another's refresh."""
POLL_S: Final = 0.1
AGAIN_S: Final = 10.0
"""Seconds before a failed refresh is retried while the token is still valid."""
KEEP_S: Final = (12 * 3600.0, 16 * 3600.0)
"""Seconds, at random between these, after which unused tokens are refreshed, because refresh tokens expire unused."""


@define(eq=False)
class Accounts:
    """The sign-ins of all users. `private`: authorization servers may have private addresses. `clock`: Unix seconds."""

    store: Store
    seal: Seal
    clock: Callable[[], float]
    private: bool = False
    chance: random.Random = field(factory=random.Random)

    def http(self, server: McpServer) -> GuardedHttp:
        """Return the HTTP client for the requests of a server's sign-ins."""
        return GuardedHttp(self.private or server.is_private)

    def due(self, tokens: UserTokens) -> bool:
        """Return whether tokens must be refreshed, or have expired."""
        until = tokens.refresh_at or tokens.expires_at
        return until is not None and self.clock() >= until

    async def signed_in(self, owner: str, server: McpServer) -> bool:
        """Return whether a user has a usable sign-in at a server."""
        _, tokens = await self._stored(owner, server)
        return tokens is not None and not tokens.barred

    async def wanted(self, owner: str, server: McpServer) -> str | None:
        """Return the scopes for which a user must sign in again, empty if they are unknown; None if they need not."""
        _, tokens = await self._stored(owner, server)
        return None if tokens is None else tokens.wanted

    async def keep(self, owner: str, server: McpServer, tokens: UserTokens) -> bool:
        """Store the tokens of a new sign-in. Return False if the user was erased meanwhile."""
        return bool(await self.store.commit(put_sign_in(self._row(owner, server, tokens, self.clock()))))

    async def sign_out(self, owner: str, server: McpServer) -> bool:
        """Remove a sign-in, and revoke its tokens if their server supports that. Return False if there is none."""
        row, tokens = await self._stored(owner, server)
        if row is None or not await self.store.commit(drop_sign_in(owner, server.name)):
            return False
        if tokens is not None:
            try:
                await grants.revoke(tokens, self.http(server))
            except OAuthError as error:
                log.info("mcp.not_revoked", extra={"server": server.name, "why": str(error)})
        return True

    async def tokens(self, owner: str, server: McpServer, refused: RefusedToken | None = None) -> UserTokens:
        """Return valid tokens, refreshed if it is time. `refused`: an access token that the server did not accept.

        The refused token is returned again if neither a refresh nor a new sign-in would help.

        Raises:
            SignedOut: There are no tokens, they are not accepted any more, or the user must sign in for more scopes.
            Unreachable, Untrusted: The tokens had to be refreshed, and their server failed to.
            StorageUnavailable: The tokens cannot be read.
        """
        try:
            with trio.fail_after(WAIT_S):
                while True:
                    attempt = await self._attempt(owner, server, refused)
                    if attempt is not None:
                        return attempt
                    await trio.sleep(POLL_S * self.chance.uniform(0.5, 1.5))
        except trio.TooSlowError:
            raise Unreachable("its sign-in is being refreshed for too long") from None

    async def renew(self, row: SignIn, server: McpServer) -> None:
        """Refresh the valid tokens of a sign-in, unless another task or node has. Raises the errors of `tokens`."""
        tokens = self._open(row, server)
        await self.tokens(row.owner, server, None if tokens is None else RefusedToken(tokens.access))

    async def _attempt(self, owner: str, server: McpServer, refused: RefusedToken | None) -> UserTokens | None:
        """Return valid tokens; None if another task or node is refreshing them."""
        row, tokens = await self._stored(owner, server)
        if row is None or tokens is None or tokens.barred:
            raise SignedOut
        now, rejected = self.clock(), refused is not None and tokens.access == refused.token
        if refused is not None and rejected and (refused.final or tokens.refresh is None):
            lacking = tokens.wanting(refused)
            if lacking is None and refused.final:
                return tokens
            if lacking is not None:
                change = put_sign_in(self._row(owner, server, lacking, row.signed_in_at), replaces=row.stamp)
                if row.claimed_until > now or not await self.store.commit(change):
                    return None
                raise SignedOut
        good = not rejected and (tokens.expires_at is None or now < tokens.expires_at)
        if good and (tokens.refresh_at is None or now < tokens.refresh_at):
            return tokens
        if tokens.refresh is None:
            await self._end(row, server, "its token is not accepted" if rejected else "its token has expired")
            raise SignedOut
        claim = secrets.token_hex(16)
        if row.claimed_until > now:
            return tokens if good else None
        with trio.CancelScope(shield=True):  # a claim without a refresh would block others; each step has a deadline
            if await self.store.commit(claim_sign_in(owner, server.name, row.stamp, claim, now + CLAIM_S)):
                return await self._refresh(row, tokens, server, claim, good=good)
        return None

    async def _refresh(
        self, row: SignIn, tokens: UserTokens, server: McpServer, claim: str, *, good: bool
    ) -> UserTokens:
        """Refresh tokens under a claim. Return the new ones; if that fails, the old ones if they are still `good`."""
        try:
            newer = await grants.refresh(tokens, self.http(server), self.clock())
        except GrantRefused as error:
            await self._end(evolve(row, stamp=claim), server, str(error))
            if error.code == "invalid_client":
                await self.store.commit(drop_client(tokens.client.registered_as))
            raise SignedOut from None
        except OAuthError as error:
            later = self.clock() + (AGAIN_S if good else 0.0)
            released = evolve(row, stamp=secrets.token_hex(16), claimed_until=later)
            await self.store.commit(put_sign_in(released, replaces=claim))
            log.warning("mcp.refresh_failed", extra={"server": server.name, "why": str(error)})
            if good:
                return tokens
            raise
        if not await self._store(self._row(row.owner, server, newer, row.signed_in_at), claim):
            raise SignedOut  # the user signed out meanwhile, or was erased
        log.debug("mcp.refreshed", extra={"server": server.name})
        return newer

    async def _store(self, row: SignIn, claim: str) -> bool:
        """Store refreshed tokens, which only this node has. Return False if the sign-in is gone."""
        deadline = trio.current_time() + STORE_S
        while True:
            try:
                if await self.store.commit(put_sign_in(row, replaces=claim)):
                    return True
                # An earlier attempt may have stored them without an acknowledgement.
                stored = await self.store.read(sign_ins.sign_in, row.owner, row.server)
                return stored is not None and stored.stamp == row.stamp
            except StorageUnavailable:
                if trio.current_time() >= deadline:
                    raise
                await trio.sleep(0.5)

    async def _end(self, row: SignIn, server: McpServer, why: str) -> None:
        await self.store.commit(drop_sign_in(row.owner, row.server, row.stamp))
        log.info("mcp.signed_out", extra={"server": server.name, "why": why})

    async def _stored(self, owner: str, server: McpServer) -> tuple[SignIn | None, UserTokens | None]:
        """Return a user's sign-in, and its tokens if they can be opened."""
        row = await self.store.read(sign_ins.sign_in, owner, server.name)
        return row, None if row is None else self._open(row, server)

    def _open(self, row: SignIn, server: McpServer) -> UserTokens | None:
        """Return the tokens of a sign-in; None if they are for another URL, or sealed with another secret."""
        return self.seal.open(row.sealed, UserTokens, *_place(row.owner, server))

    def _row(self, owner: str, server: McpServer, tokens: UserTokens, signed_in_at: float) -> SignIn:
        """Return the row of new tokens, with random times of their next refresh."""
        now, refresh_at = self.clock(), None
        if tokens.refresh is not None and tokens.expires_at is not None:
            refresh_at = now + (tokens.expires_at - now) * self.chance.uniform(*EARLY)
        sealed = self.seal.seal(evolve(tokens, refresh_at=refresh_at), *_place(owner, server))
        keep_at = None if tokens.refresh is None or tokens.barred else now + self.chance.uniform(*KEEP_S)
        return SignIn(owner, server.name, sealed, secrets.token_hex(16), signed_in_at, keep_at=keep_at)


def _place(owner: str, server: McpServer) -> tuple[str, ...]:
    """Return the values that a seal is bound to, so that a token is only sent to the URL it was issued for."""
    return "sign-in", owner, server.name, server.url
