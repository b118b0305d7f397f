"""Continuing: a new run goes on with the unfinished answer of an earlier one, or forks its work at one of its calls.

Without it a message can only be answered again from the beginning.
"""

from typing import TYPE_CHECKING, Final

from understudy.extension import Extension

if TYPE_CHECKING:
    from understudy.web.context import WebContext


class ContinuingOfRuns(Extension):
    """See the module."""

    name = "continuing"
    about = "go on with cut answers, or from a call on"

    async def open(self, server: "WebContext") -> None:
        """Add the command `continue`, and the part that reads the steps that a run takes over."""
        from understudy.chat.conversation.acceptance import EarlierWork
        from understudy.extensions.continuing.command import continue_run
        from understudy.extensions.continuing.taking_over import steps_taken_over
        from understudy.wire.commands import Continue

        server.chat.commands.extend({Continue: continue_run})
        server.parts.add(EarlierWork(steps_taken_over))


EXTENSION: Final = ContinuingOfRuns()
