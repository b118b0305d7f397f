"""Users' sign-ins at MCP servers: tokens that are refreshed before they expire, once for all tasks and nodes.

1. Whoever refreshes claims the sign-in under its stamp, and stores the new tokens under that claim: a refresh token is
   used once, and none is lost to another node's.
2. A refresh that was begun is finished: its caller's cancellation waits for the new tokens to be stored.
3. A token that is refused, and cannot be refreshed, ends the sign-in: it is removed.
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
"""Parts of its life after which a token is refreshed: by chance between them, so that not all are at once."""
CLAIM_S: Final = 40.0
"""Seconds for which a refresh is claimed: longer than a request and the attempts to store its result."""
STORE_S: Final = 20.0
"""Seconds for which storing new tokens is tried again while the database is away."""
WAIT_S: Final = 30.0
"""Seconds that a caller waits for another's refresh."""
POLL_S: Final = 0.1
AGAIN_S: Final = 10.0
"""Seconds before a refresh that failed is tried again, while the token is still good."""
KEEP_S: Final = (12 * 3600.0, 16 * 3600.0)
"""Seconds after which the tokens of a sign-in that nobody uses are refreshed: refresh tokens expire unused."""


@define(eq=False)
class Accounts:
    """The sign-ins of all users. `private`: authorization servers may have private addresses. `clock` is in Unix
    seconds."""

    store: Store
    seal: Seal
    clock: Callable[[], float]
    private: bool = False
    chance: random.Random = field(factory=random.Random)

    def http(self, server: McpServer) -> GuardedHttp:
        """Return what makes the requests for a server's sign-ins."""
        return GuardedHttp(self.private or server.is_private)

    def due(self, tokens: UserTokens) -> bool:
        """Return whether tokens are to be refreshed, or have expired."""
        until = tokens.refresh_at or tokens.expires_at
        return until is not None and self.clock() >= until

    async def signed_in(self, owner: str, server: McpServer) -> bool:
        """Return whether a user has a sign-in with which something can be done."""
        _, tokens = await self._stored(owner, server)
        return tokens is not None and not tokens.barred

    async def wanted(self, owner: str, server: McpServer) -> str | None:
        """Return the scopes for which a user is to sign in anew, empty if they are not known; None if for none."""
        _, tokens = await self._stored(owner, server)
        return None if tokens is None else tokens.wanted

    async def keep(self, owner: str, server: McpServer, tokens: UserTokens) -> bool:
        """Store the tokens of a new sign-in. Return False if the user was erased meanwhile."""
        return bool(await self.store.commit(put_sign_in(self._row(owner, server, tokens, self.clock()))))

    async def sign_out(self, owner: str, server: McpServer) -> bool:
        """End a sign-in, and have its tokens revoked if their server does that. Return False if there is none."""
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
        """Return tokens that are good now, refreshed if it is time. `refused`: an access token that was not accepted.

        It is returned again if neither a refresh nor a sign-in would help.

        Raises:
            SignedOut: There are none, they are not accepted any more, or the user has to sign in for more scopes.
            Unreachable, Untrusted: They had to be refreshed, and their server did not.
            StorageUnavailable: They cannot be read.
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
        """Refresh the tokens of a sign-in although they are good, unless somebody else has. Raises as `tokens` does."""
        tokens = self._open(row, server)
        await self.tokens(row.owner, server, None if tokens is None else RefusedToken(tokens.access))

    async def _attempt(self, owner: str, server: McpServer, refused: RefusedToken | None) -> UserTokens | None:
        """Return good tokens; None if another one is refreshing them."""
        row, tokens = await self._stored(owner, server)
        if row is None or tokens is None or tokens.barred:
            raise SignedOut
        now, rejected = self.clock(), refused is not None and tokens.access == refused.token
        if refused is not None and rejected and (refused.final or tokens.refresh is None):
            wanting = tokens.wanting(refused)
            if wanting is None and refused.final:
                return tokens
            if wanting is not None:
                wider = put_sign_in(self._row(owner, server, wanting, row.signed_in_at), replaces=row.stamp)
                if row.claimed_until > now or not await self.store.commit(wider):
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
        with trio.CancelScope(shield=True):  # all of it has deadlines: a claim without a refresh would hold up others
            if await self.store.commit(claim_sign_in(owner, server.name, row.stamp, claim, now + CLAIM_S)):
                return await self._refresh(row, tokens, server, claim, good=good)
        return None

    async def _refresh(
        self, row: SignIn, tokens: UserTokens, server: McpServer, claim: str, *, good: bool
    ) -> UserTokens:
        """Refresh tokens under a claim. Return the new ones; if that fails, the old ones if they are `good` still."""
        try:
            made = await grants.refresh(tokens, self.http(server), self.clock())
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
        if not await self._store(self._row(row.owner, server, made, row.signed_in_at), claim):
            raise SignedOut  # meanwhile, or erased
        log.debug("mcp.refreshed", extra={"server": server.name})
        return made

    async def _store(self, row: SignIn, claim: str) -> bool:
        """Store refreshed tokens, which nobody else has. Return False if the sign-in is gone."""
        deadline = trio.current_time() + STORE_S
        while True:
            try:
                if await self.store.commit(put_sign_in(row, replaces=claim)):
                    return True
                # by an attempt that was not acknowledged?
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
        """Return the tokens of a sign-in; None if they are of another address, or sealed with another secret."""
        return self.seal.open(row.sealed, UserTokens, *_place(row.owner, server))

    def _row(self, owner: str, server: McpServer, tokens: UserTokens, signed_in_at: float) -> SignIn:
        """Return the row of new tokens, with the times of their next refresh by chance."""
        now, refresh_at = self.clock(), None
        if tokens.refresh is not None and tokens.expires_at is not None:
            refresh_at = now + (tokens.expires_at - now) * self.chance.uniform(*EARLY)
        sealed = self.seal.seal(evolve(tokens, refresh_at=refresh_at), *_place(owner, server))
        keep_at = None if tokens.refresh is None or tokens.barred else now + self.chance.uniform(*KEEP_S)
        return SignIn(owner, server.name, sealed, secrets.token_hex(16), signed_in_at, keep_at=keep_at)


def _place(owner: str, server: McpServer) -> tuple[str, ...]:
    """Return what a seal is bound to: a token is never sent to another address than it was given for."""
    return "sign-in", owner, server.name, server.url
