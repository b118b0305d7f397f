"""Answers from OpenAI, or from any server that speaks its chat completions API.

1. Every wait has a deadline: the answer must begin, and each further chunk must arrive, within `chunk_timeout_s`.
2. The stream is closed however a turn ends; cancelling a turn closes its connection.
3. Errors raised here contain neither the key, nor the address, nor the provider's own text.
4. A stream that ends without a `finish_reason` is a failure, not a short answer.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import trio
from attrs import define, evolve, field
from msgspec import UNSET

from transport.wire.events import Usage
from understudy.models.model import (
    Emit,
    Handoff,
    ModelError,
    ModelLimits,
    ModelUnavailable,
    ProviderState,
    ReasoningDelta,
    Reply,
    TextDelta,
    Thought,
    ToolRequest,
    Turn,
    UsageSoFar,
)
from understudy.models.openai_request import build_request, hand_over_name
from understudy.storage.errors import ExtraNotInstalled

MAX_TEXT: Final = 1_000_000
"""Characters of one answer, far more than models write; a longer one is cut off there."""
MAX_CALLS: Final = 64
MAX_ARGUMENTS: Final = 1_000_000
"""Calls of one turn, and characters of the arguments of one call; beyond them the turn fails."""

MAX_STATE: Final = 64 * 1024
"""Bytes of a provider's own state that are kept with a reply; more is dropped."""
MAX_REASONING: Final = 20_000
"""Characters of a model's reasoning that are kept with its reply."""

_CUT: Final = "\n\n*(The answer was cut here: it reached the model's length limit.)*"
_FILTERED: Final = "\n\n*(The answer was stopped here by the provider's content filter.)*"


class OpenAINotInstalled(ModelError, ExtraNotInstalled):
    """The `openai` package is missing; the message names the extra that installs it."""


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
    reasoning: list[str] = field(factory=list)
    kept: dict[str, Any] = field(factory=dict)
    kept_bytes: int = 0

    def add(self, chunk: Any) -> tuple[str, str]:
        """Add one chunk of the stream. Return its text and its reasoning."""
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
                raise ModelUnavailable(
                    "The language model asked for more than this server takes.", False, "oversized call"
                )
        text: str = delta.content or ""
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
        return ProviderState("openai", model, {"message": self.kept, "calls": calls})


class OpenAI:
    """The provider. Raises `OpenAINotInstalled` if the extra `openai` is missing.

    `api_key` and `base_url` default to the variables OPENAI_API_KEY and OPENAI_BASE_URL. A request is retried `retries`
    times, and only before its answer begins. `limits` are the model's. The client holds connections:
    close it with `aclose`.
    """

    name = "openai"

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        chunk_timeout_s: float = 30.0,
        retries: int = 2,
        limits: ModelLimits | None = None,
    ) -> None:
        try:
            import openai
        except ImportError as error:
            raise OpenAINotInstalled(f"the model openai:{model}", "openai") from error
        if not (chunk_timeout_s > 0 and math.isfinite(chunk_timeout_s)):
            raise ValueError(f"chunk_timeout_s must be a number of seconds above 0, not {chunk_timeout_s!r}")
        self.model = model
        self.limits = limits or ModelLimits()
        self.notice = f"Answers come from the language model {model}; check what matters."
        self._openai: Any = openai
        self._chunk_timeout_s = chunk_timeout_s
        try:
            self._client: Any = openai.AsyncOpenAI(
                api_key=api_key, base_url=base_url, max_retries=retries, timeout=chunk_timeout_s
            )
        except openai.OpenAIError:
            raise ValueError(
                "the OpenAI provider needs a key: set OPENAI_API_KEY, or the model's key setting"
            ) from None

    def __repr__(self) -> str:
        return f"OpenAI(model={self.model!r})"

    async def aclose(self) -> None:
        """Close the client's idle connections. The provider cannot be used afterwards."""
        await self._client.close()

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Answer one turn, streaming its text. Raises `ModelUnavailable`."""
        answer, seconds = _Answer(), self._chunk_timeout_s
        # Before an answer begins, the client itself retries the request, each time within `chunk_timeout_s`.
        begin_s = seconds * (1 + self._client.max_retries)
        request = partial(self._client.chat.completions.create, **build_request(turn, self.model))
        async with await self._within(begin_s, request) as chunks:
            while answer.length <= MAX_TEXT:
                try:
                    chunk = await self._within(seconds, partial(anext, chunks, None))
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

    async def _within(self, seconds: float, step: Callable[[], Awaitable[Any]]) -> Any:
        """Run one step of the exchange. Raises `ModelUnavailable` for every failure.

        A server may accept a request and say nothing, or send comments for ever: trio's clock decides, not the
        socket's. The failure is raised outside the except clause, so that it carries neither the provider's error nor
        the texts that the error quotes.
        """
        try:
            with trio.fail_after(seconds):
                return await step()
        except (self._openai.OpenAIError, trio.TooSlowError, ValueError) as error:
            failure = self._failure(error)
        raise failure

    def _failure(self, error: Exception) -> ModelUnavailable:
        """Return the error for the user. The cases are ordered from specific to general."""
        kinds, retryable, retry_after_s = self._openai, True, None
        match error:
            case trio.TooSlowError() | kinds.APITimeoutError():
                return ModelUnavailable("The language model took too long to answer.", True, "timeout")
            case kinds.AuthenticationError() | kinds.PermissionDeniedError():
                sentence, retryable = "The language model's provider refused this server's key.", False
            case kinds.RateLimitError(code="insufficient_quota"):
                sentence, retryable = "This server's account at the provider is used up.", False
            case kinds.RateLimitError():
                sentence, retry_after_s = "The language model is busy; try again in a moment.", read_retry_after(error)
            case kinds.NotFoundError():
                sentence, retryable = f"The provider does not know the language model {self.model}.", False
            case kinds.BadRequestError() | kinds.UnprocessableEntityError():
                sentence, retryable = "The language model did not accept this request.", False
            case kinds.APIConnectionError():
                sentence = "The connection to the language model was lost."
            case kinds.OpenAIError():
                sentence, retry_after_s = "The language model failed; try again in a moment.", read_retry_after(error)
            case _:
                sentence = "The language model sent something unreadable."
        status = getattr(error, "status_code", None)
        detail = type(error).__name__ if status is None else f"{type(error).__name__} {status}"
        return ModelUnavailable(sentence, retryable, detail, retry_after_s)


def read_retry_after(error: Exception) -> float | None:
    """Return the seconds of an error's Retry-After header (RFC 9110, 10.2.3); None for a date, or without one."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return min(seconds, 3600.0) if seconds >= 0 else None


async def _reply(turn: Turn, answer: _Answer, emit: Emit) -> Reply:
    """Return the reply of a complete answer; emit the thought about its calls."""
    if answer.ended in ("length", "content_filter"):
        note = _CUT if answer.ended == "length" else _FILTERED
        answer.text.append(note)
        await emit(TextDelta(note))
        return Reply("".join(answer.text), usage=answer.usage)  # incomplete calls are dropped
    text, calls = "".join(answer.text), [_tool_request(each) for _, each in sorted(answer.calls.items())]
    handoff = next((each for each in calls if each.name == hand_over_name(turn.tools)), None)
    if turn.colleagues and handoff is not None:
        to, reason = handoff.arguments.get("to"), handoff.arguments.get("reason")
        if not any(each.name == to for each in turn.colleagues):
            sentence = "The language model asked for a colleague that does not exist."
            raise ModelUnavailable(sentence, True, "unknown colleague")
        reason = reason if isinstance(reason, str) and reason else f"{to} has better tools for this."
        return Reply(text, handoff=Handoff(str(to), reason), usage=answer.usage)
    if calls:
        await emit(Thought("Next: " + ", ".join(each.description for each in calls)))
    return Reply(text, tuple(calls), usage=answer.usage)


def _tool_request(call: _Call) -> ToolRequest:
    try:
        arguments = msgspec.json.decode(call.arguments or "{}")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        arguments = None
    problem = ""
    if not isinstance(arguments, dict):
        what = "not valid JSON" if arguments is None else "not a JSON object"
        shown = call.arguments[:200] + ("…" if len(call.arguments) > 200 else "")
        arguments, problem = {}, f"The arguments of {call.name[:64]} are {what}: {shown}"
    words = call.name.replace("_", " ").replace("-", " ").strip().capitalize()
    return ToolRequest(call.id, call.name, arguments, words, problem)


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
