"""The actor that keeps unused sign-ins alive, because refresh tokens expire unused, and drops unfinished sign-ins."""

import logging
from collections.abc import Mapping
from typing import Final

from attrs import evolve

from actors import Actor, Context
from understudy.extensions.mcp.errors import SignedOut
from understudy.extensions.mcp.oauth import storage as sign_ins
from understudy.extensions.mcp.oauth.accounts import Accounts
from understudy.extensions.mcp.oauth.storage import SignIn, drop_starts, put_sign_in
from understudy.extensions.oauth.errors import OAuthError
from understudy.storage.errors import StorageError
from understudy.tools.mcp_server import McpServer

log = logging.getLogger(__name__)

EVERY_S: Final = 60.0
"""Seconds between two passes, varied at random by half, so that nodes work at different times."""


class _Look:
    """Sent by the actor to itself: refresh the tokens that are due."""


class SignInKeeper(Actor):
    """Refreshes the tokens of sign-ins that are due, one after another."""

    def __init__(self, accounts: Accounts, servers: Mapping[str, McpServer]) -> None:
        self.accounts, self.servers = accounts, servers

    async def on_start(self, context: Context) -> None:
        """Schedule the first pass soon, because the server may have been down for long."""
        self._look_again(context)

    async def receive(self, message: object, context: Context) -> None:
        """Refresh the tokens that are due, and schedule the next pass."""
        if not isinstance(message, _Look):
            context.unhandled(message)
            return
        try:
            await self.accounts.store.commit(drop_starts(self.accounts.clock()))
            for row in await self.accounts.store.read(sign_ins.to_keep, self.accounts.clock()):
                await self._keep(row)
        except StorageError as error:
            log.debug("mcp.keep_postponed", extra={"reason": str(error)})
        self._look_again(context)

    def _look_again(self, context: Context) -> None:
        context.set_timer("look", EVERY_S * self.accounts.chance.uniform(0.5, 1.5), _Look())

    async def _keep(self, row: SignIn) -> None:
        server = self.servers.get(row.server)
        if server is None:  # no agent uses the server any more
            await self.accounts.store.commit(put_sign_in(evolve(row, keep_at=None), replaces=row.stamp))
            return
        try:
            await self.accounts.renew(row, server)
        except (OAuthError, SignedOut) as error:
            log.info("mcp.not_kept", extra={"server": row.server, "why": str(error) or "it is signed out"})
