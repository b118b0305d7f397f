"""One actor alone, without a tree and without a system: feed it messages, and read its effects as data.

1. The actor's code runs in the caller: its errors are raised there, and end the actor as they would an incarnation.
2. Nothing happens by itself: timers fire, children end and own tasks run when the test says so.
3. Every method has a twin `..._nowait` that needs no trio: it raises `WouldWait` if the actor waits for anything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Hashable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, TypeVar

import trio

from actors.actor import Actor
from actors.ask import ActorDied, Ask
from actors.errors import ActorError, DeathPact
from actors.exit_reasons import NORMAL, SHUTDOWN, Crashed, Exit
from actors.ref import ActorRef
from actors.system import ActorSystem
from actors.testing.effects import Effect, TimerSet
from actors.testing.fakes import FakeRef, RecordedCall, RecordedCell, RecordedContext, outcome
from actors.testing.probe import ProbeFailure
from actors.watch import Terminated

T = TypeVar("T")
E = TypeVar("E")

_NO_LOOP = "must be called from async context"
"""The text of trio's error when code waits outside of a trio run."""


class WouldWait(ActorError, trio.WouldBlock):
    """The actor waits for something, and the method that was called does not wait: use its twin without `_nowait`."""


class Recorder:
    """Runs `actor`, which must be fresh, at `path`.

    `effects` holds the actor's effects since the last `take_effects`. `answer` prepares answers to its requests.
    """

    def __init__(self, actor: Actor, path: str = "/system/recorded", *, incarnation: int = 1) -> None:
        self.actor: Actor = actor
        """The actor itself, for tests to read its state."""
        self.effects: list[Effect] = []
        """The effects so far, in order."""
        self.timers: dict[Hashable, TimerSet] = {}
        """The timers in force, by key."""
        self.watching: dict[ActorRef, bool] = {}
        """The watched actors, each with whether the watch is `vital`."""
        self.stopped: bool = False
        """Whether the actor is over, or will be after the current message."""
        self._lifespan: AbstractAsyncContextManager[object] = nullcontext()
        self.exit: Exit | None = None
        """The exit of the actor, once it is over."""
        self.system: ActorSystem = ActorSystem("recorded", on_event=_ignore)
        self.ref: FakeRef = FakeRef(self, path)
        """The actor's own reference."""
        self.parent: FakeRef = FakeRef(self, path.rpartition("/")[0] or "/")
        self.cell: RecordedCell = RecordedCell(path, self.system)
        self.context: RecordedContext = RecordedContext(self, incarnation)
        self.cell.incarnation.context = self.context
        self.changed: trio.Event = trio.Event()
        self._answers: list[tuple[type[Ask[Any]], Callable[[Any], Any]]] = []
        self._refusals: dict[str, Exception] = {}

    # Preparing

    def actor_at(self, path: str) -> FakeRef:
        """Return a fake reference for another actor, to hand to this one. The fake records its use."""
        return FakeRef(self, path)

    def answer(self, kind: type[Ask[T]], answer: Callable[[Any], T]) -> None:
        """Answer each request of that kind, whomever the actor asks, with `answer(request)` or the error it raises.

        A request without a prepared answer waits for its timeout, or until `request.reply` is called.
        """
        self._answers.insert(0, (kind, answer))

    def refuse(self, child_id: str, error: Exception) -> None:
        """Let the spawning of a child with this id raise `error`, as `StartFailed` of a child that fails to start."""
        self._refusals[child_id] = error

    # Reading

    def take_effects(self) -> list[Effect]:
        """Return the effects so far, and forget them."""
        taken, self.effects = self.effects, []
        return taken

    def effects_of(self, kind: type[E]) -> list[E]:
        """Return the effects of one kind so far."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    # Feeding

    async def start(self) -> None:
        """Enter the lifespan and run the start hook; then a supervisor's own children count as started."""
        lifespan = self.actor.lifespan(self.context)
        await self._run(lifespan.__aenter__())
        self._lifespan = lifespan
        await self._run(self.actor.on_start(self.context))
        if self.actor.supervision is not None:
            for spec in self.actor.static_children():
                await self.context.spawn(spec)

    async def receive(self, message: object) -> None:
        """Let the actor handle one message, then the messages that it unstashed.

        Raises the errors of the actor, and `ActorDied` when it is over.
        """
        self.check_alive()
        await self._handle(message)
        while not self.stopped and (entry := self.cell.next_redelivery()) is not None:
            await self._handle(entry.message)
        if self.stopped:
            self._over(NORMAL)

    async def ask(self, request: Ask[T]) -> T:
        """Let the actor handle a request; return its answer, or raise the error it answers with.

        Raises `ProbeFailure` when the actor has not answered at the end of its handler. A later answer is recorded as
        an effect.
        """
        call = RecordedCall(request, float("inf"), lambda *end: self.note(outcome(*end)))
        await self.receive(request)
        if not call.settled:
            raise ProbeFailure(f"{type(request).__name__} was not answered yet")
        answer: T = call.result()
        return answer

    async def idle(self) -> None:
        """Run the hook that comes after each batch of messages."""
        self.check_alive()
        await self._run(self.actor.on_idle(self.context))

    async def fire(self, key: Hashable) -> None:
        """Let the timer with this key fire; raises `ProbeFailure` when none is set. A repeated one stays set."""
        timer = self.timers.get(key)
        if timer is None:
            raise ProbeFailure(f"no timer {key!r} is set")
        if timer.every_s is None:
            del self.timers[key]
        await self.receive(timer.message)

    async def end(self, ref: ActorRef, reason: Exit = NORMAL) -> None:
        """Let another actor be dead: a child's name is free, and a watcher gets its notice.

        Raises `DeathPact` when the watch is `vital` and the actor does not call `outlive`.
        """
        if not isinstance(ref, FakeRef):
            raise TypeError(f"{ref!r} is no fake reference of this recorder")
        ref.end(reason)
        if ref in self.watching:
            notice = Terminated(ref, reason)
            await self.receive(notice)
            if self.watching.pop(ref, False):
                pact = DeathPact(self.ref.path, ref.path, str(reason))
                self._over(Crashed(pact))
                raise pact

    async def stop(self, reason: Exit = SHUTDOWN) -> None:
        """Run the stop hook, leave the lifespan, and be over. A crash is not raised at the lifespan's `yield`."""
        self.stopped = True
        self._over(self.exit or reason)
        await self.actor.on_stop(self.context, self.exit or reason)
        lifespan, self._lifespan = self._lifespan, nullcontext()
        await lifespan.__aexit__(None, None, None)

    def start_nowait(self) -> None:
        """`start` without waiting; raises `WouldWait`."""
        self._now(self.start())

    def receive_nowait(self, message: object) -> None:
        """`receive` without waiting; raises `WouldWait`."""
        self._now(self.receive(message))

    def ask_nowait(self, request: Ask[T]) -> T:
        """`ask` without waiting; raises `WouldWait`."""
        return self._now(self.ask(request))

    def idle_nowait(self) -> None:
        """`idle` without waiting; raises `WouldWait`."""
        self._now(self.idle())

    def fire_nowait(self, key: Hashable) -> None:
        """`fire` without waiting; raises `WouldWait`."""
        self._now(self.fire(key))

    def end_nowait(self, ref: ActorRef, reason: Exit = NORMAL) -> None:
        """`end` without waiting; raises `WouldWait`."""
        self._now(self.end(ref, reason))

    def stop_nowait(self, reason: Exit = SHUTDOWN) -> None:
        """`stop` without waiting; raises `WouldWait`."""
        self._now(self.stop(reason))

    # For the fakes

    def note(self, effect: Effect) -> None:
        """Record an effect."""
        self.effects.append(effect)

    def give_answer(self, request: Ask[Any]) -> None:
        """Answer a request of the actor, if an answer was prepared."""
        for kind, answer in self._answers:
            if isinstance(request, kind):
                try:
                    request.reply(answer(request))
                except Exception as error:
                    request.fail(error)
                return

    def check_spawn(self, child_id: str) -> None:
        """Raise the error that `refuse` prepared for this child, if any."""
        if child_id in self._refusals:
            raise self._refusals[child_id]

    def check_alive(self) -> None:
        """Raise `ActorDied` when the actor is over."""
        if self.exit is not None:
            raise ActorDied(self.ref.path, self.exit)

    def ended(self, ref: FakeRef) -> None:
        """Note that a fake reference is dead."""
        self.context.lose(ref)
        self.changed.set()
        self.changed = trio.Event()

    def _now(self, step: Coroutine[Any, Any, T]) -> T:
        try:
            step.send(None)
        except StopIteration as done:
            result: T = done.value
            return result
        except RuntimeError as error:
            if trio.lowlevel.in_trio_task() or str(error) != _NO_LOOP:
                raise
            self.exit = None
            self.cell.incarnation.context = self.context
        step.close()
        raise WouldWait("the actor waits for something")

    async def _handle(self, message: object) -> None:
        self.cell.inbox.current = message
        await self._run(self.actor.receive(message, self.context))
        self.cell.inbox.current = None

    async def _run(self, hook: Awaitable[object]) -> None:
        try:
            await hook
        except Exception as error:
            self._over(Crashed(error))
            raise

    def _over(self, reason: Exit) -> None:
        self.exit = self.cell.exit = reason
        self.cell.incarnation.context = None


def _ignore(_: object) -> None:
    """Ignore the events of a recorder's system."""
