"""Contains errors of users' code: an error ends the call that it was raised in, and nothing else.

`SystemExit`, `KeyboardInterrupt`, asyncio's `CancelledError` and others that are no `Exception` would end the whole
program: `argparse` raises one for wrong arguments. Here each becomes the cause of a RuntimeError. A cancellation of the
call passes. A group of `ToolError`, in which a nursery wraps even a single one, becomes one `ToolError`.
"""

import math
import re
import traceback
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Final

import trio

from actors.errors import text_of
from understudy.tools.errors import EffectUnknown, InvalidResult, ToolError

_OF_ASYNCIO: Final = re.compile(r"no (running|current) event loop|unrecognized yield message")
"""The message of asyncio in a thread without its loop, and of trio when asyncio's objects are awaited."""


@contextmanager
def contained(name: str, *, in_thread: bool = False) -> Generator[None]:
    """Raise the errors of the block in the form that `contain` returns. `in_thread`: it runs in a worker thread."""
    try:
        yield
    except BaseException as error:  # in a worker thread only trio itself raises `trio.Cancelled`
        cancelled = in_thread or trio.current_effective_deadline() == -math.inf
        failure = contain(name, error, cancelled=cancelled)
        if failure is error:
            raise
        raise failure from failure.__cause__


def contain(name: str, error: BaseException, *, cancelled: bool) -> BaseException:
    """Return the error, with each part that is no `Exception` replaced by a RuntimeError that mentions `name`.

    A group of `ToolError` alone is returned as one, with all sentences. `cancelled`: the call is cancelled; else a
    `trio.Cancelled` is replaced too, because users' code stored it and raised it outside of its scope.
    """
    if isinstance(error, BaseExceptionGroup):
        if (tool_error := _tool_error(error)) is not None:
            return tool_error
        parts = [contain(name, exception, cancelled=cancelled) for exception in error.exceptions]
        return error if parts == list(error.exceptions) else BaseExceptionGroup(error.message, parts)
    if isinstance(error, Exception) or (cancelled and isinstance(error, trio.Cancelled)):
        return error
    failure = RuntimeError(f"{name} raised {text_of(error)}")
    failure.__cause__ = error
    return failure


def _tool_error(group: BaseExceptionGroup) -> ToolError | None:
    parts, sentence = list(errors_in(group)), sentences_of(group)
    errors = [part for part in parts if isinstance(part, ToolError)]
    if len(errors) < len(parts):
        return None
    first = next((error for error in errors if isinstance(error, EffectUnknown)), errors[0])
    if first.message == sentence:
        return first
    return (EffectUnknown if isinstance(first, EffectUnknown) else ToolError)(first.code, sentence)


def errors_in(error: BaseException) -> Iterator[BaseException]:
    """Yield the error itself, or the errors in a group and its inner groups."""
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for exception in error.exceptions:
        yield from errors_in(exception)


def sentences_of(error: BaseException) -> str:
    """Return the sentences for the user of the `ToolError` and `InvalidResult` in an error, "" if it has none."""
    sentences = [str(failure) for failure in errors_in(error) if isinstance(failure, ToolError | InvalidResult)]
    return " ".join(dict.fromkeys(sentences))


@contextmanager
def hinting(hint: str) -> Generator[None]:
    """Raise a RuntimeError with `hint` if code in the block fails because it needs an asyncio loop."""
    try:
        yield
    except Exception as error:
        if any(map(_is_of_asyncio, errors_in(error))):
            raise RuntimeError(f"{hint} ({text_of(error)})") from error
        raise


def _is_of_asyncio(error: BaseException) -> bool:
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    in_asyncio = bool(frames) and frames[-1].f_globals.get("__name__", "").startswith("asyncio.")
    is_kind = isinstance(error, RuntimeError | TypeError | AttributeError)
    return is_kind and (in_asyncio or _OF_ASYNCIO.search(str(error)) is not None)
