"""MCP servers, whose tools agents use: connections, calls, prompts, and users' sign-ins there.

The SDK is imported only if an agent names a server.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from understudy.extension import Extension, TerminalCommands, UserData

if TYPE_CHECKING:
    from quart import Blueprint
    from sqlalchemy import Table

    from actors import ChildSpec
    from understudy.web.context import WebContext


class Mcp(Extension):
    """See the module."""

    name = "mcp"
    about = "give agents the tools of MCP servers"
    requires = ("oauth",)
    packages: ClassVar[Mapping[str, str]] = {"mcp": "mcp"}

    def settings(self) -> type:
        """Where users may sign in."""
        from understudy.extensions.mcp.settings import McpSettings

        return McpSettings

    def tables(self) -> "Sequence[Table]":
        """A row a sign-in, a begun one, a registered client, a server that is off in a thread."""
        from understudy.extensions.mcp.tables import oauth_clients, servers_off, sign_in_starts, sign_ins

        return [sign_ins, sign_in_starts, oauth_clients, servers_off]

    def user_data(self) -> Sequence[UserData]:
        """Where a user is signed in or has begun to, and which servers are off."""
        from understudy.extensions.mcp.tables import servers_off, sign_in_starts, sign_ins

        return [
            UserData("sign_ins", sign_ins, lambda row: {"server": row.server, "signed_in_at": row.signed_in_at}),
            UserData("sign_in_starts", sign_in_starts, lambda row: {"expires_at": row.expires_at}),
            UserData("servers_off", servers_off, lambda row: row.server),
        ]

    async def open(self, server: "WebContext") -> None:
        """Build the links to the servers that agents name."""
        from understudy.extensions.mcp.opening import open_catalogue

        await open_catalogue(server)

    def routes(self) -> "Sequence[Blueprint]":
        """The servers and prompts of a thread, the ways to sign in, and the list for operators."""
        from understudy.extensions.mcp import routes, sign_in_routes

        return [routes.blueprint, sign_in_routes.blueprint, sign_in_routes.of_operators]

    def children(self, server: "WebContext") -> "Sequence[ChildSpec]":
        """One actor per server, one per user who is connected to one, and what keeps sign-ins alive."""
        from understudy.extensions.mcp.catalogue import McpCatalogue

        return server.parts[McpCatalogue].children()

    def terminal(self) -> TerminalCommands:
        """`understudy admin sign-ins`."""
        from understudy.extensions.mcp.terminal import sign_ins

        return TerminalCommands(admin=[sign_ins])


EXTENSION: Final = Mcp()
