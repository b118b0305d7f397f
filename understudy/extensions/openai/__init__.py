"""OpenAI: models behind its two APIs, at OpenAI itself or at one of the many servers that speak them.

Such a server may run on this machine: while understudy has no model, it offers the operator the models of that server.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from understudy.extension import Extension

if TYPE_CHECKING:
    from quart import Blueprint

    from actors import ChildSpec
    from understudy.models.model import Model
    from understudy.web.context import WebContext


class OpenAIModels(Extension):
    """See the module."""

    name = "openai"
    about = "ask models of OpenAI, and servers like it"
    requires = ("providers",)

    def models(self) -> "Mapping[str, Callable[..., Model]]":
        """Return the clients of chat completions and of the Responses API."""
        from understudy.extensions.openai.chat import OpenAIChat
        from understudy.extensions.openai.responses import OpenAI

        return {"chat": OpenAIChat, "responses": OpenAI}

    async def open(self, server: "WebContext") -> None:
        """Use the model of this machine that was chosen before, if the server has no other and no secret."""
        import trio

        from understudy.extensions.openai.local import LocalModels, how_to_connect
        from understudy.models.providers import OFFLINE

        server.models.hint = how_to_connect
        if server.settings.anonymous and server.models.default == OFFLINE:
            local = LocalModels(server.models, server.settings.data_dir)
            await trio.to_thread.run_sync(local.restore)
            server.parts.add(local)

    def routes(self) -> "Sequence[Blueprint]":
        """`/api/admin/models`."""
        from understudy.extensions.openai.routes import blueprint

        return [blueprint]

    def children(self, server: "WebContext") -> "Sequence[ChildSpec]":
        """Return the actor that logs the models of this machine once."""
        from actors.behaviours.job import job
        from understudy.extensions.openai.local import LocalModels

        local = server.parts.find(LocalModels)
        return [] if local is None else [job("announce", local.announce, keep_s=0.0)]


EXTENSION: Final = OpenAIModels()
