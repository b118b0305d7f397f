"""What users' code raises ends the call that it was raised in, and nothing else.

Python lets `SystemExit`, `KeyboardInterrupt`, asyncio's `CancelledError` and others that are no `Exception` pass up to
the end of the program: `argparse` raises one for wrong arguments. Here they become a RuntimeError, whose cause they
are. A cancellation of ours passes.
"""

import math
from collections.abc import Generator
from contextlib import contextmanager

import trio

from actors.errors import text_of


@contextmanager
def contained(name: str) -> Generator[None]:
    """Raise what the block raises, on a loop of trio; as a RuntimeError that names `name` if it is no `Exception`."""
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        failure = contain(name, error, cancelled=trio.current_effective_deadline() == -math.inf)
        if failure is error:
            raise
        raise failure from error


def contain(name: str, error: BaseException, *, cancelled: bool) -> BaseException:
    """Return an error, each part of it that is no `Exception` replaced by a RuntimeError.

    `cancelled`: the call is; else a `trio.Cancelled` was kept, and raised outside of its scope.
    """
    if isinstance(error, BaseExceptionGroup):
        parts = [contain(name, each, cancelled=cancelled) for each in error.exceptions]
        return error if parts == list(error.exceptions) else BaseExceptionGroup(error.message, parts)
    if isinstance(error, Exception) or (cancelled and isinstance(error, trio.Cancelled)):
        return error
    failure = RuntimeError(f"{name} raised {text_of(error)}")
    failure.__cause__ = error
    return failure
