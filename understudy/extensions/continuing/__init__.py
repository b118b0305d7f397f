"""Continuing: a run goes on with the cut answer of another one, or with its work from one of its calls on.

Without it a message is answered again from its beginning only.
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
        """The command `continue`, and what a run takes over of another one."""
        from understudy.chat.conversation.acceptance import EarlierWork
        from understudy.extensions.continuing.command import continue_run
        from understudy.extensions.continuing.taking_over import steps_taken_over
        from understudy.wire.commands import Continue

        server.chat.commands.extend({Continue: continue_run})
        server.parts.add(EarlierWork(steps_taken_over))


EXTENSION: Final = ContinuingOfRuns()
