"""AG-UI: `/api/agui`, an endpoint for AG-UI clients such as CopilotKit, and the capabilities of agents.

`routes` decides whether a request starts or joins a run; `join` sends the conversation so far; `events` translates.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from understudy.extension import Extension

if TYPE_CHECKING:
    from quart import Blueprint


class AgUi(Extension):
    """See the module."""

    name = "agui"
    about = "chat by clients of AG-UI"
    requires = ("doors",)
    packages: ClassVar[Mapping[str, str]] = {"ag_ui": "agui", "pydantic": "agui"}

    def routes(self) -> "Sequence[Blueprint]":
        """`/api/agui`."""
        from understudy.extensions.agui import routes

        return [routes.blueprint]


EXTENSION: Final = AgUi()
