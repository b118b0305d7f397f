"""Nodes: several servers work as one over one PostgreSQL, which carries all that they share."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from understudy.extension import Extension

if TYPE_CHECKING:
    from sqlalchemy import Table

    from actors import ChildSpec
    from understudy.observe.collectors import CountedBy
    from understudy.web.context import WebContext


class Nodes(Extension):
    """See the module."""

    name = "nodes"
    about = "have several servers work as one"

    def settings(self) -> type:
        """How servers over one database reach each other, and what they keep beside it."""
        from understudy.extensions.nodes.settings import NodeSettings

        return NodeSettings

    def tables(self) -> "Sequence[Table]":
        """A row a living server, what they count together, and what they ask of each other."""
        from understudy.extensions.nodes.tables import inbox, nodes, shared_counts

        return [nodes, shared_counts, inbox]

    async def open(self, server: "WebContext") -> None:
        """Join the others that use the database, if there can be any. Their messages are answered from then on."""
        if server.settings.on_postgresql:
            from understudy.extensions.nodes.joining import join_others

            await join_others(server)
        else:
            from understudy.extensions.nodes.metrics import register_lapses

            register_lapses(server.metrics, lambda: 0)  # dashboards ask for what a single node has too

    def children(self, server: "WebContext") -> "Sequence[ChildSpec]":
        """What keeps the limits of users and the cache the same on all nodes."""
        if not server.settings.on_postgresql:
            return []
        from understudy.extensions.nodes.joining import NodeActors

        return server.parts[NodeActors].children

    def metrics(self) -> "Sequence[CountedBy]":
        """Calls of Redis, and messages of other nodes that were dropped."""
        from understudy.extensions.nodes.metrics import DROPPED, REDIS_CALLS

        return [REDIS_CALLS, DROPPED]


EXTENSION: Final = Nodes()
