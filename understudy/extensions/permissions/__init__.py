"""Permissions: a file says who may use which agents, tools and models, and spend how much, by user, role and group; and
users allow tools always, in a thread each.

`understudy.agents.permissions` decides by the rules of the file. Without them everybody may use what agents and tools
do not themselves restrict. Without this extension users are asked about each call that needs consent; what they have
allowed always stays stored.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from understudy.extension import Extension, UserData

if TYPE_CHECKING:
    from quart import Blueprint
    from sqlalchemy import Table

    from actors import ChildSpec
    from understudy.web.context import WebContext


class PermissionRules(Extension):
    """See the module."""

    name = "permissions"
    about = "say who may use what, by group; remember consents"
    requires = ("spending",)

    def settings(self) -> type:
        """The file."""
        from understudy.extensions.permissions.settings import PermissionSettings

        return PermissionSettings

    def tables(self) -> "Sequence[Table]":
        """A row a tool that a user has allowed always in a thread."""
        from understudy.extensions.permissions.tables import consents

        return [consents]

    def user_data(self) -> Sequence[UserData]:
        """The tools that a user has allowed always, with their thread."""
        from understudy.extensions.permissions.consents import Consent
        from understudy.extensions.permissions.tables import consents

        return [UserData("consents", consents, lambda row: Consent(row.tool_name, row.given_at, row.definition))]

    async def open(self, server: "WebContext") -> None:
        """Remember consents, and put the rules of the file in force, if one is set. Raises BadRules."""
        from understudy.extensions.permissions.consents import remembering
        from understudy.extensions.permissions.settings import PermissionSettings

        server.parts.add(remembering(server.store, server.services.clock))
        path = server.settings.of(PermissionSettings).file
        if path is not None:
            from understudy.extensions.permissions.file import open_file

            server.parts.add(await open_file(path, server))

    def routes(self) -> "Sequence[Blueprint]":
        """`/api/threads/ID/consents`."""
        from understudy.extensions.permissions.routes import blueprint

        return [blueprint]

    def children(self, server: "WebContext") -> "Sequence[ChildSpec]":
        """The actor that looks for changes of the file, if one is set."""
        from actors import ChildSpec
        from understudy.extensions.permissions.settings import PermissionSettings

        if server.settings.of(PermissionSettings).file is None:
            return []
        from understudy.extensions.permissions.file import PermissionsFile, PermissionsPoller

        return [ChildSpec("poller", partial(PermissionsPoller, server.parts[PermissionsFile]))]


EXTENSION: Final = PermissionRules()
