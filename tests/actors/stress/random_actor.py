"""The actor of the random trees: it obeys messages, misbehaves by its traits, and has the ledger record both."""

import math
from functools import partial
from typing import ClassVar

import trio
from attrs import frozen

from actors.actor import Actor
from actors.ask import Ask
from actors.errors import ActorError, Ignore
from actors.lanes import Lane
from actors.ref import ActorRef
from actors.stash import Stash
from actors.watch import Restarted, Terminated

SHUT = "shut"
"""The key of the timer that ends `RandomActor.shut_for`."""


@frozen
class Note:
    """A message whose fate is followed: it is handled once, becomes one dead letter, or was refused."""

    number: int
    to: ActorRef | None
    """None for any worker of the pool."""
    lane: Lane


@frozen
class Crash:
    """A message that is handled by raising `error`, each time; its fate is followed too."""

    number: int
    error: Exception


@frozen
class Tick:
    """What a timer brings: to the incarnation that set it, and only if it was not set again."""

    actor: Actor
    key: str
    generation: int


@frozen(eq=False)
class Echo(Ask[int]):
    """Answer with the value after this time: from the handler, or from a task of its own."""

    value: int
    after_s: float = 0.0
    own_task: bool = False


@frozen(eq=False)
class MustFinishEcho(Echo):
    """An `Echo` that must be handled to its end, even if its caller leaves."""

    must_finish: ClassVar[bool] = True


@frozen(eq=False)
class Relay(Ask[int]):
    """Ask the first of these actors, which asks the next, and answer with its answer; the last one just answers."""

    value: int
    to: tuple[ActorRef, ...]


@frozen(eq=False)
class NeverAnswer(Ask[int]):
    """Keep it, and never answer."""

    value: int = 0


class RandomActor(Actor):
    """One incarnation of an actor of a random tree. A message may be a method with its arguments, but the context."""

    def __init__(self, traits, ledger):
        self.traits, self.ledger, self.random = traits, ledger, ledger.random
        self.supervision = traits.supervision
        if traits.mailbox is not None:
            self.mailbox = traits.mailbox
        if not ledger.calm and self.random.random() < traits.flaky / 2:
            raise OSError("the factory fails")
        self.path, self.ref, self.incarnation = "", None, 0
        self.running = self.busy = self.over = self.shut = False
        self.stops = self.tasks = 0
        """How often the stop hook began, and how many own tasks run."""
        self.killed_at_s = math.inf
        """When it was known, if ever, that it has no time left for its stop hook."""
        self.ends_as = self.ended_as = -1
        """Numbers that order the beginnings and ends of all stop hooks."""
        self.ticks = {}
        """The timers in force: key to generation."""
        self.watched, self.vital, self.urgent = {}, {}, set()
        """Whom it watches, with the notices it got; without whom it cannot live; of whom it hears before all lanes."""
        self.restarts, self.since = {}, {}
        """Of whose restarts it hears, with the last incarnation it heard of, and with that when it began to."""
        self.restarted_at = []
        """When it restarted children, as far as that matters for its intensity."""
        self.doomed = ""
        """Why it must not get another message."""
        self.kept = []
        ledger.actors.append(self)

    async def on_start(self, context):
        self.ledger.start_hook_began(self, context)
        if not self.ledger.calm:
            if self.random.random() < self.traits.flaky / 2:
                raise OSError("the start fails")
            if self.random.random() < self.traits.declines:
                raise Ignore
            if self.random.random() < self.traits.sticky:
                await self.hang(context)
            await trio.sleep(self.traits.slow_start_s)
        self.running = True

    def static_children(self):
        return [self.ledger.spec_of(child) for child in self.traits.children]

    async def receive(self, message, context):
        self.ledger.message_taken(self, message)
        self.busy = True
        try:
            await self.act(message, context)
        finally:
            self.busy = False

    async def on_stop(self, context, reason):
        self.ledger.stop_hook_began(self, reason)
        try:
            if not self.ledger.calm:
                if self.traits.slow_stop_s:
                    await trio.sleep(self.traits.slow_stop_s)
                if self.random.random() < self.traits.broken_stop:
                    raise RuntimeError("the stop hook fails")
        finally:
            self.ledger.stop_hook_ended(self)

    async def act(self, message, context):
        match message:
            case Note() | Echo() if self.shut:
                self.stash.stash(message)
            case Note():
                self.ledger.note_handled(self, message)
            case Echo(own_task=True):
                context.start_soon(self.answer_later, message)
            case Echo():
                if message.after_s:
                    await self.take_time(message)
                message.reply(message.value)
            case Crash():
                self.ledger.crash_handled(self, message)
                raise message.error
            case Tick():
                self.ledger.ticked(self, message)
                if message.key == SHUT:
                    self.shut = False
                    self.stash.unstash_all()
            case Terminated():
                self.hear_of_end(message, context)
            case Restarted():
                self.ledger.heard_restart(self, message)
            case Relay():
                await self.relay(message)
            case NeverAnswer():
                self.kept.append(message)
            case partial():
                await message(self, context)

    async def hang(self, context):
        await self.ledger.calmed.wait()

    async def slow(self, context, seconds):
        await trio.sleep(seconds)

    async def quit(self, context):
        context.stop()

    async def watch(self, context, ref, *, vital=False, restarts=False, urgent=False):
        if ref in self.watched:
            return
        self.watched[ref] = 0
        if vital:
            self.vital[ref] = None
        if restarts:
            self.restarts[ref], self.since[ref] = 0, ref._cell.history.incarnations
        if urgent:
            self.urgent.add(ref)
        context.watch(ref, vital=vital, restarts=restarts, urgent=urgent)

    async def unwatch(self, context, ref, after_s=0.0):
        await trio.sleep(after_s)
        self.watched.pop(ref, None)
        self.restarts.pop(ref, None)
        context.unwatch(ref)

    async def set_timer(self, context, key, delay_s, after_s=0.0):
        await trio.sleep(after_s)
        generation = self.ticks[key] = next(self.ledger.numbers)
        context.set_timer(key, delay_s, Tick(self, key, generation))

    async def shut_for(self, context, seconds):
        """Set notes and requests aside for this time."""
        if not self.shut:
            self.shut, self.stash = True, Stash(context)
        await self.set_timer(context, SHUT, seconds)

    async def spawn(self, context, traits):
        try:
            await context.spawn(self.ledger.spec_of(traits))
        except ActorError:
            return

    async def start_task(self, context, seconds, error):
        context.start_soon(self.in_background, seconds, error)

    async def in_background(self, seconds, error=None):
        self.tasks += 1
        try:
            await trio.sleep(seconds)
            if error is not None:
                raise error
        finally:
            self.tasks -= 1

    async def answer_later(self, request):
        await self.in_background(request.after_s)
        request.reply(request.value)

    async def take_time(self, request):
        try:
            await trio.sleep(request.after_s)
        except trio.Cancelled:
            if request.must_finish:
                self.doomed = "a request that must finish was cut off"
            raise
        left_at_s = self.ledger.abandoned.get(request, math.inf)
        if left_at_s < trio.current_time() and not request.must_finish:
            self.ledger.violation(f"{self.path}: went on with a request whose caller left at {left_at_s:g} s")

    async def relay(self, message):
        to, rest = message.to[0], message.to[1:]
        request = Relay(message.value, rest) if rest else Echo(message.value, 0.1)
        try:
            message.reply(await to.ask(request, timeout_s=1.0))
        except ActorError as error:
            message.fail(error)
        finally:
            self.ledger.abandoned[request] = trio.current_time()

    def hear_of_end(self, notice, context):
        self.ledger.noticed(self, notice)
        if notice.ref in self.vital:
            if self.random.random() < 0.5:
                context.outlive(notice.ref)
            else:
                self.doomed = f"it cannot live without {notice.ref.path}"
