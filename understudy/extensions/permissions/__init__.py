"""Permissions: a file says who may use which agents, tools and models, and spend how much, by user, role and group.

`understudy.agents.permissions` decides by its rules. Without them everybody may use what agents and tools do not
themselves restrict.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from understudy.extension import Extension

if TYPE_CHECKING:
    from actors import ChildSpec
    from understudy.web.context import WebContext


class PermissionRules(Extension):
    """See the module."""

    name = "permissions"
    about = "say who may use what, by group"

    def settings(self) -> type:
        """The file."""
        from understudy.extensions.permissions.settings import PermissionSettings

        return PermissionSettings

    async def open(self, server: "WebContext") -> None:
        """Put the rules of the file in force, if one is set. Raises BadRules."""
        from understudy.extensions.permissions.settings import PermissionSettings

        path = server.settings.of(PermissionSettings).file
        if path is not None:
            from understudy.extensions.permissions.file import open_file

            server.parts.add(await open_file(path, server))

    def children(self, server: "WebContext") -> "Sequence[ChildSpec]":
        """The actor that looks for changes of the file, if one is set."""
        from actors import ChildSpec
        from understudy.extensions.permissions.settings import PermissionSettings

        if server.settings.of(PermissionSettings).file is None:
            return []
        from understudy.extensions.permissions.file import PermissionsFile, PermissionsPoller

        return [ChildSpec("poller", partial(PermissionsPoller, server.parts[PermissionsFile]))]


EXTENSION: Final = PermissionRules()
