"""Answers from OpenAI, or from any server that speaks its chat completions API.

1. Nothing waits without a deadline: the answer must begin, and each further piece must come, within `chunk_timeout_s`.
2. The stream is closed on every way out; cancelling a turn closes its connection.
3. No error that leaves this module holds the key, the address or the provider's own words.
4. A stream that ends before the provider said why it ends is a failure, not a short answer.
"""

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import msgspec
import trio
from attrs import define, field

from transport.wire.events import Usage
from understudy.models.model import (
    Emit,
    Handoff,
    ModelError,
    ModelUnavailable,
    Reply,
    TextDelta,
    Thought,
    ToolRequest,
    Turn,
)
from understudy.models.openai_request import hand_over_name, request_of
from understudy.storage.extras import ExtraNotInstalled

# Characters, far beyond the longest answer of a model; a provider that streams endlessly is stopped there.
MAX_TEXT: Final = 1_000_000
# Calls in one turn, and characters of arguments in one call, that are accepted.
MAX_CALLS: Final = 64
MAX_ARGUMENTS: Final = 1_000_000

_CUT: Final = "\n\n*(The answer was cut here: it reached the model's length limit.)*"


class OpenAINotInstalled(ModelError, ExtraNotInstalled):
    """The `openai` package is missing; the text names the extra that installs it."""


@define
class _Call:
    """A tool call as it arrives, in pieces."""

    id: str = ""
    name: str = ""
    arguments: str = ""


@define
class _Answer:
    """The part of an answer that has arrived."""

    text: list[str] = field(factory=list)
    length: int = 0
    calls: dict[int, _Call] = field(factory=dict)
    usage: Usage = field(factory=lambda: Usage(turns=1))
    ended: str | None = None

    def add_call(self, index: int, call_id: str | None, name: str | None, arguments: str | None) -> None:
        """Add a piece of a tool call."""
        call = self.calls.setdefault(index, _Call())
        call.id = call.id or call_id or f"call-{index}"
        call.name += name or ""
        call.arguments += arguments or ""
        if len(self.calls) > MAX_CALLS or len(call.arguments) > MAX_ARGUMENTS:
            raise ModelUnavailable("The language model asked for more than this server takes.", False, "oversized call")


class OpenAI:
    """The provider. Raises `OpenAINotInstalled` when made without the `openai` extra.

    `api_key` and `base_url` default to the variables OPENAI_API_KEY and OPENAI_BASE_URL. `retries` are made only
    before an answer begins. A client holds connections: end it with `aclose`.
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
    ) -> None:
        try:
            import openai
        except ImportError as error:
            raise OpenAINotInstalled(f"the model openai:{model}", "openai") from error
        if not (chunk_timeout_s > 0 and math.isfinite(chunk_timeout_s)):
            raise ValueError(f"chunk_timeout_s must be a number of seconds above 0, not {chunk_timeout_s!r}")
        self.model = model
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
        answer = _Answer()
        # The client tries again by itself before an answer begins, each time with the same patience.
        patience_s = self._chunk_timeout_s * (1 + self._client.max_retries)
        body = request_of(turn, self.model)
        async with await self._within(patience_s, lambda: self._client.chat.completions.create(**body)) as stream:
            while await self._take_next(stream, answer, emit):
                pass
        return await _finish(turn, answer, emit)

    async def _take_next(self, pieces: AsyncIterator[Any], answer: _Answer, emit: Emit) -> bool:
        """Read the next chunk of the stream. Return False if the answer is complete."""
        try:
            chunk = await self._within(self._chunk_timeout_s, lambda: _next(pieces))
        except ModelUnavailable:
            if answer.ended is not None:
                return False  # the answer was complete; only the end marker is missing
            raise
        if chunk is None:
            if answer.ended is None:
                raise ModelUnavailable("The language model stopped in the middle of its answer.", True, "cut short")
            return False
        text = _take(chunk, answer)
        if text:
            await emit(TextDelta(text))
        if answer.length > MAX_TEXT:
            answer.ended = "length"
            return False
        return True

    async def _within(self, seconds: float, step: Callable[[], Awaitable[Any]]) -> Any:
        """Run one step of the exchange. Raises `ModelUnavailable` for every failure.

        A server may accept a request and say nothing, or send comments for ever: trio's clock decides, not the
        socket's. The failure is raised outside the except clauses, so that the provider's error, and what it
        quotes, stays behind.
        """
        try:
            with trio.fail_after(seconds):
                return await step()
        except self._openai.OpenAIError as error:
            failure = self._explain(error)
        except trio.TooSlowError:
            failure = _late()
        except ValueError as error:
            failure = ModelUnavailable("The language model sent something unreadable.", True, type(error).__name__)
        raise failure

    def _explain(self, error: Exception) -> ModelUnavailable:
        """Return the error for the user. The cases are ordered from specific to general."""
        kinds = self._openai
        status = getattr(error, "status_code", None)
        detail = f"{type(error).__name__} {status}" if status is not None else type(error).__name__
        if isinstance(error, kinds.APITimeoutError):
            return _late()
        if isinstance(error, kinds.AuthenticationError | kinds.PermissionDeniedError):
            return ModelUnavailable("The language model's provider refused this server's key.", False, detail)
        if isinstance(error, kinds.RateLimitError):
            if getattr(error, "code", None) == "insufficient_quota":
                return ModelUnavailable("This server's account at the provider is used up.", False, detail)
            return ModelUnavailable("The language model is busy; try again in a moment.", True, detail, _wish_s(error))
        if isinstance(error, kinds.NotFoundError):
            return ModelUnavailable(f"The provider does not know the language model {self.model}.", False, detail)
        if isinstance(error, kinds.BadRequestError | kinds.UnprocessableEntityError):
            return ModelUnavailable("The language model did not accept this request.", False, detail)
        if isinstance(error, kinds.APIConnectionError):
            return ModelUnavailable("The connection to the language model was lost.", True, detail)
        return ModelUnavailable("The language model failed; try again in a moment.", True, detail, _wish_s(error))


def _wish_s(error: Exception) -> float | None:
    """Return the seconds of a Retry-After header (RFC 9110, 10.2.3); a date is ignored."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return min(seconds, 3600.0) if seconds >= 0 else None


def _late() -> ModelUnavailable:
    return ModelUnavailable("The language model took too long to answer.", True, "timeout")


async def _next(pieces: AsyncIterator[Any]) -> Any:
    """Return the next chunk; None at the end of the stream."""
    return await anext(pieces, None)


def _take(chunk: Any, answer: _Answer) -> str:
    """Add one chunk to the answer. Return its text."""
    if chunk.usage is not None:
        answer.usage = Usage(chunk.usage.prompt_tokens or 0, chunk.usage.completion_tokens or 0, 1)
    if not chunk.choices:
        return ""
    choice = chunk.choices[0]
    answer.ended = choice.finish_reason or answer.ended
    delta = choice.delta
    if delta is None:
        return ""
    for piece in delta.tool_calls or ():
        function = piece.function
        name, arguments = (function.name, function.arguments) if function is not None else (None, None)
        answer.add_call(piece.index, piece.id, name, arguments)
    text = delta.content or ""
    if text:
        answer.text.append(text)
        answer.length += len(text)
    return text


async def _finish(turn: Turn, answer: _Answer, emit: Emit) -> Reply:
    if answer.ended == "length":
        answer.text.append(_CUT)
        await emit(TextDelta(_CUT))
        return Reply("".join(answer.text), usage=answer.usage)  # incomplete calls are dropped
    calls = [_tool_call(each) for _, each in sorted(answer.calls.items())]
    name = hand_over_name(turn.tools)
    for each in calls:
        if turn.colleagues and each.name == name:
            return Reply("".join(answer.text), handoff=_handoff(turn, each), usage=answer.usage)
    if calls:
        await emit(Thought("Next: " + ", ".join(each.description for each in calls)))
    return Reply("".join(answer.text), tuple(calls), usage=answer.usage)


def _tool_call(call: _Call) -> ToolRequest:
    try:
        arguments = msgspec.json.decode(call.arguments or "{}")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        # No tool has this parameter, so the call fails with a sentence that tells the model what to correct.
        arguments = {"not_a_json_object": call.arguments[:200]}
    words = call.name.replace("_", " ").replace("-", " ").strip().capitalize()
    return ToolRequest(call.id, call.name, arguments, words)


def _handoff(turn: Turn, call: ToolRequest) -> Handoff:
    to, reason = call.arguments.get("to"), call.arguments.get("reason")
    if not any(each.name == to for each in turn.colleagues):
        raise ModelUnavailable("The language model asked for a colleague who is not here.", True, "unknown colleague")
    return Handoff(str(to), reason if isinstance(reason, str) and reason else f"{to} has better tools for this.")
