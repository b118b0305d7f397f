"""Undo: users undo calls of tools, by the `undo` function of each tool.

A call is undone in the conversation of its thread, beside the runs. The undo of a run is stored before it begins.
"""

from typing import TYPE_CHECKING, Final

from understudy.extension import Extension

if TYPE_CHECKING:
    from understudy.web.context import WebContext


class UndoOfCalls(Extension):
    """See the module."""

    name = "undo"
    about = "undo what tools have done"

    async def open(self, server: "WebContext") -> None:
        """Add the command `undo`, and the part of conversations that undoes calls."""
        from understudy.extensions.undo.command import undo
        from understudy.extensions.undo.undos import Undos
        from understudy.wire.commands import Undo

        server.services.settings.undo = True
        server.chat.commands.extend({Undo: undo}, Undos)


EXTENSION: Final = UndoOfCalls()
