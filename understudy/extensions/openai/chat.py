"""The provider for servers of the chat completions API, such as vLLM, Ollama and llama.cpp."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import trio
from attrs import evolve

from understudy.extensions.openai.chat_calls import Calls
from understudy.extensions.openai.chat_request import build_request
from understudy.extensions.openai.chat_stream import ChatStream
from understudy.extensions.providers.accepted import Adaptation
from understudy.extensions.providers.client import SdkModel
from understudy.models.model import LOADS, Emit, ModelUnavailable, Reply, Thought, Turn
from understudy.models.prompt import offered_tools
from understudy.models.think_tags import ThinkTags

AGAIN_S: Final = 1.0
"""Seconds between two requests to a server that is still loading its model."""


class OpenAIChat(SdkModel):
    """The provider of the chat completions API."""

    name = "openai-chat"
    package, kind = "openai", "AsyncOpenAI"
    _thinks_first = False  # the server's chat template opens the reasoning within the text

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Answer one turn, streaming its text. Raises `ModelUnavailable`."""

        def build(adapted: Turn, server: Adaptation) -> dict[str, Any]:
            return build_request(adapted, self.model, server.wants)

        return await self.ask(turn, emit, build, partial(self._answer, turn))

    async def _answer(self, turn: Turn, body: Mapping[str, Any], emit: Emit) -> Reply:
        tags = ThinkTags(self._thinks_first and not turn.partial_text)
        answer = ChatStream(tags, begun=Calls({tool.name for tool in offered_tools(turn)}))
        stream = await self._begin_once_loaded(body, emit)
        await answer.hear(stream, self.next, self.first_token_s, self.idle_s, emit)
        reply, calls = await answer.reply(turn, emit)
        if not turn.partial_text:
            self._thinks_first = tags.opened
        return evolve(reply, state=answer.state(self.model, calls, worked=turn.rounds > 0))

    async def _begin_once_loaded(self, body: Mapping[str, Any], emit: Emit) -> Any:
        """Send the request, again while the server loads its model, for at most `first_token_s`. Return the stream."""
        until, announced = trio.current_time() + self.first_token_s, False
        while True:
            try:
                return await self.within(self.first_token_s, partial(self.sdk.chat.completions.create, **body))
            except ModelUnavailable as error:
                if not error.detail.endswith(LOADS) or trio.current_time() >= until:
                    raise
            if not announced:
                announced = True
                await emit(Thought("The language model is starting"))
            await trio.sleep(AGAIN_S)
