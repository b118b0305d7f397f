"""Answers from any server that speaks the chat completions API, such as vLLM, Ollama and llama.cpp.

1. Every wait has a deadline: the answer must begin within `first_token_s`, as a server may load its model before, and
   each further chunk must arrive within `idle_s`.
2. The stream is closed however a turn ends; cancelling a turn closes its connection.
3. Errors raised here contain neither the key, nor the address, nor the provider's own text.
4. A stream that ends without a `finish_reason` is a failure, not a short answer.
"""

from attrs import evolve

from understudy.models.answer import CUT, FILTERED, MAX_REASONING, MAX_TEXT, REFUSED, cut_reply, whole_reply
from understudy.models.model import Emit, ModelLimits, ModelUnavailable, Reply, TextDropped, Turn
from understudy.models.openai_chat_request import build_request
from understudy.models.openai_chat_stream import ChatStream
from understudy.models.openai_client import OpenAIClient
from understudy.models.think_tags import ThinkTags
from understudy.models.timeouts import IDLE_S

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
        answer, client = ChatStream(ThinkTags(self._thinks_first and not turn.partial_text)), self._client
        create = client.sdk.chat.completions.create
        async with await client.begin(create, build_request(turn, self.model), _OPTIONAL) as chunks:
            is_whole = chunks.response.headers.get("content-type", "").startswith("application/json")
            while answer.length <= MAX_TEXT:
                try:
                    begun = answer.length or answer.calls
                    wait_s = client.idle_s if begun else client.begin_s
                    chunk = await (client.whole(chunks, wait_s) if is_whole else client.next(chunks, wait_s))
                except ModelUnavailable:
                    if answer.ended is None:
                        raise
                    break  # the answer is complete; only the end marker is missing
                if chunk is None:
                    break
                for event in answer.add(chunk):
                    self._thinks_first = self._thinks_first or isinstance(event, TextDropped)
                    await emit(event)
                if is_whole:
                    answer.ended = answer.ended or ("stop" if answer.length or answer.calls else None)
                    break
            else:
                answer.ended = "length"
        if answer.ended is None:
            if answer.length or answer.calls:
                raise ModelUnavailable("The language model stopped in the middle of its answer.", True, "cut short")
            raise ModelUnavailable("The language model sent no answer; try again in a moment.", True, "no answer")
        for event in answer.finish():
            await emit(event)
        reply = await _reply(turn, answer, emit)
        reasoning = "".join(answer.reasoning)[:MAX_REASONING]
        return evolve(reply, reasoning=reasoning, state=answer.state(self.model))


async def _reply(turn: Turn, answer: ChatStream, emit: Emit) -> Reply:
    """Return the reply of a complete answer."""
    text = "".join(answer.text)
    if answer.ended in ("length", "content_filter"):
        return await cut_reply(text, CUT if answer.ended == "length" else FILTERED, answer.usage, emit)
    if answer.refused:
        return await cut_reply(text, REFUSED, answer.usage, emit)
    return await whole_reply(turn, text, answer.requests(), answer.usage, emit)
