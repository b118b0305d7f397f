"""Titles: the model of an agent makes the title of a thread after its first answer.

Without this extension the title is the beginning of the first message.
"""

from typing import TYPE_CHECKING, Final

from understudy.extension import Extension

if TYPE_CHECKING:
    from understudy.web.context import WebContext


class Titles(Extension):
    """See the module."""

    name = "titles"
    about = "have models make the titles of conversations"

    async def open(self, server: "WebContext") -> None:
        """Add the part of conversations that asks for titles."""
        from understudy.extensions.titles.titling import Titling

        server.chat.commands.extend({}, Titling)


EXTENSION: Final = Titles()
