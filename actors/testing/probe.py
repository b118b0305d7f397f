"""An actor a test can look through: it keeps what it is told until the test asks for it."""

from __future__ import annotations

from collections import deque
from typing import TypeVar

import trio
from attrs import define, frozen

from actors.actor import Actor, Context
from actors.ask import Ask
from actors.ref import ActorRef
from actors.spec import ChildSpec, Restart
from actors.system import ActorSystem
from actors.watch import Terminated

T = TypeVar("T")


@define
class ProbeFailure(AssertionError):
    """What a probe expected did not come, or something came that should not have."""

    problem: str

    def __str__(self) -> str:
        return self.problem


@frozen
class _Watch(Ask[None]):
    ref: ActorRef


class _Ear(Actor):
    def __init__(self, probe: Probe) -> None:
        self.probe = probe

    async def receive(self, message: object, context: Context) -> None:
        match message:
            case _Watch(ref) as ask:
                context.watch(ref)
                ask.reply(None)
            case _:
                self.probe.heard(message)


class Probe:
    """Open one with `await Probe.open(system)`, give `probe.ref` to the actors under test, and expect things.

    All waits are on trio's clock: under an autojump clock they take no time.
    """

    def __init__(self) -> None:
        self._messages: deque[object] = deque()
        self._news = trio.Event()
        self.ref: ActorRef

    @classmethod
    async def open(cls, system: ActorSystem, name: str = "probe") -> Probe:
        """Start a probe as a child of the root; raises what `ActorSystem.spawn` raises."""
        probe = cls()
        probe.ref = await system.spawn(ChildSpec(name, lambda: _Ear(probe), restart=Restart.TEMPORARY))
        return probe

    def heard(self, message: object) -> None:
        """Keep a message and wake who waits for one."""
        self._messages.append(message)
        self._news.set()
        self._news = trio.Event()

    async def expect(self, kind: type[T], timeout_s: float = 5.0) -> T:
        """Return the next message, which must be a `kind`; raise `ProbeFailure` if it is not, or none comes."""
        message = await self._next(timeout_s)
        if message is None:
            raise ProbeFailure(f"no {kind.__name__} within {timeout_s:g} s")
        if not isinstance(message[0], kind):
            raise ProbeFailure(f"expected {kind.__name__}, got {message[0]!r}")
        return message[0]

    async def fish(self, kind: type[T], timeout_s: float = 5.0) -> T:
        """Return the next message that is a `kind`, letting others go by; raise `ProbeFailure` if none comes."""
        with trio.move_on_after(timeout_s):
            while True:
                message = await self._next(timeout_s)
                if message is not None and isinstance(message[0], kind):
                    return message[0]
        raise ProbeFailure(f"no {kind.__name__} within {timeout_s:g} s")

    async def expect_none(self, within_s: float = 1.0) -> None:
        """Raise `ProbeFailure` if any message comes within that time."""
        message = await self._next(within_s)
        if message is not None:
            raise ProbeFailure(f"expected nothing, got {message[0]!r}")

    async def watch(self, ref: ActorRef) -> None:
        """Watch an actor: its `Terminated` will be heard."""
        await self.ref.ask(_Watch(ref))

    async def expect_end(self, ref: ActorRef, timeout_s: float = 5.0) -> Terminated:
        """Return the notice that a watched actor ended; raise `ProbeFailure` for anything else."""
        notice = await self.expect(Terminated, timeout_s)
        if notice.ref is not ref:
            raise ProbeFailure(f"expected the end of {ref.path}, got that of {notice.ref.path}")
        return notice

    async def _next(self, timeout_s: float) -> tuple[object] | None:
        with trio.move_on_after(timeout_s):
            while not self._messages:
                await self._news.wait()
        return (self._messages.popleft(),) if self._messages else None
