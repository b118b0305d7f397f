"""Steering: users, and operators who have taken over a run, send messages (steers) to a run that is at work.

The run itself reads them (`chat/run/steers.py`).
"""

from typing import TYPE_CHECKING, Final

from understudy.extension import Extension

if TYPE_CHECKING:
    from understudy.web.context import WebContext


class SteeringOfRuns(Extension):
    """See the module."""

    name = "steering"
    about = "say something to a run that is at work"

    async def open(self, server: "WebContext") -> None:
        """Add the commands `steer` and `unsteer`, and the part of conversations that accepts steers."""
        from understudy.extensions.steering.command import steer, unsteer
        from understudy.extensions.steering.steering import Steering
        from understudy.wire.commands import Steer, Unsteer

        server.chat.commands.extend({Steer: steer, Unsteer: unsteer}, Steering)


EXTENSION: Final = SteeringOfRuns()
