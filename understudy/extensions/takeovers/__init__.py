"""Takeovers: an operator takes over the run of a user, reads it, steers it, answers for the user, and hands it back.

The user is notified of each step. A take-over is an event of the run, which the protocol of runs includes.
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
        """Add the part of conversations that lets operators take over runs and hand them back."""
        from understudy.extensions.takeovers.taken_runs import TakenRuns

        server.chat.commands.extend({}, TakenRuns)

    def routes(self) -> "Sequence[Blueprint]":
        """Return the routes of `/api/admin/runs/{run_id}`."""
        from understudy.extensions.takeovers.routes import blueprint

        return [blueprint]

    def terminal(self) -> TerminalCommands:
        """Return `understudy admin take-over`, and the commands for a run that was taken over."""
        from understudy.extensions.takeovers.terminal import ADMIN

        return TerminalCommands(admin=ADMIN)


EXTENSION: Final = Takeovers()
