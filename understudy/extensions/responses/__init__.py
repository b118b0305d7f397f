"""OpenAI's APIs as doors, in which agents appear as models: `/v1/responses`, `/v1/chat/completions` and `/v1/models`.

`door` turns their requests into messages; `events` and `chat` translate the events of a run. The extension `openai` is
for the models of OpenAI that agents use.
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
        """Return the routes below `/v1/`."""
        from understudy.extensions.responses import completions, models, routes

        return [routes.blueprint, completions.blueprint, models.blueprint]


EXTENSION: Final = Responses()
