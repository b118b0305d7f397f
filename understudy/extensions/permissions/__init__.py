"""Permissions: a file that says which users, roles and groups may use which agents, tools and models, and spend how
much; and remembered consents of users to tools, each for one thread.

`understudy.agents.permissions` decides by the rules of the file. Without a file every user may use all that agents and
tools do not restrict themselves. Without this extension users are asked about each call that needs consent; stored
consents stay stored.
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
        """Return the setting of the permissions file."""
        from understudy.extensions.permissions.settings import PermissionSettings

        return PermissionSettings

    def tables(self) -> "Sequence[Table]":
        """Return the table of remembered consents."""
        from understudy.extensions.permissions.tables import consents

        return [consents]

    def user_data(self) -> Sequence[UserData]:
        """Return the remembered consents of a user."""
        from understudy.extensions.permissions.consents import Consent
        from understudy.extensions.permissions.tables import consents

        return [UserData("consents", consents, lambda row: Consent(row.tool_name, row.given_at, row.definition))]

    async def open(self, server: "WebContext") -> None:
        """Remember consents, and apply the rules of the file, if one is set. Raises BadRules."""
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
        """Return the actor that polls the file for changes, if one is set."""
        from actors import ChildSpec
        from understudy.extensions.permissions.settings import PermissionSettings

        if server.settings.of(PermissionSettings).file is None:
            return []
        from understudy.extensions.permissions.file import PermissionsFile, PermissionsPoller

        return [ChildSpec("poller", partial(PermissionsPoller, server.parts[PermissionsFile]))]


EXTENSION: Final = PermissionRules()
