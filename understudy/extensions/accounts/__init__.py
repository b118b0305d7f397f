"""Accounts: users of this server sign in with a password or a passkey, which they set through an invite link.

`understudy.auth` issues and revokes the tokens of their sessions.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from understudy.extension import Extension, TerminalCommands, UserData

if TYPE_CHECKING:
    from quart import Blueprint
    from sqlalchemy import Table

    from understudy.web.context import WebContext


class OwnAccounts(Extension):
    """See the module."""

    name = "accounts"
    about = "sign users in with a password or a passkey"

    def settings(self) -> type:
        """Return the settings of accounts."""
        from understudy.extensions.accounts.settings import AccountSettings

        return AccountSettings

    def tables(self) -> "Sequence[Table]":
        """Return the tables of accounts, passkeys, open challenges and counted sign-in attempts."""
        from understudy.extensions.accounts.tables import accounts, passkey_challenges, passkeys, sign_in_attempts

        return [accounts, passkeys, passkey_challenges, sign_in_attempts]

    def user_data(self) -> Sequence[UserData]:
        """Return a user's account and its passkeys. The last account of an operator is not erased."""
        from understudy.extensions.accounts import storage
        from understudy.extensions.accounts.passkey_storage import passkey_of
        from understudy.extensions.accounts.tables import accounts, passkeys

        return [
            UserData("account", accounts, storage.record_of, single=True, before=storage.shut_out),
            UserData("passkeys", passkeys, passkey_of),
        ]

    async def open(self, server: "WebContext") -> None:
        """Let users sign in to accounts if the setting enables these. Raises ExtraNotInstalled."""
        from understudy.extensions.accounts.settings import AccountSettings

        if server.settings.of(AccountSettings).enabled:
            from understudy.extensions.accounts.passkeys import open_accounts

            server.sessions.sign_in = open_accounts(server)

    def routes(self) -> "Sequence[Blueprint]":
        """`/auth/password`, `/auth/passkeys` and invites, and the accounts for operators."""
        from understudy.extensions.accounts import admin_routes, passkey_routes, routes

        return [routes.blueprint, passkey_routes.blueprint, admin_routes.blueprint]

    def terminal(self) -> TerminalCommands:
        """`understudy invite` and `understudy accounts`."""
        from understudy.extensions.accounts.terminal import accounts, invite

        return TerminalCommands(commands=[accounts, invite])


EXTENSION: Final = OwnAccounts()
