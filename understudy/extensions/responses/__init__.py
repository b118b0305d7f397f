"""OpenAI's APIs, for which an agent is a model: `/v1/responses`, `/v1/chat/completions` and `/v1/models`.

What their requests stand for is decided here; `events` and `chat` translate the events of a run. Models of
OpenAI that agents ask are no matter of this folder.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from understudy.extension import Extension

if TYPE_CHECKING:
    from quart import Blueprint


class Responses(Extension):
    """See the module."""

    name = "responses"
    about = "chat by clients of OpenAI's APIs"
    requires = ("doors",)

    def routes(self) -> "Sequence[Blueprint]":
        """Paths below `/v1/`."""
        from understudy.extensions.responses import completions, models, routes

        return [routes.blueprint, completions.blueprint, models.blueprint]


EXTENSION: Final = Responses()
