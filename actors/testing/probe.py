"""Probes: they keep messages, dead letters or events in order until a test expects them.

1. Each item can be expected once; `seen` keeps all of them for reading.
2. Every wait ends: after its own timeout, or with the deadline that `within` shares, whichever is sooner.
3. An expectation that failed names the wanted item and the item that came.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Generic, TypeVar

import trio
from attrs import define, frozen

from actors.actor import Actor, Context
from actors.ask import Ask
from actors.events import ActorCrashed, DeadLetter, Event
from actors.exit_reasons import Crashed
from actors.ref import ActorRef
from actors.spec import ChildSpec, Restart
from actors.system import ActorSystem
from actors.testing.paths import fits, path_of
from actors.watch import Restarted, Terminated

T = TypeVar("T")
K = TypeVar("K")
L = TypeVar("L", bound="_Listener[Any]")

EXPECT_TIMEOUT_S = 5.0
"""Default timeout of an expectation in seconds, that of an `ask`. It then raises `ProbeFailure`."""


@define
class ProbeFailure(AssertionError):
    """An expected item did not come, or an unexpected one came."""

    problem: str

    def __str__(self) -> str:
        return self.problem


class Capture(Generic[T]):
    """Received items, and expectations about them. All waits are on trio's clock."""

    def __init__(self) -> None:
        self._waiting: deque[T] = deque()
        self._seen: list[T] = []
        self._arrived = trio.Event()
        self._deadline = math.inf
        self._ignored: tuple[type[Any], ...] = ()
        self.last: T | None = None
        """The item that the last expectation returned."""

    @property
    def seen(self) -> tuple[T, ...]:
        """All items ever received, including ignored ones, the oldest first."""
        return tuple(self._seen)

    @property
    def waiting(self) -> tuple[T, ...]:
        """The items that were not expected yet."""
        return tuple(self._waiting)

    def heard(self, item: T) -> None:
        """Add one item, and wake the task that waits for it."""
        self._seen.append(item)
        if not isinstance(item, self._ignored):
            self._waiting.append(item)
        self._arrived.set()
        self._arrived = trio.Event()

    def ignore(self, *kinds: type[Any]) -> None:
        """Ignore items of these types from now on: no expectation gets them."""
        self._ignored += kinds

    def clear(self) -> None:
        """Drop the waiting items; `seen` keeps them."""
        self._waiting.clear()

    async def expect(
        self, kind: type[K], timeout_s: float | None = None, *, where: Callable[[K], bool] | None = None
    ) -> K:
        """Return the next item, which must be a `kind` for which `where` is true.

        Waits `timeout_s` seconds: by default what is left of `within`, else 5. Raises `ProbeFailure` if none
        or another one comes.
        """
        item = await self._next(kind.__name__, timeout_s)
        if not isinstance(item, kind):
            raise ProbeFailure(f"expected {kind.__name__}, got {item!r}")
        if where is not None and not where(item):
            raise ProbeFailure(f"expected another {kind.__name__}, got {item!r}")
        return item

    async def expect_equal(self, value: K, timeout_s: float | None = None) -> K:
        """Return the next item, which must equal `value`. Raises `ProbeFailure` if none or another one comes."""
        item: Any = await self._next(repr(value), timeout_s)
        if item != value:
            raise ProbeFailure(f"expected {value!r}, got {item!r}")
        equal: K = item
        return equal

    async def expect_all(self, *wanted: object, timeout_s: float | None = None) -> list[Any]:
        """Return the next items, one for each of `wanted`, in that order, whatever order they came in.

        A type matches its instances, any other value an equal item. The timeout is for all of them together. Raises
        `ProbeFailure` if an item matches none of `wanted`, or too few come.
        """
        items: list[T] = []
        with self.within(self._time_left(timeout_s)):
            for _ in wanted:
                items.append(await self._next(f"all of {_names(wanted)} (got {items!r})", None))
                if not any(_fits(item, items[-1]) for item in wanted):
                    raise ProbeFailure(f"expected one of {_names(wanted)}, got {items[-1]!r}")
        order = _assign(wanted, items)
        if order is None:
            raise ProbeFailure(f"expected {_names(wanted)} in any order, got {items!r}")
        return order

    async def fish(
        self, kind: type[K], timeout_s: float | None = None, *, where: Callable[[K], bool] | None = None
    ) -> K:
        """Return the next item that is a `kind` for which `where` is true, skipping others.

        Raises `ProbeFailure` if none comes in time.
        """
        with self.within(self._time_left(timeout_s)):
            while True:
                item = await self._next(kind.__name__, None)
                if isinstance(item, kind) and (where is None or where(item)):
                    return item

    async def take(self, count: int, timeout_s: float | None = None) -> list[T]:
        """Return the next `count` items of any type. Raises `ProbeFailure` if fewer come in time."""
        items: list[T] = []
        with self.within(self._time_left(timeout_s)):
            for _ in range(count):
                items.append(await self._next(f"{count} things ({len(items)} came)", None))
        return items

    async def expect_none(self, within_s: float = 1.0) -> None:
        """Raise `ProbeFailure` if an item waits already, or comes within `within_s` seconds."""
        if await self._something(min(within_s, max(0.0, self._deadline - trio.current_time()))):
            raise ProbeFailure(f"expected nothing, got {self._pop()!r}")

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Give all expectations in the block one common deadline; of nested blocks the earlier one counts.

        Raises `ProbeFailure` if the block takes longer.
        """
        outer, end = self._deadline, trio.current_time() + seconds
        self._deadline = min(outer, end)
        try:
            yield
        finally:
            self._deadline = outer
        if trio.current_time() > end:
            raise ProbeFailure(f"the block took longer than {seconds:g} s")

    async def _next(self, wanted: str, timeout_s: float | None) -> T:
        left_s = self._time_left(timeout_s)
        if not await self._something(left_s):
            raise ProbeFailure(f"no {wanted} within {left_s:g} s")
        return self._pop()

    async def _something(self, timeout_s: float) -> bool:
        with trio.move_on_after(timeout_s):
            while not self._waiting:
                await self._arrived.wait()
        return bool(self._waiting)

    def _pop(self) -> T:
        self.last = item = self._waiting.popleft()
        return item

    def _time_left(self, timeout_s: float | None) -> float:
        shared_s = self._deadline - trio.current_time()
        if timeout_s is None:
            timeout_s = EXPECT_TIMEOUT_S if shared_s == math.inf else shared_s
        return max(0.0, min(timeout_s, shared_s))


def _fits(wanted: object, item: object) -> bool:
    return isinstance(item, wanted) if isinstance(wanted, type) else bool(item == wanted)


def _assign(wanted: Sequence[object], items: Sequence[Any]) -> list[Any] | None:
    """Return one of `got` for each of `wanted`, or None if that is impossible."""
    if not wanted:
        return []
    for index, item in enumerate(items):
        if _fits(wanted[0], item):
            others = _assign(wanted[1:], [*items[:index], *items[index + 1 :]])
            if others is not None:
                return [item, *others]
    return None


def _names(wanted: Sequence[object]) -> str:
    return ", ".join(item.__name__ if isinstance(item, type) else repr(item) for item in wanted)


class _Listener(Capture[T], ABC):
    """Collects the reports of a system, from `open` until `close`, or the end of a `with` block."""

    def __init__(self) -> None:
        super().__init__()
        self._end: Callable[[], None] | None = None

    @classmethod
    async def open(cls: type[L], system: ActorSystem) -> L:
        """Begin to collect the reports of this system."""
        await trio.lowlevel.checkpoint()
        probe = cls()
        probe._end = probe._listen(system)
        return probe

    @abstractmethod
    def _listen(self, system: ActorSystem) -> Callable[[], None]:
        """Subscribe to the system. Return the function that unsubscribes."""

    def __enter__(self: L) -> L:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop collecting."""
        if self._end is not None:
            self._end()


class DeadLetterProbe(_Listener[DeadLetter]):
    """Collects the dead letters of a system: `with await DeadLetterProbe.open(system) as letters`."""

    def _listen(self, system: ActorSystem) -> Callable[[], None]:
        return system.dead_letters.subscribe(self.heard)

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


class EventProbe(_Listener[Event]):
    """Collects every event of a system: `with await EventProbe.open(system) as log`.

    Instead of opening a probe, its method `heard` can be a listener, as in `ActorSystem(on_event=probe.heard)`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._expected: list[ActorCrashed] = []
        self._allowed: tuple[type[Exception], ...] = ()

    def _listen(self, system: ActorSystem) -> Callable[[], None]:
        return system.listen(self.heard)

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
            if not _is(crash, self._allowed) and not any(crash is expected for expected in self._expected)
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
                    if any(crash is expected for expected in self._expected):
                        continue
                    if fits(crash.path, target) and _is(crash, error):
                        self._expected.append(crash)
                        return crash
                await self._arrived.wait()
        raise ProbeFailure(f"no crash of {path_of(target)} by {error.__name__} within {left_s:g} s")

    async def expect_no_crash(self, within_s: float = 0.0) -> None:
        """Raise `ProbeFailure` if there is an unexpected crash, or if one comes within `within_s` seconds."""
        if not self.unexpected and within_s > 0:
            with trio.move_on_after(within_s):
                while not self.unexpected:
                    await self._arrived.wait()
        if self.unexpected:
            raise ProbeFailure("expected no crash, got " + "; ".join(describe(crash) for crash in self.unexpected))


def describe(crash: ActorCrashed) -> str:
    """Return one line about a crash, then its traceback."""
    return f"{crash.path} {crash.reason} at {crash.message_type or 'no message'}\n{crash.traceback}"


def _is(crash: ActorCrashed, error: type[Exception] | tuple[type[Exception], ...]) -> bool:
    return isinstance(crash.reason, Crashed) and isinstance(crash.reason.error, error)


@frozen
class _Watch(Ask[None]):
    ref: ActorRef
    restarts: bool


@frozen
class _Unwatch(Ask[None]):
    ref: ActorRef


class _ProbeActor(Actor):
    def __init__(self, probe: Probe) -> None:
        self.probe = probe

    async def receive(self, message: object, context: Context) -> None:
        match message:
            case _Watch(ref, restarts) as ask:
                context.watch(ref, restarts=restarts)
                ask.reply(None)
            case _Unwatch(ref) as ask:
                context.unwatch(ref)
                ask.reply(None)
            case _:
                self.probe.heard(message)


class Probe(Capture[object]):
    """Open one with `await Probe.open(system)`, give `probe.ref` to the actors under test, and expect things.

    All waits are on trio's clock: in virtual time they take no time.
    """

    def __init__(self) -> None:
        super().__init__()
        self._answers: list[tuple[type[Ask[Any]], Callable[[Any], Any]]] = []
        self.ref: ActorRef
        """The probe as an actor."""

    @classmethod
    async def open(cls, system: ActorSystem, name: str = "probe") -> Probe:
        """Start a probe as a child of the root. Raises the errors of `ActorSystem.spawn`."""
        probe = cls()
        probe.ref = await system.spawn(ChildSpec(name, lambda: _ProbeActor(probe), restart=Restart.TEMPORARY))
        return probe

    def heard(self, item: object) -> None:
        """Keep a message, answer it if `answer` was set for its type, and wake the task that waits for it."""
        super().heard(item)
        for kind, answer in self._answers:
            if isinstance(item, kind):
                try:
                    item.reply(answer(item))
                except Exception as error:
                    item.fail(error)
                return

    def answer(self, kind: type[Ask[T]], answer: Callable[[Any], T]) -> None:
        """Answer each request of that kind from now on with `answer(request)`, or with the error it raises.

        The request can be expected all the same.
        """
        self._answers.insert(0, (kind, answer))

    def reply(self, value: object) -> None:
        """Answer the request that was expected last; raise `ProbeFailure` unless its caller still waits."""
        self._captured().reply(value)

    def fail(self, error: Exception) -> None:
        """Let the request that was expected last fail; raise `ProbeFailure` unless its caller still waits."""
        self._captured().fail(error)

    async def watch(self, ref: ActorRef, *, restarts: bool = False) -> None:
        """Watch an actor: its `Terminated` will be heard and, with `restarts`, each `Restarted`."""
        await self.ref.ask(_Watch(ref, restarts))

    async def unwatch(self, ref: ActorRef) -> None:
        """Stop watching an actor."""
        await self.ref.ask(_Unwatch(ref))

    async def expect_end(self, ref: ActorRef, timeout_s: float | None = None) -> Terminated:
        """Return the notice that a watched actor ended; raise `ProbeFailure` for anything else."""
        notice = await self.expect(Terminated, timeout_s)
        if notice.ref is not ref:
            raise ProbeFailure(f"expected the end of {ref.path}, got that of {notice.ref.path}")
        return notice

    async def expect_restarted(self, ref: ActorRef, timeout_s: float | None = None) -> Restarted:
        """Return the notice that an actor watched with `restarts` has a new incarnation; or raise `ProbeFailure`."""
        notice = await self.expect(Restarted, timeout_s)
        if notice.ref is not ref:
            raise ProbeFailure(f"expected a restart of {ref.path}, got one of {notice.ref.path}")
        return notice

    def _captured(self) -> Ask[Any]:
        if not isinstance(self.last, Ask):
            raise ProbeFailure(f"the last message expected was no request: {self.last!r}")
        if not self.last.waiting:
            raise ProbeFailure(f"no caller waits for an answer to {self.last!r}")
        return self.last
