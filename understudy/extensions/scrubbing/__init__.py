"""Scrubbing on request: `understudy scrub` for files and pipes, and `POST /api/sanitize`.

Messages in the chat are scrubbed by its content filter, with or without this extension.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from understudy.extension import Extension, TerminalCommands

if TYPE_CHECKING:
    from quart import Blueprint


class Scrubbing(Extension):
    """See the module."""

    name = "scrubbing"
    about = "scrub files, pipes and texts on request"

    def routes(self) -> "Sequence[Blueprint]":
        """Return the route `POST /api/sanitize`."""
        from understudy.extensions.scrubbing import routes

        return [routes.blueprint]

    def terminal(self) -> TerminalCommands:
        """Return the command `understudy scrub`."""
        from understudy.extensions.scrubbing.command import scrub

        return TerminalCommands(commands=[scrub])


EXTENSION: Final = Scrubbing()
