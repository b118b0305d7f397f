"""The client of a provider, around its maker's SDK: deadlines, errors as sentences, adaptation to servers.

1. Every wait has a deadline, by trio's clock: a server may accept a request and send nothing, or comments for ever.
2. Errors raised here contain neither the key nor the address, and the provider's own words only for the log.
3. A request that is refused for a field, a limit or the form of its messages is repeated without it, and later requests
   are adapted from the start.
"""

import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from functools import partial
from importlib import import_module
from typing import Any, ClassVar, Final, TypeAlias, TypeVar

import trio
from attrs import evolve

from understudy.extensions.providers.accepted import Adaptation, learn, told_window
from understudy.models.faults import SLOW, failure, read_error
from understudy.models.model import (
    AttemptLost,
    Emit,
    ModelEvent,
    ModelFault,
    ModelLimits,
    ModelUnavailable,
    Reply,
    Thought,
    Turn,
    UsageSoFar,
)
from understudy.models.timeouts import IDLE_S

log = logging.getLogger(__name__)

T = TypeVar("T")
_Build: TypeAlias = Callable[[Turn, Adaptation], Mapping[str, Any]]
_Answer: TypeAlias = Callable[[dict[str, Any], Emit], Awaitable[Reply]]

MAX_CHANGES: Final = 12
"""Limit of changes of one request after refusals; a server that refuses more does not speak the API."""
_UNREADABLE: Final = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""Errors that the SDK raises when an answer does not have the form of the API."""


class SdkModel:
    """A `Model` that is called through its provider's SDK: the client class `kind` of the package `package`.

    The packages of OpenAI and Anthropic come from one generator, so their errors have the same names. The client holds
    connections: close it with `aclose`. `limits` are the model's; an answer has `first_token_s` seconds to begin, and
    `idle_s` for each further piece. `sdk` replaces the client class, with the same arguments.

    Raises ImportError without the package.
    """

    name: ClassVar[str]
    package: ClassVar[str]
    kind: ClassVar[str]
    first_token_s: float = 120.0
    titles = True

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        idle_s: float = IDLE_S,
        first_token_s: float | None = None,
        limits: ModelLimits | None = None,
        sdk: Callable[..., Any] | None = None,
    ) -> None:
        package = import_module(self.package)
        import httpx2  # both packages depend on it

        self.model, self.idle_s, self.first_token_s = model, idle_s, first_token_s or self.first_token_s
        self.notice = f"Answers come from the language model {model}; check what matters."
        self.not_found = f"The provider does not know the language model {model}."
        self.accepted = Adaptation()
        # Deadlines are trio's; the SDK's own timeout only frees a connection whose wait has been cancelled already.
        timeout_s = 2 * max(self.first_token_s, idle_s)
        make = sdk or getattr(package, self.kind)
        self.sdk = make(api_key=api_key, base_url=base_url, max_retries=0, timeout=timeout_s)
        self._limits = limits or ModelLimits()
        self._timeouts = (package.APITimeoutError, httpx2.TimeoutException, trio.TooSlowError)
        self._lost = (package.APIConnectionError, httpx2.HTTPError)
        base = getattr(package, "OpenAIError", None) or package.AnthropicError
        self._errors = (base, *self._timeouts, *self._lost, *_UNREADABLE)
        self._unconnected = httpx2.ConnectError

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self.model!r})"

    @property
    def limits(self) -> ModelLimits:
        """The limits of the model: those of the settings, lowered to those that its server has named."""
        return self.accepted.limits(self._limits)

    async def aclose(self) -> None:
        """Close the idle connections. The model cannot be used afterwards."""
        await self.sdk.close()

    async def ask(self, turn: Turn, emit: Emit, build: _Build, answer: _Answer) -> Reply:
        """Return the reply to a turn: `answer` sends the request that `build` builds. Raises `ModelUnavailable`.

        A request that is refused before the first word is adapted and repeated, as long as the refusals say how.
        """
        accepted, begun, news = self.accepted, False, list[str]()

        async def hear(event: ModelEvent) -> None:
            nonlocal begun
            begun = begun or not isinstance(event, Thought | UsageSoFar)
            await emit(event)

        while True:
            sent = accepted.written(build(accepted.asked(turn), accepted))
            try:
                reply = await answer(sent, hear)
            except ModelUnavailable as error:
                learnt = None if begun or len(news) >= MAX_CHANGES else learn(accepted, error, sent)
                if learnt is None:
                    self.accepted = evolve(self.accepted, window=told_window(error) or self.accepted.window)
                    raise
                accepted = learnt[0]
                news.append(learnt[1])
                if error.used is not None:
                    await emit(AttemptLost(error.used))
            else:
                for field in news:
                    log.warning("model.field_refused", extra={"model": self.model, "field": field})
                self.accepted = evolve(accepted, room=None)
                return reply

    async def known_models(self) -> list[str]:
        """Return the names of the provider's models. Raises `ModelUnavailable`."""

        async def ask() -> list[str]:
            return [str(model.id) for model in (await self.sdk.models.list()).data]

        return await self.within(self.idle_s, ask)

    async def within(self, seconds: float, step: Callable[[], Awaitable[T]]) -> T:
        """Run one step of the exchange. Raises `ModelUnavailable` for every failure, also if the answer is unreadable.

        The failure is raised outside the except clause, so that it carries neither the provider's error nor the texts
        that the error quotes.
        """
        try:
            with trio.fail_after(max(0.0, seconds)) if seconds < math.inf else trio.CancelScope():
                return await step()
        except ModelUnavailable:
            raise
        except self._errors as error:
            failed = self._failure(error)
        raise failed

    async def next(self, chunks: Any, seconds: float) -> Any:
        """Return the next chunk of a stream, None at its end. Raises `ModelUnavailable`."""
        return await self.within(seconds, partial(anext, chunks, None))

    def _failure(self, error: Exception) -> ModelUnavailable:
        """Return the error for the user."""
        kind = type(error).__name__
        if isinstance(error, self._timeouts):
            return ModelUnavailable(SLOW, True, "timeout", fault=ModelFault.AWAY)
        if isinstance(error, self._lost):
            sentence = "The connection to the language model was lost."
            if isinstance(error, self._unconnected) or isinstance(error.__cause__, self._unconnected):
                sentence = "The language model cannot be reached; try again in a moment."
            return ModelUnavailable(sentence, True, kind, fault=ModelFault.AWAY)
        if isinstance(error, _UNREADABLE):
            return ModelUnavailable("The language model sent something unreadable.", True, kind)
        refusal = read_error(getattr(error, "body", None), getattr(error, "status_code", 0), str(error))
        return failure(refusal, kind, self.not_found, read_retry_after(error))


def read_retry_after(error: Exception) -> float | None:
    """Return the seconds of an error's Retry-After header (RFC 9110, 10.2.3), None without one.

    Some servers send milliseconds in `retry-after-ms`, or the unit after the number.
    """
    headers = getattr(getattr(error, "response", None), "headers", {})
    header = headers.get("retry-after", "").strip()
    try:
        if milliseconds := headers.get("retry-after-ms"):
            seconds = float(milliseconds) / 1000
        elif header.endswith("GMT"):
            seconds = max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
        else:
            seconds = float(header.rstrip("s"))
    except ValueError:
        return None
    return min(seconds, 3600.0) if seconds >= 0 else None
