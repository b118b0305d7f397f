"""Spending: limits of the spending of users, tenants and groups on models in a day and a month, and reports of it.

The kernel stores the cost of each turn of a model, with the turn. Without this extension there are no limits.
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


class Spending(Extension):
    """See the module."""

    name = "spending"
    about = "bound what users spend on models in a day and a month"

    def settings(self) -> type:
        """Return the limits of users and tenants."""
        from understudy.extensions.spending.settings import SpendingSettings

        return SpendingSettings

    def tables(self) -> "Sequence[Table]":
        """Return the table of the groups and roles for which a user's spending counts."""
        from understudy.extensions.spending.tables import memberships

        return [memberships]

    async def open(self, server: "WebContext") -> None:
        """Limit the spending of runs if a limit is set. Raises ValueError if one is of cost and a price is missing."""
        from understudy.extensions.spending.settings import SpendingSettings
        from understudy.extensions.spending.spending_of_run import limit_spending

        limits = server.settings.of(SpendingSettings)
        if limits.bounded(tenants=server.sessions.tenants):
            limit_spending(server)
        limits.check_prices(server.agents.values(), server.services.models)

    def routes(self) -> "Sequence[Blueprint]":
        """Return the routes of `/api/admin/spending`."""
        from understudy.extensions.spending.routes import blueprint

        return [blueprint]

    def children(self, server: "WebContext") -> "Sequence[ChildSpec]":
        """Return the actor that deletes old memberships."""
        from actors import ChildSpec
        from understudy.extensions.spending.memberships import forget_memberships
        from understudy.storage.polling import Expiry
        from understudy.storage.spending import KEPT_DAYS, day_of
        from understudy.storage.write import Write

        clock = server.services.clock

        def forget_old() -> Write:
            return forget_memberships(day_of(clock()) - KEPT_DAYS)

        return [ChildSpec("expiry", partial(Expiry, server.store, forget_old))]

    def terminal(self) -> TerminalCommands:
        """Return the command `understudy admin spend`."""
        from understudy.extensions.spending.terminal import spend

        return TerminalCommands(admin=[spend])


EXTENSION: Final = Spending()
