"""Operations: views and actions for operators of a running server: users, runs, the actor tree, the stop switch.

The routes for orchestrators, `/healthz`, `/readyz` and `/metrics`, belong to the kernel.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from understudy.extension import Extension, TerminalCommands

if TYPE_CHECKING:
    from quart import Blueprint
    from sqlalchemy import Table

    from actors import ChildSpec
    from understudy.web.context import WebContext


class Operations(Extension):
    """See the module."""

    name = "operations"
    about = "observe a server, administer it, stop agents and tools"
    table = "observer"

    def settings(self) -> type:
        """Return the settings of the observer."""
        from understudy.extensions.operations.settings import ObserverSettings

        return ObserverSettings

    def tables(self) -> "Sequence[Table]":
        """Return the table of stops."""
        from understudy.extensions.operations.tables import stops

        return [stops]

    async def open(self, server: "WebContext") -> None:
        """Apply the stored stops before any run starts, and add the view of the actor tree."""
        from understudy.extensions.operations.settings import ObserverSettings
        from understudy.extensions.operations.stops import StopSwitch
        from understudy.extensions.operations.tree_api import TreeApi

        switch, status, readers = StopSwitch(server.services.stops, server.store), server.status, server.store.readers
        await switch.poll()
        server.parts.add(switch)

        def counts() -> dict[str, int]:
            reads = {"readers_at_work": readers.at_work, "reads_waiting": readers.waiting}
            return {**status.counts(lambda _: True), **reads}

        may_kill = server.settings.of(ObserverSettings).kill
        server.parts.add(TreeApi(status.system, server.recorder, counts, may_kill))

    def routes(self) -> "Sequence[Blueprint]":
        """`/api/observer`, `/api/admin` and `/api/stops`."""
        from understudy.extensions.operations import activity_routes, admin_routes, observer_routes, stop_routes

        return [module.blueprint for module in (activity_routes, admin_routes, observer_routes, stop_routes)]

    def children(self, server: "WebContext") -> "Sequence[ChildSpec]":
        """Return the actor that polls for stops by other nodes."""
        from actors import ChildSpec
        from understudy.extensions.operations.stops import ALONE_S, POLL_S, StopsPoller, StopSwitch

        every_s = POLL_S if server.settings.on_postgresql else ALONE_S
        return [ChildSpec("stops", partial(StopsPoller, server.parts[StopSwitch], every_s))]

    def terminal(self) -> TerminalCommands:
        """Return the commands of `understudy admin` about users, runs, stops, settings and queues."""
        from understudy.extensions.operations.terminal import ADMIN

        return TerminalCommands(admin=ADMIN)


EXTENSION: Final = Operations()
