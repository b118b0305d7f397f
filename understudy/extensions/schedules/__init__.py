"""Schedules: messages that are sent to agents at set times, whether their user is connected or not.

The command dispatcher starts their runs, like those of users.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from understudy.extension import Extension, TerminalCommands, UserData

if TYPE_CHECKING:
    from quart import Blueprint
    from sqlalchemy import Table

    from actors import ChildSpec
    from understudy.observe.collectors import CountedBy
    from understudy.web.context import WebContext


class Schedules(Extension):
    """See the module."""

    name = "schedules"
    about = "send messages to agents at set times"

    def settings(self) -> type:
        """Return the settings of schedules."""
        from understudy.extensions.schedules.settings import ScheduleSettings

        return ScheduleSettings

    def tables(self) -> "Sequence[Table]":
        """Return the table of schedules and their firings."""
        from understudy.extensions.schedules.tables import schedules

        return [schedules]

    def user_data(self) -> Sequence[UserData]:
        """Return a user's schedules, with the outcome of their last due times."""
        from understudy.extensions.schedules.storage import export_of
        from understudy.extensions.schedules.tables import schedules

        return [UserData("schedules", schedules, export_of)]

    def routes(self) -> "Sequence[Blueprint]":
        """Return the routes of `/api/schedules`, and the list for operators."""
        from understudy.extensions.schedules import routes

        return [routes.blueprint, routes.of_operators]

    def children(self, server: "WebContext") -> "Sequence[ChildSpec]":
        """Return the actor that fires schedules."""
        from actors import ChildSpec
        from understudy.extensions.schedules.firing import DUE_TIMES, ScheduleRunner

        count = partial(server.metrics.count, DUE_TIMES)
        send = partial(server.chat.accept, limited=False)
        runner = partial(ScheduleRunner, server.store, server.agents, send, count)
        return [ChildSpec("runner", runner)]

    def metrics(self) -> "Sequence[CountedBy]":
        """Return the counter of due times."""
        from understudy.extensions.schedules.firing import DUE_TIMES

        return [DUE_TIMES]

    def terminal(self) -> TerminalCommands:
        """Return the commands `understudy admin schedules`, and `/schedules` in a chat."""
        from understudy.extensions.schedules.terminal import CHAT, schedules

        return TerminalCommands(admin=[schedules], chat=[CHAT])


EXTENSION: Final = Schedules()
