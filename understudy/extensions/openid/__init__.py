"""OpenID Connect: users of the page sign in at an identity provider (code flow, PKCE), which can end their sessions.

The browser gets a token of this server and none of the provider's, which are stored sealed in the database.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from understudy.extension import Extension, UserData

if TYPE_CHECKING:
    from quart import Blueprint
    from sqlalchemy import Table

    from actors import ChildSpec
    from understudy.web.context import WebContext


class OpenId(Extension):
    """See the module."""

    name = "openid"
    about = "sign users in at an identity provider"
    requires = ("oauth",)
    table = "oidc"

    def settings(self) -> type:
        """Return the settings of the identity provider."""
        from understudy.extensions.openid.settings import OpenIdSettings

        return OpenIdSettings

    def tables(self) -> "Sequence[Table]":
        """Return the table of sessions that began at the provider."""
        from understudy.extensions.openid.tables import provider_sessions

        return [provider_sessions]

    def user_data(self) -> Sequence[UserData]:
        """Return a user's sessions that began at the provider."""
        from understudy.extensions.openid.storage import record_of
        from understudy.extensions.openid.tables import provider_sessions

        return [UserData("provider_sessions", provider_sessions, record_of)]

    async def open(self, server: "WebContext") -> None:
        """Let users sign in at the provider, if the settings name one."""
        from understudy.extensions.openid.settings import OpenIdSettings

        table = server.settings.of(OpenIdSettings)
        if table.issuer:
            from understudy.extensions.openid.sessions import open_provider_sessions

            server.sessions.sign_in = provider_sessions = open_provider_sessions(table, server)
            server.parts.add(provider_sessions)

    def routes(self) -> "Sequence[Blueprint]":
        """Return the routes of `/auth`."""
        from understudy.extensions.openid import routes

        return [routes.blueprint]

    def children(self, server: "WebContext") -> "Sequence[ChildSpec]":
        """Return the actor that fetches the provider's keys, if the settings name a provider."""
        from actors import ChildSpec
        from understudy.extensions.openid.settings import OpenIdSettings

        if not server.settings.of(OpenIdSettings).issuer:
            return []
        from understudy.extensions.openid.sessions import ProviderSessions

        return [ChildSpec("keys", server.parts[ProviderSessions].provider.keeper)]


EXTENSION: Final = OpenId()
