"""A probe: an actor that keeps the messages it receives until the test expects them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from attrs import frozen

from actors.actor import Actor, Context
from actors.ask import Ask
from actors.ref import ActorRef
from actors.spec import ChildSpec, Restart
from actors.system import ActorSystem
from actors.testing.capture import Capture
from actors.testing.capture import ProbeFailure as ProbeFailure
from actors.watch import Restarted, Terminated

T = TypeVar("T")


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
        """Start a probe as a child of the root; raises what `ActorSystem.spawn` raises."""
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

        It can be expected all the same.
        """
        self._answers.insert(0, (kind, answer))

    def reply(self, value: object) -> None:
        """Answer the request that was expected last; raise `ProbeFailure` if that was none that waits."""
        self._captured().reply(value)

    def fail(self, error: Exception) -> None:
        """Let the request that was expected last fail; raise `ProbeFailure` if that was none that waits."""
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
            raise ProbeFailure(f"nobody waits for an answer to {self.last!r}")
        return self.last
