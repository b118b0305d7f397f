"""Worker threads of their own for each kind of work, so that none of one kind keeps another waiting."""

from collections.abc import Callable

import trio


def thread_limiter(name: str, threads: int) -> Callable[[], trio.CapacityLimiter]:
    """The limiter of one kind of work: `threads` at a time, in each run of trio; made when it is first asked for.

    `name` shows in representations only.
    """
    kept: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar(name)

    def limiter() -> trio.CapacityLimiter:
        try:
            return kept.get()
        except LookupError:
            made = trio.CapacityLimiter(threads)
            kept.set(made)
            return made

    return limiter
