"""The UI message stream of the Vercel AI SDK: `/api/ui`, for React pages that use `useChat`.

`routes` turns requests into commands and finds the run of the answer; `chunks` translates the events of a run.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from understudy.extension import Extension

if TYPE_CHECKING:
    from quart import Blueprint


class Ui(Extension):
    """See the module."""

    name = "ui"
    about = "chat from React pages, by the Vercel AI SDK"
    requires = ("doors",)

    def routes(self) -> "Sequence[Blueprint]":
        """Return the routes of `/api/ui`."""
        from understudy.extensions.ui import routes

        return [routes.blueprint]


EXTENSION: Final = Ui()
