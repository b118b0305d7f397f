"""Filters users' texts before they are stored: short ones at once, long ones in a worker thread."""

import time
from collections.abc import Callable
from typing import Final, TypeVar, TypeVarTuple

import trio

from sanitization import Placeholders, Sanitized, Sanitizer
from transport.wire.errors import CommandRejected
from understudy.sandbox.run_local import thread_limiter

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

INLINE: Final = 1024
"""ASCII characters filtered in the event loop; longer texts go to a worker thread, so that no step holds the loop.

As measured, 1,000 characters take 30 µs if no prefilter matches, and one millisecond if all do.
"""
FOREIGN: Final = 4
"""Weight of a non-ASCII character: a text of hidden characters alone takes this much longer."""
PIECE: Final = 16 * 1024
"""Characters that the thread filters between two moments in which other threads may run."""
LONGEST_S: Final = 4.0
"""Seconds of filtering for one text; beyond, it is refused before anything is stored."""
WAIT_S: Final = 8.0
"""Seconds of waiting for a worker and filtering; beyond, the text is refused with `busy`."""
THREADS: Final = 2
"""Calls of `run_off_loop` at a time; more wait in order of arrival."""

# Separate from the threads that render answers, so that no flood of messages delays an answer. Short texts have their
# own worker, so that they need not wait for long ones.
_short: Final = thread_limiter("understudy.content.texts.short", 1)
_long: Final = thread_limiter("understudy.content.texts.long", 1)
_others: Final = thread_limiter("understudy.content.texts", THREADS)


def weigh_text(text: str) -> int:
    """Estimate the cost of filtering a text, in ASCII characters."""
    return len(text) if text.isascii() else FOREIGN * len(text)


async def sanitize_text(
    text: str, sanitizer: Sanitizer, placeholders: Placeholders | None = None, *, longest_s: float = LONGEST_S
) -> Sanitized:
    """Sanitize a text before it is stored.

    Raises:
        CommandRejected: `message_too_large`: it takes more than `longest_s` seconds. `busy`: no worker was free in
            time.
    """
    if weigh_text(text) <= INLINE:
        return sanitizer.sanitize(text, placeholders)
    limiter = (_short if len(text) <= PIECE else _long)()
    with trio.move_on_after(WAIT_S) as waited:
        found = await trio.to_thread.run_sync(
            _in_pieces, text, sanitizer, placeholders, longest_s, abandon_on_cancel=True, limiter=limiter
        )
    if waited.cancelled_caught:
        raise CommandRejected("busy", "Many long messages are being looked through; try again in a moment.", 5.0)
    if found is None:
        raise CommandRejected("message_too_large", "That takes too long to look through; send it in shorter messages.")
    return found


async def run_off_loop(work: Callable[[*Ts], T], *args: *Ts) -> T:
    """Do pure work on texts in a worker thread, once one is free. If cancelled, do not wait for the thread's end."""
    return await trio.to_thread.run_sync(work, *args, abandon_on_cancel=True, limiter=_others())


def _in_pieces(
    text: str, sanitizer: Sanitizer, placeholders: Placeholders | None, longest_s: float
) -> Sanitized | None:
    """Sanitize a text piece by piece; None if it takes too long.

    One call for a long text would hold the interpreter's lock, and with it the loop, to its end.
    """
    stream, end = sanitizer.stream(placeholders), time.monotonic() + longest_s
    out: list[str] = []
    for start in range(0, len(text), PIECE):
        out.append(stream.feed(text[start : start + PIECE]))
        if time.monotonic() > end:
            return None
    out.append(stream.flush())
    return stream.result("".join(out))
