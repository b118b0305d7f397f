"""MCP: connects agents to MCP servers: their tools, prompts and resources, and users' sign-ins there.

The MCP SDK is imported only if an agent names a server.
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
        """Return the setting of MCP servers."""
        from understudy.extensions.mcp.settings import McpSettings

        return McpSettings

    def tables(self) -> "Sequence[Table]":
        """Return the tables of sign-ins, started sign-ins, registered clients, and servers switched off in threads."""
        from understudy.extensions.mcp.tables import oauth_clients, servers_off, sign_in_starts, sign_ins

        return [sign_ins, sign_in_starts, oauth_clients, servers_off]

    def user_data(self) -> Sequence[UserData]:
        """Return a user's sign-ins, started sign-ins, and servers switched off in threads."""
        from understudy.extensions.mcp.tables import servers_off, sign_in_starts, sign_ins

        return [
            UserData("sign_ins", sign_ins, lambda row: {"server": row.server, "signed_in_at": row.signed_in_at}),
            UserData("sign_in_starts", sign_in_starts, lambda row: {"expires_at": row.expires_at}),
            UserData("servers_off", servers_off, lambda row: row.server),
        ]

    async def open(self, server: "WebContext") -> None:
        """Build the links to the MCP servers that agents name."""
        from understudy.extensions.mcp.opening import open_catalogue

        await open_catalogue(server)

    def routes(self) -> "Sequence[Blueprint]":
        """Return the routes of a thread's servers and prompts, of sign-ins, and of the operators' list of these."""
        from understudy.extensions.mcp import routes, sign_in_routes

        return [routes.blueprint, sign_in_routes.blueprint, sign_in_routes.of_operators]

    def children(self, server: "WebContext") -> "Sequence[ChildSpec]":
        """Return an actor per server, and the actor that keeps sign-ins alive. Users' connections are started later."""
        from understudy.extensions.mcp.catalogue import McpCatalogue

        return server.parts[McpCatalogue].children()

    def terminal(self) -> TerminalCommands:
        """`understudy admin sign-ins`."""
        from understudy.extensions.mcp.terminal import sign_ins

        return TerminalCommands(admin=[sign_ins])


EXTENSION: Final = Mcp()
