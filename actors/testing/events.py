"""A probe for the events of a system, above all crashes."""

from __future__ import annotations

from types import TracebackType

import trio

from actors.events import ActorCrashed, Event
from actors.exit_reasons import Crashed
from actors.ref import ActorRef
from actors.system import ActorSystem
from actors.testing.capture import Capture, ProbeFailure
from actors.testing.paths import fits, path_of


class EventProbe(Capture[Event]):
    """Collects every event of a system from now until `close`, or the end of a `with` block.

    Without a system, pass `probe.heard` as a listener, as to `ActorSystem(on_event=...)`.
    """

    def __init__(self, system: ActorSystem | None = None) -> None:
        super().__init__()
        self._end = None if system is None else system.listen(self.heard)
        self._expected: list[ActorCrashed] = []
        self._allowed: tuple[type[Exception], ...] = ()

    def __enter__(self) -> EventProbe:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop collecting."""
        if self._end is not None:
            self._end()

    @property
    def crashes(self) -> list[ActorCrashed]:
        """The events of errors that ended an incarnation or were resumed from; kills are not among them."""
        return [event for event in self._seen if isinstance(event, ActorCrashed) and isinstance(event.reason, Crashed)]

    @property
    def unexpected(self) -> list[ActorCrashed]:
        """The crashes that no `expect_crash` returned and no `allow` allows."""
        return [
            crash
            for crash in self.crashes
            if not _is(crash, self._allowed) and not any(crash is known for known in self._expected)
        ]

    def allow(self, error: type[Exception] | tuple[type[Exception], ...]) -> None:
        """Expect crashes by such an error, past and future."""
        self._allowed += error if isinstance(error, tuple) else (error,)

    async def expect_crash(
        self, target: ActorRef | str, error: type[Exception] = Exception, timeout_s: float | None = None
    ) -> ActorCrashed:
        """Return the first crash of this actor by such an error that was not returned before.

        It may have happened already. `target` is a reference or a path, in which `*` matches anything. Raises
        `ProbeFailure` if none comes within `timeout_s` seconds, by default what is left of `within`, else 5.
        """
        left_s = self._time_left(timeout_s)
        with trio.move_on_after(left_s):
            while True:
                for crash in self.crashes:
                    if any(crash is known for known in self._expected):
                        continue
                    if fits(crash.path, target) and _is(crash, error):
                        self._expected.append(crash)
                        return crash
                await self._news.wait()
        raise ProbeFailure(f"no crash of {path_of(target)} by {error.__name__} within {left_s:g} s")

    async def expect_no_crash(self, within_s: float = 0.0) -> None:
        """Raise `ProbeFailure` if anything crashed that no `expect_crash` returned, or does within that time."""
        if not self.unexpected and within_s > 0:
            with trio.move_on_after(within_s):
                while not self.unexpected:
                    await self._news.wait()
        if self.unexpected:
            raise ProbeFailure("expected no crash, got " + "; ".join(describe(crash) for crash in self.unexpected))


def describe(crash: ActorCrashed) -> str:
    """Return one line about a crash, then its traceback."""
    return f"{crash.path} {crash.reason} at {crash.message_type or 'no message'}\n{crash.traceback}"


def _is(crash: ActorCrashed, error: type[Exception] | tuple[type[Exception], ...]) -> bool:
    return isinstance(crash.reason, Crashed) and isinstance(crash.reason.error, error)
