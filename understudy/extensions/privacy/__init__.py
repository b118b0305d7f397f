"""Privacy: export, erasure and expiry of users' data.

The kernel deletes threads; `user_data` of each extension says which other rows there are to export and to erase.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from understudy.extension import Extension, TerminalCommands

if TYPE_CHECKING:
    from quart import Blueprint

    from actors import ChildSpec
    from understudy.web.context import WebContext


class Privacy(Extension):
    """See the module."""

    name = "privacy"
    about = "export, erase and expire users' data"
    table = "keep"

    def settings(self) -> type:
        """Return the settings of retention."""
        from understudy.extensions.privacy.settings import KeepSettings

        return KeepSettings

    async def open(self, server: "WebContext") -> None:
        """Add the parts that export and erase users."""
        from understudy.extensions.privacy.erasure import Eraser
        from understudy.extensions.privacy.export import Exporter

        store, sessions, delete_thread = server.store, server.sessions, server.chat.commands.delete_thread
        server.parts.add(Eraser(store, server.settings, delete_thread, sessions.end_for_erasure))
        server.parts.add(Exporter(store.archive, server.content_filter.vault, server.services.clock))

    def routes(self) -> "Sequence[Blueprint]":
        """Return the routes of exports and of the erasure of users."""
        from understudy.extensions.privacy import routes

        return [routes.blueprint]

    def children(self, server: "WebContext") -> "Sequence[ChildSpec]":
        """Return the actor that deletes expired data."""
        from actors import ChildSpec
        from understudy.chat.placement import is_in_charge
        from understudy.extensions.privacy.erasure import Eraser
        from understudy.extensions.privacy.retention import Retention
        from understudy.extensions.privacy.settings import KeepSettings

        in_charge, kept = partial(is_in_charge, server.node), server.settings.of(KeepSettings)
        eraser = server.parts[Eraser]
        return [ChildSpec("retention", partial(Retention, kept, server.store, eraser, in_charge, server.metrics))]

    def terminal(self) -> TerminalCommands:
        """Return the commands `understudy users` and `understudy threads`."""
        from understudy.extensions.privacy.terminal import threads, users

        return TerminalCommands([users, threads])


EXTENSION: Final = Privacy()
