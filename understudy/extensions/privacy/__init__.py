"""Privacy: what happens to a user's data over time. Users export and erase it; what is old expires.

The kernel deletes threads, and says by `user_data` of extensions what there is to export and to erase.
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
        """For how long."""
        from understudy.extensions.privacy.settings import KeepSettings

        return KeepSettings

    async def open(self, server: "WebContext") -> None:
        """Let others export and erase users."""
        from understudy.extensions.privacy.erasure import Eraser
        from understudy.extensions.privacy.export import Exporter

        store, sessions, delete_thread = server.store, server.sessions, server.chat.commands.delete_thread
        server.parts.add(Eraser(store, server.settings, delete_thread, sessions.end_for_erasure))
        server.parts.add(Exporter(store.archive, server.content_filter.vault, server.services.clock))

    def routes(self) -> "Sequence[Blueprint]":
        """Exports, and the erasure of users."""
        from understudy.extensions.privacy import routes

        return [routes.blueprint]

    def children(self, server: "WebContext") -> "Sequence[ChildSpec]":
        """The actor that deletes what is old."""
        from actors import ChildSpec
        from understudy.chat.placement import is_in_charge
        from understudy.extensions.privacy.erasure import Eraser
        from understudy.extensions.privacy.retention import Retention
        from understudy.extensions.privacy.settings import KeepSettings

        in_charge, kept = partial(is_in_charge, server.node), server.settings.of(KeepSettings)
        eraser = server.parts[Eraser]
        return [ChildSpec("retention", partial(Retention, kept, server.store, eraser, in_charge, server.metrics))]

    def terminal(self) -> TerminalCommands:
        """`understudy users` and `understudy threads`."""
        from understudy.extensions.privacy.terminal import threads, users

        return TerminalCommands([users, threads])


EXTENSION: Final = Privacy()
