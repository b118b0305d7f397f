"""The provider for OpenAI's Responses API.

OpenAI stores nothing. Its encrypted reasoning is stored with the reply, and sent back to the same model.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from attrs import evolve

from understudy.extensions.openai.events import ResponseReader
from understudy.extensions.openai.request import build_request
from understudy.extensions.providers.client import SdkModel
from understudy.models.model import Emit, Reply, Turn


class OpenAI(SdkModel):
    """The provider of the Responses API."""

    name = "openai"
    package, kind = "openai", "AsyncOpenAI"
    first_token_s = 300.0

    def __init__(self, model: str, **options: Any) -> None:
        super().__init__(model, **options)
        if not f".{self.sdk.base_url.host}".endswith(".openai.com"):
            self.not_found = (
                f"The provider does not know the language model {model}, or not the Responses API: if it speaks chat "
                f"completions, name the model openai-chat:{model}."
            )

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Answer one turn, streaming its text and its reasoning. Raises `ModelUnavailable`."""
        return await self.ask(
            turn, emit, lambda adapted, _: build_request(adapted, self.model), partial(self._answer, turn)
        )

    async def _answer(self, turn: Turn, body: Mapping[str, Any], emit: Emit) -> Reply:
        answer = ResponseReader()
        stream = await self.within(self.first_token_s, partial(self.sdk.responses.create, **body))
        await answer.hear(stream, self.next, self.first_token_s, self.idle_s, emit)
        reply, calls = await answer.reply(turn, emit)
        return evolve(reply, state=None if answer.note else answer.state(self.model, calls))
