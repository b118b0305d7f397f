"""A2A: each agent has a card and an address for agents of others, and clients are told of their tasks.

A task is a run, and `tasks` translates its events. Agents of other servers that agents here ask are no matter of
this folder.
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
        """A row a receiver of push notifications."""
        from understudy.extensions.a2a.tables import pushes

        return [pushes]

    def user_data(self) -> Sequence[UserData]:
        """Where a user's clients are told of tasks."""
        from understudy.extensions.a2a.storage import record_of
        from understudy.extensions.a2a.tables import pushes

        return [UserData("pushes", pushes, record_of)]

    def routes(self) -> "Sequence[Blueprint]":
        """`/a2a/{agent}`, and the cards."""
        from understudy.extensions.a2a import routes

        return [routes.blueprint]

    def children(self, server: "WebContext") -> "Sequence[ChildSpec]":
        """The actor that sends push notifications."""
        from actors import ChildSpec
        from understudy.extensions.a2a.pushes import PUSHES, PushReceivers, PushSender

        count = partial(server.metrics.count, PUSHES)
        return [ChildSpec("pushes", partial(PushSender, PushReceivers.of(server), count))]

    def metrics(self) -> "Sequence[CountedBy]":
        """The attempts to send them."""
        from understudy.extensions.a2a.pushes import PUSHES

        return [PUSHES]


EXTENSION: Final = A2a()
