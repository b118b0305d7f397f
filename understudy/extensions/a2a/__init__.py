"""A2A: a server for the agent-to-agent protocol, with a card and an address per agent, tasks and push notifications.

A task is a run, and `tasks` translates its events. Asking agents of other servers is the extension `remote`.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from understudy.extension import Extension, UserData

if TYPE_CHECKING:
    from quart import Blueprint
    from sqlalchemy import Table

    from actors import ChildSpec
    from understudy.observe.collectors import CountedBy
    from understudy.web.context import WebContext


class A2a(Extension):
    """See the module."""

    name = "a2a"
    about = "have agents of others ask agents, by A2A"
    requires = ("doors", "notices")

    def tables(self) -> "Sequence[Table]":
        """Return the table of the receivers of push notifications."""
        from understudy.extensions.a2a.tables import pushes

        return [pushes]

    def user_data(self) -> Sequence[UserData]:
        """Return the receivers of push notifications of a user's clients."""
        from understudy.extensions.a2a.storage import record_of
        from understudy.extensions.a2a.tables import pushes

        return [UserData("pushes", pushes, record_of)]

    def routes(self) -> "Sequence[Blueprint]":
        """`/a2a/{agent}`, and the cards."""
        from understudy.extensions.a2a import routes

        return [routes.blueprint]

    def children(self, server: "WebContext") -> "Sequence[ChildSpec]":
        """Return the actor that sends push notifications."""
        from actors import ChildSpec
        from understudy.extensions.a2a.pushes import PUSHES, PushReceivers, PushSender

        count = partial(server.metrics.count, PUSHES)
        return [ChildSpec("pushes", partial(PushSender, PushReceivers.of(server), count))]

    def metrics(self) -> "Sequence[CountedBy]":
        """Return the count of attempts to send push notifications."""
        from understudy.extensions.a2a.pushes import PUSHES

        return [PUSHES]


EXTENSION: Final = A2a()
