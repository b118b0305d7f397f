"""Answers from OpenAI by its Responses API.

1. Every wait has a deadline: the answer must begin, and each further piece must arrive, within `idle_s`; while
   the model thinks, within `first_token_s`.
2. The stream is closed however a turn ends; cancelling a turn closes its connection.
3. Errors raised here contain neither the key, nor the address, nor the provider's own text.
4. A stream that ends without `response.completed` or `response.incomplete` is a failure, not a short answer.
5. The provider stores nothing. Its encrypted reasoning is kept with the reply, and given back to the same model.
"""

import math
from contextlib import suppress
from typing import Any, Final

import trio
from attrs import evolve

from understudy.models.answer import CUT, MAX_REASONING, MAX_TEXT, cut_reply, whole_reply
from understudy.models.model import Emit, ModelLimits, ModelUnavailable, ReasoningDelta, Reply, TextDelta, Turn
from understudy.models.openai_client import OpenAIClient
from understudy.models.openai_events import PROGRESS, WRITING, ResponseReader
from understudy.models.openai_request import build_request
from understudy.models.timeouts import IDLE_S

_OPTIONAL: Final = ("include", "reasoning.summary", "reasoning.effort", "temperature", "parallel_tool_calls")
"""Fields that some models refuse: those that do not reason, those that do, and those that need a verified account."""
GOODBYE_S: Final = 1.0
"""Seconds for the end of a stream after its answer; then its connection is closed, and the next turn opens another."""


class OpenAI:
    """The provider. Raises `OpenAINotInstalled` if the extra `openai` is missing.

    `api_key` and `base_url` default to the variables OPENAI_API_KEY and OPENAI_BASE_URL. A request is retried `retries`
    times, and only before its answer begins. `limits` are the model's. The client holds connections:
    close it with `aclose`.
    """

    name = "openai"
    titles = True

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        idle_s: float = IDLE_S,
        first_token_s: float = 300.0,
        retries: int = 2,
        limits: ModelLimits | None = None,
    ) -> None:
        if not (first_token_s > 0 and math.isfinite(first_token_s)):
            raise ValueError(f"first_token_s must be a number of seconds above 0, not {first_token_s!r}")
        self._client = OpenAIClient(
            model,
            api_key=api_key,
            base_url=base_url,
            idle_s=idle_s,
            retries=retries,
            longest_s=first_token_s,
        )
        if not self._client.is_openai:
            self._client.not_found = (
                f"The provider does not know the language model {model}, or not the Responses API: if it speaks chat "
                f"completions, name the model openai-chat:{model}."
            )
        self._first_token_s = first_token_s
        self.model = model
        self.limits = limits or ModelLimits()
        self.notice = f"Answers come from the language model {model}; check what matters."

    def __repr__(self) -> str:
        return f"OpenAI(model={self.model!r})"

    async def aclose(self) -> None:
        """Close the client's idle connections. The provider cannot be used afterwards."""
        await self._client.aclose()

    async def known_models(self) -> list[str]:
        """Return the names of the models that the provider has. Raises `ModelUnavailable`."""
        return await self._client.known_models()

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Answer one turn, streaming its text and its reasoning. Raises `ModelUnavailable`."""
        answer, client, body = ResponseReader(), self._client, build_request(turn, self.model)
        async with await client.begin(client.sdk.responses.create, body, _OPTIONAL) as events:
            await self._read(events, answer, emit)
        if not answer.ended:
            if answer.text or answer.reasoning or answer.items:
                raise ModelUnavailable("The language model stopped in the middle of its answer.", True, "cut short")
            raise ModelUnavailable("The language model sent no answer; try again in a moment.", True, "no answer")
        if rest := answer.rest():
            await emit(TextDelta(rest))
        text, reasoning = "".join(answer.text), "".join(answer.reasoning)[:MAX_REASONING]
        if answer.note:
            return evolve(await cut_reply(text, answer.note, answer.usage, emit), reasoning=reasoning)
        reply = await whole_reply(turn, text, answer.calls(), answer.usage, emit)
        return evolve(reply, reasoning=reasoning, state=answer.state(self.model))

    async def _read(self, events: Any, answer: ResponseReader, emit: Emit) -> None:
        """Read the stream to its end, or as far as an answer may be long."""
        client, thinking_s = self._client, max(self._first_token_s, self._client.idle_s)
        deadline = trio.current_time() + thinking_s
        while not answer.ended:
            event = await client.next(events, max(0.0, deadline - trio.current_time()))
            if event is None:
                return
            plain = event.to_dict(warnings=False) if hasattr(event, "to_dict") else event
            if not isinstance(plain, dict):
                raise ModelUnavailable("The language model sent something unreadable.", True, "no event")
            text, reasoning = answer.add(plain)
            if reasoning:
                await emit(ReasoningDelta(reasoning))
            if text:
                await emit(TextDelta(text))
            if answer.length > MAX_TEXT:
                answer.ended, answer.note = True, CUT
                return
            if (kind := plain.get("type")) in PROGRESS:
                deadline = trio.current_time() + (client.idle_s if kind in WRITING else thinking_s)
        with suppress(ModelUnavailable):  # the answer is complete; read to the end, its connection can be used again
            await client.next(events, min(GOODBYE_S, client.idle_s))
