"""The audit log: who did what to whom, and when. Other modules announce deeds before doing them; here they are stored.

While it is on, a deed whose entry cannot be stored is not done.
"""

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from understudy.extension import Extension, TerminalCommands

if TYPE_CHECKING:
    from quart import Blueprint
    from sqlalchemy import Table

    from actors import ChildSpec
    from understudy.storage.acts import Deed
    from understudy.storage.write import Write
    from understudy.web.context import WebContext


class Audit(Extension):
    """See the module."""

    name = "audit"
    about = "store who did what to whom, for auditors"

    def settings(self) -> type:
        """Return the settings of the log: its retention."""
        from understudy.extensions.audit.settings import AuditSettings

        return AuditSettings

    def tables(self) -> "Sequence[Table]":
        """Return the log, and the table by which its triggers allow expiry."""
        from understudy.extensions.audit.tables import audit, audit_retention

        return [audit, audit_retention]

    async def open(self, server: "WebContext") -> None:
        """Have the store write each deed to the log."""
        server.store.on_act = _entry_write

    def routes(self) -> "Sequence[Blueprint]":
        """`/api/audit`."""
        from understudy.extensions.audit import routes

        return [routes.blueprint]

    def children(self, server: "WebContext") -> "Sequence[ChildSpec]":
        """Return the actor that deletes expired entries; none if entries are kept for ever."""
        from actors import ChildSpec
        from understudy.extensions.audit.settings import AuditSettings
        from understudy.extensions.audit.storage import expire_audit
        from understudy.storage.polling import Expiry
        from understudy.storage.spending import DAY_S

        days, count = server.settings.of(AuditSettings).days, partial(server.metrics.removed, "audit_entries")
        if not days:
            return []
        expire = partial(Expiry, server.store, lambda: expire_audit(time.time() - days * DAY_S), count=count)
        return [ChildSpec("expiry", expire)]

    def terminal(self) -> TerminalCommands:
        """Return `understudy audit`, and the write that stores deeds of other commands."""
        from understudy.extensions.audit.terminal import audit

        return TerminalCommands([audit], acts=_entry_write)


def _entry_write(deed: "Deed") -> "Write":
    """Return the write that appends an entry about a deed to the log."""
    from understudy.extensions.audit.storage import append_entry

    return append_entry(deed)


EXTENSION: Final = Audit()
