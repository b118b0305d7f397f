"""The `anthropic` package as the provider uses it: one client, deadlines, and errors as sentences.

1. Every wait has a deadline, by trio's clock: a server may accept a request and say nothing, or send pings for ever.
2. Errors raised here contain neither the key, nor the address, nor the provider's own text.
"""

import math
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import trio

from understudy.models.keys import read_key
from understudy.models.model import MAX_SAID, TOO_LONG, ModelError, ModelUnavailable, RequestRefused, is_too_long
from understudy.models.openai_client import read_retry_after
from understudy.storage.errors import ExtraNotInstalled

T = TypeVar("T")
KEY: Final = "ANTHROPIC_API_KEY"
_KINDS: Final[Mapping[str, tuple[str, bool]]] = {
    "authentication_error": ("The language model's provider refused this server's key.", False),
    "permission_error": ("The language model's provider refused this server's key.", False),
    "billing_error": ("This server's account at the provider is used up.", False),
    "not_found_error": ("", False),
    "request_too_large": (TOO_LONG, False),
    "invalid_request_error": ("The language model did not accept this request.", False),
    "rate_limit_error": ("The language model is busy; try again in a moment.", True),
    "overloaded_error": ("The language model is overloaded; try again in a moment.", True),
    "timeout_error": ("The language model took too long to answer.", True),
    "api_error": ("The language model failed; try again in a moment.", True),
}
"""Sentences for the API's types of errors, and whether the same request may succeed later."""
_STATUS: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""The types of errors that come without one, as from a proxy, by the status of HTTP."""
_CREDIT: Final = re.compile(r"credit balance", re.IGNORECASE)
"""What the API's own text says of an error that has the type of any bad request."""

_UNREADABLE: Final = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""Errors of reading what a provider sent in another form than the API's."""


class AnthropicNotInstalled(ModelError, ExtraNotInstalled):
    """The `anthropic` package is missing; the message names the extra that installs it."""


class AnthropicClient:
    """A client of the `anthropic` package for the model `model`. It holds connections: close it with `aclose`.

    `api_key` and `base_url` default to the variables ANTHROPIC_API_KEY (see `understudy.models.keys`) and
    ANTHROPIC_BASE_URL. The package itself retries `retries` times before an answer begins, and waits `timeout_s` each
    time.

    Raises `AnthropicNotInstalled` if the extra `anthropic` is missing, ValueError without a key.
    """

    def __init__(
        self, model: str, *, api_key: str | None, base_url: str | None, timeout_s: float, retries: int
    ) -> None:
        try:
            import anthropic
        except ImportError as error:
            raise AnthropicNotInstalled(f"the model anthropic:{model}", "anthropic") from error
        import httpx2  # needed by anthropic

        if not (key := api_key or read_key(KEY)):
            raise ValueError(f"the Anthropic provider needs a key: set {KEY}, or {KEY}_FILE to a file that has it")
        self.model = model
        self._errors: tuple[type[Exception], ...] = (anthropic.AnthropicError, httpx2.HTTPError)
        self._failures = (*self._errors, trio.TooSlowError, *_UNREADABLE)
        self._timeouts: tuple[type[Exception], ...] = (anthropic.APITimeoutError, httpx2.TimeoutException)
        self._lost: tuple[type[Exception], ...] = (anthropic.APIConnectionError, httpx2.HTTPError)
        self.transform_schema: Callable[[dict[str, Any]], dict[str, Any]] = anthropic.transform_schema
        self.sdk: Any = anthropic.AsyncAnthropic(api_key=key, base_url=base_url, max_retries=retries, timeout=timeout_s)

    async def aclose(self) -> None:
        """Close the idle connections. The client cannot be used afterwards."""
        await self.sdk.close()

    async def within(self, seconds: float, step: Callable[[], Awaitable[T]]) -> T:
        """Run one step of the exchange. Raises `ModelUnavailable` for every failure, also of reading what came.

        The failure is raised outside the except clause, so that it carries neither the provider's error nor the texts
        that the error quotes.
        """
        try:
            with trio.fail_after(max(0.0, seconds)) if seconds < math.inf else trio.CancelScope():
                return await step()
        except ModelUnavailable:
            raise
        except self._failures as error:
            failure = self._failure(error)
        raise failure

    def _failure(self, error: Exception) -> ModelUnavailable:
        """Return the error for the user."""
        status, said = getattr(error, "status_code", None), str(getattr(error, "api_message", None) or "")
        if isinstance(error, (trio.TooSlowError, *self._timeouts)):
            return ModelUnavailable("The language model took too long to answer.", True, "timeout")
        if not isinstance(error, self._errors):
            return ModelUnavailable("The language model sent something unreadable.", True, type(error).__name__)
        if isinstance(error, self._lost):
            return ModelUnavailable("The connection to the language model was lost.", True, type(error).__name__)
        kind = str(getattr(error, "type", ""))
        if kind not in _KINDS or (kind == "api_error" and status in _STATUS):
            kind = _STATUS.get(status or 0, "api_error")
        if kind == "invalid_request_error":
            kind = "request_too_large" if is_too_long(said) else "billing_error" if _CREDIT.search(said) else kind
        sentence, retryable = _KINDS[kind]
        sentence = sentence or f"The provider does not know the language model {self.model}."
        detail = " ".join(str(each) for each in (type(error).__name__, status, kind) if each)
        if kind == "invalid_request_error":
            failure: ModelUnavailable = RequestRefused.for_words(sentence, detail, said)
        else:
            failure = ModelUnavailable(sentence, retryable, detail, read_retry_after(error) if retryable else None)
        failure.said = (said or str(error))[:MAX_SAID]
        return failure
