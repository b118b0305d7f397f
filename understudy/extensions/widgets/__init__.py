"""Widgets: the user interfaces that tools of MCP servers have (MCP Apps), each in a frame at an origin of its own.

What a run knows of them stays in the kernel: which tool has one, and that a message may stand for a call of one.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from understudy.extension import Extension

if TYPE_CHECKING:
    from quart import Blueprint

    from understudy.web.context import WebContext


class WidgetsExtension(Extension):
    """See the module."""

    name = "widgets"
    requires = ("mcp",)
    about = "show user interfaces of MCP servers"

    def settings(self) -> type:
        """The origin at which they are shown: none unless it is set."""
        from understudy.extensions.widgets.settings import WidgetSettings

        return WidgetSettings

    async def open(self, server: "WebContext") -> None:
        """Have MCP servers told that the interfaces of their tools are shown."""
        from understudy.extensions.widgets.settings import WidgetSettings

        if server.settings.of(WidgetSettings).origin:
            from understudy.extensions.mcp.catalogue import McpCatalogue

            server.parts[McpCatalogue].show_widgets()

    def routes(self) -> "Sequence[Blueprint]":
        """What is shown in a frame, the frame, and calls from there."""
        from understudy.extensions.widgets.routes import blueprint

        return [blueprint]


EXTENSION: Final = WidgetsExtension()
