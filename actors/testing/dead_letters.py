"""A probe for dead letters."""

from __future__ import annotations

from types import TracebackType

from actors.events import DeadLetter
from actors.ref import ActorRef
from actors.system import ActorSystem
from actors.testing.capture import Capture, ProbeFailure
from actors.testing.paths import fits, path_of


class DeadLetterProbe(Capture[DeadLetter]):
    """Collects the dead letters of a system from now until `close`, or the end of a `with` block."""

    def __init__(self, system: ActorSystem) -> None:
        super().__init__()
        self._end = system.dead_letters.subscribe(self.heard)

    def __enter__(self) -> DeadLetterProbe:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop collecting."""
        self._end()

    async def expect_lost(
        self,
        kind: type[object] = object,
        timeout_s: float | None = None,
        *,
        to: ActorRef | str = "*",
        why: str | None = None,
    ) -> DeadLetter:
        """Return the next letter, which must hold a message of this type `to` this actor, lost for this reason.

        `to` is a reference or a path, in which `*` matches anything; `why` as in `DeadLetter`. Raises
        `ProbeFailure` for another letter, or if none comes within `timeout_s` seconds.
        """
        letter = await self.expect(DeadLetter, timeout_s)
        if isinstance(letter.message, kind) and fits(letter.path, to) and why in (None, letter.why):
            return letter
        raise ProbeFailure(f"expected a lost {kind.__name__} to {path_of(to)} ({why or 'whyever'}), got {letter!r}")
