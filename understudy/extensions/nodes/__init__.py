"""Nodes: several servers work as one over one PostgreSQL database, which holds all state that they share."""

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
        """Return the settings of wakeups between servers and of Redis."""
        from understudy.extensions.nodes.settings import NodeSettings

        return NodeSettings

    def tables(self) -> "Sequence[Table]":
        """Return the tables of living servers, of shared counts and of requests between servers."""
        from understudy.extensions.nodes.tables import inbox, nodes, shared_counts

        return [nodes, shared_counts, inbox]

    async def open(self, server: "WebContext") -> None:
        """Join the other servers of the database and answer their messages from then on; no effect on SQLite."""
        if server.settings.on_postgresql:
            from understudy.extensions.nodes.joining import join_others

            await join_others(server)
        else:
            from understudy.extensions.nodes.metrics import register_lapses

            register_lapses(server.metrics, lambda: 0)  # so dashboards find this metric on a single node too

    def children(self, server: "WebContext") -> "Sequence[ChildSpec]":
        """Return the actors that synchronise the limits of users and the cache between nodes."""
        if not server.settings.on_postgresql:
            return []
        from understudy.extensions.nodes.joining import NodeActors

        return server.parts[NodeActors].children

    def metrics(self) -> "Sequence[CountedBy]":
        """Return the counters of calls of Redis and of dropped messages of other nodes."""
        from understudy.extensions.nodes.metrics import DROPPED, REDIS_CALLS

        return [REDIS_CALLS, DROPPED]


EXTENSION: Final = Nodes()
