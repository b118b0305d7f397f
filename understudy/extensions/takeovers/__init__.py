"""Takeovers: an operator takes over the run of a user, reads it, steers it, answers for the user, and hands it back.

The user is told of each step. That a run is taken over is an event of it, which its protocol knows.
"""

from typing import TYPE_CHECKING, Final

from understudy.extension import Extension, TerminalCommands

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quart import Blueprint

    from understudy.web.context import WebContext


class Takeovers(Extension):
    """See the module."""

    name = "takeovers"
    about = "let operators take over runs of users"

    async def open(self, server: "WebContext") -> None:
        """What a conversation does when an operator takes over one of its runs, or hands it back."""
        from understudy.extensions.takeovers.taken_runs import TakenRuns

        server.chat.commands.extend({}, TakenRuns)

    def routes(self) -> "Sequence[Blueprint]":
        """`/api/admin/runs/{run_id}`."""
        from understudy.extensions.takeovers.routes import blueprint

        return [blueprint]

    def terminal(self) -> TerminalCommands:
        """`understudy admin take-over`, and what follows it."""
        from understudy.extensions.takeovers.terminal import ADMIN

        return TerminalCommands(admin=ADMIN)


EXTENSION: Final = Takeovers()
