"""Answers from any server that speaks the chat completions API, such as vLLM, Ollama and llama.cpp.

1. Every wait has a deadline: the answer must begin within `first_token_s`, as a server may load its model before, and
   each further chunk must arrive within `idle_s`.
2. The stream is closed however a turn ends; cancelling a turn closes its connection.
3. Errors raised here contain neither the key, nor the address, nor the provider's own text.
4. A stream that ends without a `finish_reason` is a failure, not a short answer.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from attrs import define, evolve, field
from msgspec import UNSET

from transport.wire.events import Usage
from understudy.models.answer import (
    CUT,
    FILTERED,
    MAX_ARGUMENTS,
    MAX_CALLS,
    MAX_REASONING,
    MAX_STATE,
    MAX_TEXT,
    REFUSED,
    cut_reply,
    oversized,
    read_call,
    whole_reply,
)
from understudy.models.model import (
    Emit,
    ModelLimits,
    ModelUnavailable,
    ProviderState,
    ReasoningDelta,
    Reply,
    TextDelta,
    Turn,
    UsageSoFar,
)
from understudy.models.openai_chat_request import STATE, build_request
from understudy.models.openai_client import OpenAIClient
from understudy.models.timeouts import IDLE_S

_OPTIONAL = ("reasoning_effort", "temperature", "parallel_tool_calls")
"""Fields of the agent's settings, which some models refuse."""


@define
class _Call:
    """A tool call as it arrives, in pieces. `kept` is the provider's own, to be given back with the call."""

    id: str = ""
    name: str = ""
    arguments: str = ""
    kept: dict[str, Any] = field(factory=dict)


@define
class _Answer:
    """The part of an answer that has arrived. `ended` is the provider's reason for its end, None before that.

    `reasoning` is the model's, `kept` the provider's own, to be given back with the reply.
    """

    text: list[str] = field(factory=list)
    length: int = 0
    calls: dict[int, _Call] = field(factory=dict)
    usage: Usage = field(factory=lambda: Usage(turns=1))
    ended: str | None = None
    refused: bool = False
    reasoning: list[str] = field(factory=list)
    kept: dict[str, Any] = field(factory=dict)
    kept_bytes: int = 0

    def add(self, chunk: Any) -> tuple[str, str]:
        """Add one chunk of the stream. Return its text and its reasoning. Raises `ModelUnavailable`."""
        try:
            return self._add(chunk)
        except (AttributeError, TypeError, LookupError):  # the SDK does not check what it reads
            failure = ModelUnavailable("The language model sent something unreadable.", True, "no chunk")
        raise failure

    def _add(self, chunk: Any) -> tuple[str, str]:
        if chunk.usage is not None:
            self.usage = _usage(chunk.usage)
        if not chunk.choices:
            return "", ""
        choice = chunk.choices[0]
        self.ended = choice.finish_reason or self.ended
        if (delta := choice.delta) is None:
            return "", ""
        for piece in delta.tool_calls or ():
            call = self.calls.setdefault(piece.index, _Call())
            call.id = call.id or piece.id or f"call-{piece.index}"
            if piece.function is not None:
                call.name += piece.function.name or ""
                call.arguments += piece.function.arguments or ""
            self._keep(call.kept, piece, ("extra_content",))
            if len(self.calls) > MAX_CALLS or len(call.arguments) > MAX_ARGUMENTS:
                raise oversized()
        if delta.refusal:
            self.refused = True
        text: str = delta.content or delta.refusal or ""
        self.text.append(text)
        more = delta.model_extra or {}
        reasoning = more.get("reasoning_content") or more.get("reasoning") or ""
        reasoning = reasoning if isinstance(reasoning, str) else ""
        self.reasoning.append(reasoning)
        self._keep(self.kept, delta, ("reasoning_details",))
        self.length += len(text) + len(reasoning)
        return text, reasoning

    def _keep(self, kept: dict[str, Any], piece: Any, names: Sequence[str]) -> None:
        """Keep fields of a piece that the provider wants back, up to `MAX_STATE` bytes in all."""
        for name in names:
            if (value := (piece.model_extra or {}).get(name)) is not None:
                self.kept_bytes += len(msgspec.json.encode(value))
                if isinstance(value, list):
                    kept.setdefault(name, []).extend(value)
                else:
                    kept[name] = value

    def state(self, model: str) -> ProviderState | None:
        """Return what is to be given back with the reply, None if that is nothing or too much."""
        calls = {str(n): call.kept for n, (_, call) in enumerate(sorted(self.calls.items())) if call.kept}
        if not (self.kept or calls) or self.kept_bytes > MAX_STATE:
            return None
        return ProviderState(STATE, model, {"message": self.kept, "calls": calls})


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
        answer, client = _Answer(), self._client
        create = client.sdk.chat.completions.create
        async with await client.begin(create, build_request(turn, self.model), _OPTIONAL) as chunks:
            while answer.length <= MAX_TEXT:
                try:
                    begun = answer.length or answer.calls
                    chunk = await client.next(chunks, client.idle_s if begun else client.begin_s)
                except ModelUnavailable:
                    if answer.ended is None:
                        raise
                    break  # the answer is complete; only the end marker is missing
                if chunk is None:
                    break
                text, reasoning = answer.add(chunk)
                if reasoning:
                    await emit(ReasoningDelta(reasoning))
                if text:
                    await emit(TextDelta(text))
                if chunk.usage is not None and answer.ended is None:
                    await emit(UsageSoFar(answer.usage))
            else:
                answer.ended = "length"
        if answer.ended is None:
            if answer.length or answer.calls:
                raise ModelUnavailable("The language model stopped in the middle of its answer.", True, "cut short")
            raise ModelUnavailable("The language model sent no answer; try again in a moment.", True, "no answer")
        reply = await _reply(turn, answer, emit)
        reasoning = "".join(answer.reasoning)[:MAX_REASONING]
        return evolve(reply, reasoning=reasoning, state=answer.state(self.model))


async def _reply(turn: Turn, answer: _Answer, emit: Emit) -> Reply:
    """Return the reply of a complete answer."""
    text = "".join(answer.text)
    if answer.ended in ("length", "content_filter"):
        return await cut_reply(text, CUT if answer.ended == "length" else FILTERED, answer.usage, emit)
    if answer.refused:
        return await cut_reply(text, REFUSED, answer.usage, emit)
    calls = [read_call(each.id, each.name, each.arguments) for _, each in sorted(answer.calls.items())]
    return await whole_reply(turn, text, calls, answer.usage, emit)


def _usage(counted: Any) -> Usage:
    """Return the usage of a turn as the provider counted it."""
    read, written = counted.prompt_tokens_details, counted.completion_tokens_details
    cached, reasoning = getattr(read, "cached_tokens", None), getattr(written, "reasoning_tokens", None)
    return Usage(
        counted.prompt_tokens or 0,
        counted.completion_tokens or 0,
        1,
        cached=UNSET if cached is None else cached,
        reasoning=UNSET if reasoning is None else reasoning,
    )
