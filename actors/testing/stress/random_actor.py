"""The actor of the random trees: obeys commands, misbehaves by its traits, and records both."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import trio

from actors.actor import Actor, Context
from actors.errors import ActorError, Ignore
from actors.exit_reasons import Exit
from actors.mailbox import MailboxSpec
from actors.spec import ChildSpec, Supervision
from actors.stash import Stash
from actors.testing.stress.commands import (
    SHUT,
    Background,
    Echo,
    Hang,
    NeverAnswer,
    Relay,
    SetTimer,
    Shut,
    Slow,
    Spawn,
    StopSelf,
    Unwatch,
    WatchActor,
)
from actors.testing.stress.lifetime import Crash, Lifetime, Tick, TrackedMessage
from actors.testing.stress.plan import Traits
from actors.testing.stress.trace import RoundTrace
from actors.watch import Restarted, Terminated


def spec_of(traits: Traits, ledger: RoundTrace) -> ChildSpec:
    """Return the spec of an actor with these traits."""
    return ChildSpec(
        id=traits.id,
        factory=partial(RandomActor, traits, ledger),
        restart=traits.restart,
        shutdown_s=traits.shutdown_s,
        start_timeout_s=traits.start_timeout_s,
        backoff=traits.backoff,
        significant=traits.significant,
        directives=traits.directives,
        redeliver=traits.redeliver,
    )


class RandomActor(Actor):
    """One actor of a random tree."""

    def __init__(self, traits: Traits, ledger: RoundTrace) -> None:
        self.traits: Traits = traits
        self.ledger: RoundTrace = ledger
        self.kept: list[NeverAnswer] = []
        self.shut: bool = False
        self.stash: Stash
        self.supervision: Supervision | None = traits.supervision
        if traits.mailbox is not None:
            self.mailbox: MailboxSpec = traits.mailbox
        if not ledger.calm and ledger.random.random() < traits.flaky / 2:
            raise OSError("the factory fails")
        self.life: Lifetime = ledger.made(traits)

    async def on_start(self, context: Context) -> None:
        """Start well, late, never or not at all."""
        self.ledger.start_hook_began(self.life, context)
        if not self.ledger.calm:
            await self._start_badly()
        self.life.running = True

    async def _start_badly(self) -> None:
        traits, random = self.traits, self.ledger.random
        if random.random() < traits.flaky / 2:
            raise OSError("the start fails")
        if random.random() < traits.declines:
            raise Ignore
        if random.random() < traits.sticky:
            await self.ledger.calmed.wait()
        await trio.sleep(traits.slow_start_s)

    def static_children(self) -> Iterable[ChildSpec]:
        """Return the specs of its children in the plan."""
        return [spec_of(child, self.ledger) for child in self.traits.children]

    async def receive(self, message: object, context: Context) -> None:
        """Record the message and handle it."""
        life = self.life
        self.ledger.message_taken(life, message)
        life.busy = True
        try:
            await self._act(message, context)
        finally:
            life.busy = False

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """End well, late or badly."""
        ledger, traits = self.ledger, self.traits
        ledger.stop_hook_began(self.life, reason)
        try:
            if not ledger.calm:
                if traits.slow_stop_s:
                    await trio.sleep(traits.slow_stop_s)
                if ledger.random.random() < traits.broken_stop:
                    raise RuntimeError("the stop hook fails")
        finally:
            ledger.stop_hook_ended(self.life)

    async def _act(self, message: object, context: Context) -> None:
        match message:
            case TrackedMessage() | Echo() if self.shut:
                self.stash.stash(message)
            case TrackedMessage():
                self.ledger.note_handled(self.life, message)
            case Echo():
                await self._echo(message, context)
            case Crash():
                self.ledger.crash_handled(self.life, message)
                raise message.error
            case Tick():
                self.ledger.ticked(self.life, message)
                if message.key == SHUT:
                    self.shut = False
                    self.stash.unstash_all()
            case Terminated():
                self._hear_of_end(message, context)
            case Restarted():
                self.ledger.heard_restart(self.life, message)
            case Hang():
                await self.ledger.calmed.wait()
            case Slow(seconds):
                await trio.sleep(seconds)
            case NeverAnswer():
                self.kept.append(message)
            case _:
                await self._act_on_others(message, context)

    async def _act_on_others(self, message: object, context: Context) -> None:
        match message:
            case StopSelf():
                context.stop()
            case WatchActor(ref) if ref not in self.life.watched:
                self._watch(message, context)
            case Unwatch(ref, after_s):
                await trio.sleep(after_s)
                self.life.watched.pop(ref, None)
                self.life.restarts.pop(ref, None)
                context.unwatch(ref)
            case SetTimer(key, delay_s, after_s):
                await trio.sleep(after_s)
                self._set_timer(key, delay_s, context)
            case Shut(seconds):
                if not self.shut:
                    self.shut = True
                    self.stash = Stash(context)
                self._set_timer(SHUT, seconds, context)
            case Background(seconds, error):
                context.start_soon(self._in_background, seconds, error)
            case Spawn(traits):
                try:
                    await context.spawn(spec_of(traits, self.ledger))
                except ActorError:
                    return
            case Relay():
                await self._relay(message)

    def _set_timer(self, key: str, delay_s: float, context: Context) -> None:
        generation = self.life.ticks[key] = next(self.ledger.numbers)
        context.set_timer(key, delay_s, Tick(self.life, key, generation))

    def _watch(self, watch: WatchActor, context: Context) -> None:
        life, ref = self.life, watch.ref
        life.watched[ref] = 0
        if watch.vital:
            life.vital[ref] = None
        if watch.restarts:
            life.restarts[ref] = 0
            life.since[ref] = ref._cell.incarnations
        if watch.urgent:
            life.urgent.add(ref)
        context.watch(ref, vital=watch.vital, restarts=watch.restarts, urgent=watch.urgent)

    def _hear_of_end(self, notice: Terminated, context: Context) -> None:
        self.ledger.noticed(self.life, notice)
        if notice.ref in self.life.vital:
            if self.ledger.random.random() < 0.5:
                context.outlive(notice.ref)
            else:
                self.life.doomed = f"it cannot live without {notice.ref.path}"

    async def _relay(self, message: Relay) -> None:
        to, rest = message.to[0], message.to[1:]
        request = Relay(message.value, rest) if rest else Echo(message.value, 0.1)
        try:
            message.reply(await to.ask(request, timeout_s=1.0))
        except ActorError as error:
            message.fail(error)
        finally:
            self.ledger.abandoned[request] = trio.current_time()

    async def _echo(self, message: Echo, context: Context) -> None:
        if message.own_task:
            context.start_soon(self._answer_later, message)
            return
        if message.after_s:
            await self._take_time(message)
        message.reply(message.value)

    async def _take_time(self, message: Echo) -> None:
        try:
            await trio.sleep(message.after_s)
        except trio.Cancelled:
            if message.must_finish:
                self.life.doomed = "a request that must finish was cut off"
            raise
        ended_at_s = self.ledger.abandoned.get(message, trio.current_time())
        if ended_at_s < trio.current_time() and not message.must_finish:
            self.ledger.violation(f"{self.life.path}: went on with a request whose caller left at {ended_at_s:g} s")

    async def _answer_later(self, message: Echo) -> None:
        self.life.tasks += 1
        try:
            await trio.sleep(message.after_s)
            message.reply(message.value)
        finally:
            self.life.tasks -= 1

    async def _in_background(self, seconds: float, error: Exception | None) -> None:
        self.life.tasks += 1
        try:
            await trio.sleep(seconds)
            if error is not None:
                raise error
        finally:
            self.life.tasks -= 1
