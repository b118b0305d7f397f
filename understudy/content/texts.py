"""What a user wrote, without what must not be stored."""

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
"""Characters sanitized on the spot; longer texts go to a worker thread, so that no step holds the loop.

As measured, 1,000 characters take 30 µs where nothing opens a gate, and one millisecond where everything does."""
FOREIGN: Final = 4
"""A character that is not ASCII counts as so many: one that hides, in a text of nothing else, takes as long."""
PIECE: Final = 16 * 1024
"""Characters that the thread looks at between two moments in which others may run."""
LONGEST_S: Final = 4.0
"""Longest time for one text; what takes longer is refused before anything is stored."""
WAIT_S: Final = 8.0
"""Longest time until it is its turn and done."""
THREADS: Final = 2
"""Calls of `run_off_loop` at a time; more wait in order of arrival."""

# Not those in which answers are rendered: no flood of messages keeps an answer waiting. And one for short texts apart
# from one for long ones, so that a word need not wait for a book.
_short: Final = thread_limiter("understudy.content.texts.short", 1)
_long: Final = thread_limiter("understudy.content.texts.long", 1)
_others: Final = thread_limiter("understudy.content.texts", THREADS)


def weigh_text(text: str) -> int:
    """How long it may take to look through a text, in characters of ASCII."""
    return len(text) if text.isascii() else FOREIGN * len(text)


async def sanitize_text(
    text: str, sanitizer: Sanitizer, placeholders: Placeholders | None = None, *, longest_s: float = LONGEST_S
) -> Sanitized:
    """Take out of a text what must not be stored; the findings say what that was.

    Raises:
        CommandRejected: `message_too_large`: it takes more than `longest_s` seconds. `busy`: its turn does not come.
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
    """As `scrub`, which is what a stream makes of a text however it is cut; None when it takes too long.

    One call on a long text would keep the interpreter's lock, and with it the loop, to its end.
    """
    stream, end = sanitizer.stream(placeholders), time.monotonic() + longest_s
    out: list[str] = []
    for start in range(0, len(text), PIECE):
        out.append(stream.feed(text[start : start + PIECE]))
        if time.monotonic() > end:
            return None
    out.append(stream.flush())
    return stream.result("".join(out))
