"""Answers from any server that speaks the chat completions API, such as vLLM, Ollama and llama.cpp.

1. Every wait has a deadline: the answer must begin within `first_token_s`, as a server may load its model before, and
   each further chunk must arrive within `idle_s`.
2. The stream is closed however a turn ends; cancelling a turn closes its connection.
3. Errors raised here contain neither the key, nor the address, nor the provider's own text.
4. A stream that ends without a `finish_reason` is a failure, not a short answer.
"""

from typing import Any, Final

import trio
from attrs import evolve

from understudy.models.answer import CUT, FILTERED, MAX_REASONING, MAX_TEXT, REFUSED, cut_reply, whole_reply
from understudy.models.model import (
    LOADS,
    Emit,
    ModelLimits,
    ModelUnavailable,
    Reply,
    RequestRefused,
    TextDelta,
    TextDropped,
    Thought,
    Turn,
)
from understudy.models.openai_chat_calls import Calls
from understudy.models.openai_chat_request import build_request
from understudy.models.openai_chat_stream import ChatStream
from understudy.models.openai_client import OpenAIClient, Overheard
from understudy.models.prompt import offered_tools
from understudy.models.think_tags import ThinkTags
from understudy.models.timeouts import IDLE_S

AGAIN_S: Final = 1.0
"""Seconds between two requests to a server that loads its model."""
_OPTIONAL = ("reasoning_effort", "temperature", "parallel_tool_calls")
"""Fields of the agent's settings, which some models refuse."""


class OpenAIChat:
    """The provider of the chat completions API. Raises `OpenAINotInstalled` if the extra `openai` is missing.

    `api_key` and `base_url` default to the variables OPENAI_API_KEY and OPENAI_BASE_URL. A request is retried `retries`
    times, and only before its answer begins. `limits` are the model's. The client holds connections:
    close it with `aclose`.
    """

    name = "openai-chat"
    titles = True

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        first_token_s: float = 120.0,
        idle_s: float = IDLE_S,
        retries: int = 2,
        limits: ModelLimits | None = None,
    ) -> None:
        self._client = OpenAIClient(
            model,
            api_key=api_key,
            base_url=base_url,
            idle_s=idle_s,
            retries=retries,
            begin_s=first_token_s,
            provider=self.name,
        )
        self.model = model
        self.limits = limits or ModelLimits()
        self._wants: frozenset[str] = frozenset()  # members that its server refuses replies without
        self._thinks_first = False  # its server's template opens the reasoning in the text
        self.notice = f"Answers come from the language model {model}; check what matters."

    def __repr__(self) -> str:
        return f"OpenAIChat(model={self.model!r})"

    async def aclose(self) -> None:
        """Close the client's idle connections. The provider cannot be used afterwards."""
        await self._client.aclose()

    async def known_models(self) -> list[str]:
        """Return the names of the models that the provider has. Raises `ModelUnavailable`."""
        return await self._client.known_models()

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Answer one turn, streaming its text. Raises `ModelUnavailable`."""
        client = self._client
        tags = ThinkTags(self._thinks_first and not turn.partial_text)
        answer = ChatStream(tags, calls=Calls({name for name, *_ in offered_tools(turn)}))
        async with await self._begin_once_loaded(turn, emit) as chunks, Overheard(chunks.response) as overheard:
            while answer.length <= MAX_TEXT:
                wait_s = client.idle_s if answer.has_begun else client.begin_s
                try:
                    chunk = await client.next(chunks, wait_s)
                except ModelUnavailable:
                    if answer.ended is None:
                        raise
                    break  # the answer is complete; only the end marker is missing
                if chunk is None:
                    break
                overheard.stop()
                for event in answer.add(chunk):
                    self._thinks_first = self._thinks_first or isinstance(event, TextDropped)
                    await emit(event)
            else:
                answer.ended = "length"
        for event in answer.add_whole(overheard.whole()):
            await emit(event)
        if answer.ended is None:
            if answer.has_begun:
                raise ModelUnavailable("The language model stopped in the middle of its answer.", True, "cut short")
            raise ModelUnavailable("The language model sent no answer; try again in a moment.", True, "no answer")
        for event in answer.finish():
            self._thinks_first = self._thinks_first and not isinstance(event, TextDelta)  # nothing has closed it
            await emit(event)
        reply = await _reply(turn, answer, emit)
        reasoning = "".join(answer.reasoning)[:MAX_REASONING]
        return evolve(reply, reasoning=reasoning, state=answer.state(self.model, worked=turn.rounds > 0))

    async def _begin_once_loaded(self, turn: Turn, emit: Emit) -> Any:
        """Send the request. A server that loads its model first is waited for as for the beginning of an answer."""
        until, told = trio.current_time() + self._client.begin_s, False
        while True:
            try:
                return await self._begin(turn)
            except ModelUnavailable as error:
                if not error.detail.endswith(LOADS) or trio.current_time() >= until:
                    raise
            if not told:
                told = True
                await emit(Thought("The language model is starting"))
            await trio.sleep(AGAIN_S)

    async def _begin(self, turn: Turn) -> Any:
        """Send the request. Return the stream of its answer.

        A server that misses reasoning is given some with every reply: those of another model, or from before their
        reasoning was kept, would end their thread.
        """
        create, wants = self._client.sdk.chat.completions.create, self._wants
        try:
            return await self._client.begin(create, build_request(turn, self.model, wants), _OPTIONAL)
        except RequestRefused as error:
            if not error.wants or error.wants in wants:
                raise
            wants = wants | {error.wants}
        stream = await self._client.begin(create, build_request(turn, self.model, wants), _OPTIONAL)
        self._wants = wants
        return stream


async def _reply(turn: Turn, answer: ChatStream, emit: Emit) -> Reply:
    """Return the reply of a complete answer."""
    text = "".join(answer.text)
    if answer.ended in ("length", "content_filter"):
        return await cut_reply(text, CUT if answer.ended == "length" else FILTERED, answer.usage, emit)
    if answer.refused:
        return await cut_reply(text, REFUSED, answer.usage, emit)
    return await whole_reply(turn, text, answer.calls.requests(), answer.usage, emit)
