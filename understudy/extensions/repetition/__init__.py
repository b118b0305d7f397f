"""Repetition: ends a run whose model makes the same call again and again, with the same result each time.

Without this extension such a run continues until its budget is spent.
"""

from typing import TYPE_CHECKING, Final

from understudy.extension import Extension

if TYPE_CHECKING:
    from understudy.web.context import WebContext


class RepetitionOfCalls(Extension):
    """See the module."""

    name = "repetition"
    about = "close runs whose models repeat themselves"

    async def open(self, server: "WebContext") -> None:
        """Add the part that counts the calls of a long run."""
        from understudy.extensions.repetition.repetition import repetition_of_run

        server.parts.of_long_runs.append(repetition_of_run)


EXTENSION: Final = RepetitionOfCalls()
