"""Anthropic: a client of the Messages API for models at Anthropic or in a cloud."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from understudy.extension import Extension

if TYPE_CHECKING:
    from understudy.models.model import Model


class AnthropicModels(Extension):
    """See the module."""

    name = "anthropic"
    about = "ask models of Anthropic"
    requires = ("providers",)

    def models(self) -> "Mapping[str, Callable[..., Model]]":
        """Return the client of the Messages API."""
        from understudy.extensions.anthropic import messages

        return {"messages": messages.Anthropic}


EXTENSION: Final = AnthropicModels()
