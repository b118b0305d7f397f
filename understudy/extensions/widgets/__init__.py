"""Widgets: the user interfaces of MCP servers' tools (MCP Apps), each in a frame at an origin of its own.

The kernel has the parts that runs need: which tool has a widget, and messages that call a tool for a widget.
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
        """Return the setting of the origin at which widgets are shown."""
        from understudy.extensions.widgets.settings import WidgetSettings

        return WidgetSettings

    async def open(self, server: "WebContext") -> None:
        """Announce to MCP servers that the user interfaces of their tools are shown, if an origin is set."""
        from understudy.extensions.widgets.settings import WidgetSettings

        if server.settings.of(WidgetSettings).origin:
            from understudy.extensions.mcp.catalogue import McpCatalogue

            server.parts[McpCatalogue].show_widgets()

    def routes(self) -> "Sequence[Blueprint]":
        """Return the routes of widgets, of their frame, and of calls from them."""
        from understudy.extensions.widgets.routes import blueprint

        return [blueprint]


EXTENSION: Final = WidgetsExtension()
