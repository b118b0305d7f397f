"""The `openai` package as both providers of OpenAI's APIs use it: one client, deadlines, and errors as sentences.

1. Every wait has a deadline, by trio's clock: a server may accept a request and say nothing, or comments for ever.
2. Errors raised here contain neither the key, nor the address, nor the provider's own text.
"""

import logging
import math
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final, Self

import msgspec
import trio

from understudy.models.keys import read_key
from understudy.models.model import LOADS, MAX_SAID, TOO_LONG, ModelError, ModelUnavailable, RequestRefused, is_too_long
from understudy.storage.errors import ExtraNotInstalled

log = logging.getLogger(__name__)
KEY: Final = "OPENAI_API_KEY"

_REFUSED_KEY: Final = "The language model's provider refused this server's key."
_USED_UP: Final = "This server's account at the provider is used up."
_BUSY: Final = "The language model is busy; try again in a moment."
_NOT_ACCEPTED: Final = "The language model did not accept this request."
_FAILED: Final = "The language model failed; try again in a moment."
_CODES: Final[Mapping[str, tuple[str, bool]]] = {
    "rate_limit_exceeded": (_BUSY, True),
    "insufficient_quota": (_USED_UP, False),
    "invalid_api_key": (_REFUSED_KEY, False),
    "context_length_exceeded": (TOO_LONG, False),
    "vector_store_timeout": (_FAILED, True),
}
"""Sentences for error codes, and whether the same request may succeed later."""
MAX_WHOLE: Final = 8 * 1024 * 1024
"""Bytes of an answer that comes whole."""
_HOPELESS: Final = ("invalid", "policy", "image", "unsupported", "mismatch", "not_found")
"""Parts of further codes of a request that cannot succeed."""
LOADING: Final = 503
"""The status of a server that loads its model; its words say so."""
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
"""The form of codes that are put into the log; anything else may be the provider's own text."""


class OpenAINotInstalled(ModelError, ExtraNotInstalled):
    """The `openai` package is missing; the message names the extra that installs it."""


class OpenAIClient:
    """A client of the `openai` package for the model `model`. It holds connections: close it with `aclose`.

    `api_key` and `base_url` default to the variables OPENAI_API_KEY and OPENAI_BASE_URL. A request is retried
    `retries` times, and only before its answer begins, for which it has `begin_s` seconds each time (by default
    `idle_s`); a piece of its answer may take as long as `next` is told, up to `longest_s`. `not_found` is the sentence
    for an address or a model that the provider does not know; settings name the model by `provider` and a colon.

    Raises `OpenAINotInstalled` if the extra `openai` is missing, ValueError for a bad time or without a key.
    """

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None,
        base_url: str | None,
        idle_s: float,
        retries: int,
        longest_s: float = 0.0,
        begin_s: float | None = None,
        provider: str = "openai",
    ) -> None:
        try:
            import openai
        except ImportError as error:
            raise OpenAINotInstalled(f"the model {provider}:{model}", "openai") from error
        self.model, self.idle_s, self.begin_s = model, idle_s, idle_s if begin_s is None else begin_s
        for name, value in (("idle_s", idle_s), ("first_token_s", self.begin_s)):
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name} must be a number of seconds above 0, not {value!r}")
        self._openai: Any = openai
        self.not_found = f"The provider does not know the language model {model}."
        self._refused: set[str] = set()  # optional fields that this model refuses
        times = openai.Timeout(idle_s, read=max(idle_s, longest_s, self.begin_s))
        try:
            self.sdk: Any = openai.AsyncOpenAI(
                api_key=api_key or read_key(KEY) or None, base_url=base_url, max_retries=retries, timeout=times
            )
        except openai.OpenAIError:
            raise ValueError(
                f"the OpenAI provider needs a key: set {KEY}, or {KEY}_FILE to a file that has it"
            ) from None

    @property
    def is_openai(self) -> bool:
        """Whether the address is OpenAI's own."""
        host: str = self.sdk.base_url.host
        return host == "openai.com" or host.endswith(".openai.com")

    async def aclose(self) -> None:
        """Close the idle connections. The client cannot be used afterwards."""
        await self.sdk.close()

    async def begin(
        self, create: Callable[..., Awaitable[Any]], body: Mapping[str, Any], optional: Sequence[str] = ()
    ) -> Any:
        """Send a request with `create`. Return the stream of its answer. Raises `ModelUnavailable`.

        A field of `optional` that the model refuses (`reasoning.summary` is a member of the field `reasoning`) is left
        out, now and in later requests: which ones a model takes cannot be known from its name.
        """
        # Before an answer begins, the SDK itself retries the request, each time within `begin_s`.
        seconds = self.begin_s * (1 + self.sdk.max_retries)
        for _ in range(1 + len(optional)):
            sent = without(body, self._refused)
            try:
                with trio.fail_after(seconds):
                    return await create(**sent)
            except (self._openai.OpenAIError, trio.TooSlowError, ValueError) as error:
                failure, refused = self._failure(error), self._refused_field(error, optional)
            if not refused or without(sent, {refused}) == sent:
                break
            log.warning("model.field_refused", extra={"model": self.model, "field": refused})
            self._refused.add(refused)
        raise failure

    async def known_models(self) -> list[str]:
        """Return the names of the models that the provider has. Raises `ModelUnavailable`."""
        try:
            with trio.fail_after(self.idle_s):
                return [str(each.id) for each in (await self.sdk.models.list()).data]
        except (self._openai.OpenAIError, trio.TooSlowError, ValueError, TypeError, AttributeError) as error:
            failure = self._failure(error)
        raise failure

    async def next(self, chunks: Any, seconds: float) -> Any:
        """Return the next chunk of a stream, None at its end. Raises `ModelUnavailable`.

        The failure is raised outside the except clause, so that it carries neither the provider's error nor the texts
        that the error quotes.
        """
        try:
            with trio.fail_after(seconds):
                return await anext(chunks, None)
        except (self._openai.OpenAIError, trio.TooSlowError, ValueError, RecursionError) as error:
            failure = self._failure(error)
        raise failure

    def _refused_field(self, error: Exception, optional: Sequence[str]) -> str:
        """Return the field of `optional` because of which a request was refused, empty if it was none."""
        if not isinstance(error, self._openai.BadRequestError):
            return ""
        if error.code not in (None, "unsupported_parameter", "unsupported_value", "unknown_parameter"):
            return ""
        named = str(error.param or "").partition("[")[0]
        left = (each for each in optional if each not in self._refused)
        return next((each for each in left if named in (each, each.partition(".")[0])), "")

    def _failure(self, error: Exception) -> ModelUnavailable:
        """Return the error for the user. The cases are ordered from specific to general."""
        kinds, retryable, retry_after_s = self._openai, True, None
        code = getattr(error, "code", None)
        match error:
            case trio.TooSlowError() | kinds.APITimeoutError():
                return ModelUnavailable("The language model took too long to answer.", True, "timeout")
            case kinds.AuthenticationError() | kinds.PermissionDeniedError():
                sentence, retryable = _REFUSED_KEY, False
            case kinds.RateLimitError(code="insufficient_quota"):
                sentence, retryable = _USED_UP, False
            case kinds.RateLimitError():
                sentence, retry_after_s = _BUSY, read_retry_after(error)
            case kinds.NotFoundError():
                sentence, retryable = self.not_found, False
            case kinds.APIStatusError() if _says_too_long(error):
                sentence, retryable = TOO_LONG, False
            case kinds.BadRequestError() | kinds.UnprocessableEntityError():
                sentence, retryable = _CODES.get(str(code), (_NOT_ACCEPTED, False))
            case kinds.APIConnectionError() if _is_of_connect(error):
                sentence = "The language model cannot be reached; try again in a moment."
            case kinds.APIConnectionError():
                sentence = "The connection to the language model was lost."
            case kinds.APIStatusError():
                sentence, retry_after_s = _FAILED, read_retry_after(error)
            case kinds.OpenAIError():  # an error in the stream
                return failure_of(code)
            case _:
                sentence = "The language model sent something unreadable."
        status = getattr(error, "status_code", None)
        words = f"{code} {getattr(error, 'param', '')} {error}"
        known = str(code) if _CODE.fullmatch(str(code)) and code is not None else ""
        detail = " ".join(str(each) for each in (type(error).__name__, status, known) if each)
        if status == LOADING and "loading" in words.lower():
            detail = f"{detail} {LOADS}"
        if sentence is _NOT_ACCEPTED:
            failure: ModelUnavailable = RequestRefused.for_words(sentence, detail, words)
        else:
            failure = ModelUnavailable(sentence, retryable, detail, retry_after_s)
        failure.said = str(error)[:MAX_SAID]
        return failure


def _says_too_long(error: Any) -> bool:
    """Whether a status and its words say that the input is too long; a server may give it as a fault of its own."""
    return error.status_code == 413 or (error.status_code in (400, 422, 500) and is_too_long(f"{error.code} {error}"))


def _is_of_connect(error: Exception) -> bool:
    """Whether there was no connection: the server is not there, or not yet."""
    import httpx2  # as `openai` does

    return isinstance(error.__cause__, httpx2.ConnectError)


class Overheard:
    """Listens to a response while the SDK reads it as a stream: some servers answer with one object all the same.

    What they call their answer is not asked: streams are called objects too, and objects streams. Enter it before the
    first chunk is read.
    """

    def __init__(self, response: Any) -> None:
        self._response = response
        self._pieces: Any = response.aiter_bytes()
        self._heard: list[bytes] | None = []
        self._size = 0

    async def __aenter__(self) -> Self:
        self._response.aiter_bytes = lambda: self
        return self

    async def __aexit__(self, *_: object) -> None:
        del self._response.aiter_bytes  # a cycle would leave the generators to the garbage collector, in any thread
        await self._pieces.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece: bytes = await anext(self._pieces)
        if self._heard is not None:
            self._heard.append(piece)
            self._size += len(piece)
            if self._size > MAX_WHOLE:
                raise ValueError
        return piece

    def stop(self) -> None:
        """Forget what was heard: it is a stream."""
        self._heard = None

    def whole(self) -> dict[str, Any] | None:
        """Return the object that was heard, None if it was none. Raises `ModelUnavailable` for an error, or a part."""
        heard = b"".join(self._heard or ()).strip()
        if not heard.startswith(b"{"):
            return None
        try:
            body = msgspec.json.decode(heard, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            body = None  # raised below, without the text that the error quotes
        if body is None:
            raise ModelUnavailable("The language model sent something unreadable.", True, "a part of an answer")
        if (wrong := body.get("error")) is not None:
            raise failure_of(wrong.get("code") if isinstance(wrong, dict) else None)
        return body


def failure_of(code: Any) -> ModelUnavailable:
    """Return the error for the user of an error code in a stream."""
    known = code if isinstance(code, str) and _CODE.fullmatch(code) else "error"
    hopeless = any(part in known for part in _HOPELESS)
    sentence, retryable = _CODES.get(known, (_NOT_ACCEPTED, False) if hopeless else (_FAILED, True))
    if sentence is _NOT_ACCEPTED:
        return RequestRefused.for_words(sentence, f"{known} in the stream", known)
    return ModelUnavailable(sentence, retryable, f"{known} in the stream")


def without(body: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """Return a request without these fields; `reasoning.summary` is a member of the field `reasoning`."""
    left = {name: value for name, value in body.items() if name not in fields}
    for name, _, member in (each.partition(".") for each in fields):
        if member and member in left.get(name, ()):
            left[name] = {key: value for key, value in left[name].items() if key != member}
            if not left[name]:
                del left[name]
    return left


def read_retry_after(error: Exception) -> float | None:
    """Return the seconds of an error's Retry-After header (RFC 9110, 10.2.3); None for a date, or without one."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return min(seconds, 3600.0) if seconds >= 0 else None
