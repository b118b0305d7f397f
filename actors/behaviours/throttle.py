"""A throttle: a worker that starts its messages at a bounded rate, and queues the others.

1. The rate is stashed by delay, not by loss; a message without room in the bounded backlog is refused, and counted.
2. For each key, work starts in the order in which the messages came.
3. A waiting message is also in the actor's stash until its work starts: the next incarnation handles it before later
   ones; if the actor ends for good, it becomes a dead letter. A request goes on waiting, or fails.
4. `receive` never waits, and `on_idle` waits only to drain.
"""

from __future__ import annotations

import contextvars
import math
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from functools import partial
from typing import Any

import trio
from attrs import define, field, frozen

from actors.actor import Actor, Context
from actors.ask import Ask
from actors.errors import InvalidSpec, MailboxFull
from actors.events import DeadLetter
from actors.lanes import Overflow
from actors.lifecycle import StopMode
from actors.redelivery import StashEntry
from actors.stash import Stash

from .backlog import Backlog
from .bucket import Buckets
from .forwarding import scope_of

Work = Callable[[Any], Awaitable[Any]]
"""The work on a message; its result answers a request."""
FINISH_S = 4.0
"""Seconds for work in progress when a throttle ends, within the 5 s of a worker's grace; then it is cancelled."""


@frozen
class ThrottleStatistics:
    """Numbers of messages waiting, in work, started and refused, and of keys with tokens taken."""

    waiting: int
    in_work: int
    keys: int
    started: int
    refused: int


class ReadThrottle(Ask[ThrottleStatistics]):
    """Ask a throttle for its statistics; answered at once."""


@frozen
class AcquirePermit(Ask[None]):
    """Ask a throttle for a permit to act for `key`: answered as soon as the rate of that key allows it.

    Keeps a rate right before an effect: `await throttle.ask(AcquirePermit(host))`. A permit takes a token, and none of
    the `at_once` slots. A request whose caller has left takes no token.
    """

    key: Hashable = None


@define(eq=False)
class _Entry:
    """A waiting message; `has_caller` if it is a request that was asked."""

    message: Any = field(repr=False)
    has_caller: bool
    values: contextvars.Context
    """The context variables of the message, for its work."""
    stashed: StashEntry
    """The message's entry in the stash."""
    started: bool = False

    def wanted(self) -> bool:
        return not self.has_caller or self.message.waiting


class Throttle(Actor):
    """Calls `work(message)` for each message and request at the rate of `buckets`, `at_once` of them at a time.

    The result of `work` answers a request, and its error fails the request; an error over a message crashes the actor.
    Without `work` a throttle gives permits only: see `AcquirePermit`, which every throttle serves. To pass requests on
    to another actor, let `work` be `lambda request: target.ask(evolve(request))`, with `attrs.evolve`.

    `key(message)` returns the key whose rate a message counts for; without it there is one rate for all. A request's
    timeout runs while it waits: if its caller leaves, it takes no token, or its work is cancelled. `backlog` messages
    may wait; after that `overflow` decides which to refuse: the newest, or the oldest. A refused request fails with
    `MailboxFull`, a refused message is a dead letter.

    `StopMode.AFTER_DRAIN` works off the backlog at its rate, as far as the grace reaches (`ChildSpec.shutdown_s`); the
    others leave it. Work in progress has `finish_s` seconds in any case; 0 cuts it off. Give the same buckets to every
    incarnation, or a crash brings a new burst.
    """

    def __init__(
        self,
        work: Work | None,
        buckets: Buckets,
        *,
        key: Callable[[Any], Hashable] | None = None,
        at_once: int = 1,
        backlog: int = 1024,
        overflow: Overflow = Overflow.DROP_NEWEST,
        finish_s: float = FINISH_S,
    ) -> None:
        if at_once < 1 or backlog < 1:
            raise InvalidSpec("at_once" if at_once < 1 else "backlog", "must be above zero")
        if overflow not in (Overflow.DROP_NEWEST, Overflow.DROP_OLDEST):
            raise InvalidSpec("overflow", "must be DROP_NEWEST or DROP_OLDEST")
        self._work = work
        self._buckets = buckets
        self._key = key or (lambda _: None)
        self._at_once = at_once
        self._bound = backlog
        self._overflow = overflow
        self._finish_s = finish_s
        self._backlog: Backlog[_Entry] = Backlog(buckets, backlog, _Entry.wanted)
        self._any_ended = False
        self._running: set[trio.CancelScope] = set()
        self._changed = trio.Event()
        self._started = self._refused = 0

    async def on_start(self, context: Context) -> None:
        """Start the task that starts the work on messages at the rate."""
        self._stash = Stash(context, self._bound)
        context.start_soon(self._dispatch, context, name=f"{context.path} (dispatch)")

    async def receive(self, message: object, context: Context) -> None:
        """Queue the message until its rate allows it."""
        if isinstance(message, ReadThrottle):
            self._forget_ended()
            in_work, keys = len(self._running), len(self._buckets)
            message.reply(ThrottleStatistics(len(self._backlog), in_work, keys, self._started, self._refused))
        elif self._work is None and not isinstance(message, AcquirePermit):
            context.unhandled(message)
        else:
            self._accept(message, context)

    async def on_idle(self, context: Context) -> None:
        """Wait until the backlog is worked off, if the actor drains."""
        while (self._backlog or self._running) and context.stopping is StopMode.AFTER_DRAIN:
            await self._changed.wait()

    def _accept(self, message: object, context: Context) -> None:
        key = message.key if isinstance(message, AcquirePermit) else self._key(message)
        if self._backlog.full:
            self._forget_ended()
        if self._backlog.full:
            if self._overflow is Overflow.DROP_NEWEST:
                self._refuse(message, context)
                return
            oldest = self._backlog.take_oldest()
            self._unstash(oldest)
            self._refuse(oldest.message, context)
        self._stash.stash(message)
        asked = isinstance(message, Ask) and message.waiting
        entry = _Entry(message, asked, contextvars.copy_context(), self._stash.entries[-1])
        self._backlog.add(key, entry)
        if isinstance(message, Ask) and asked:
            message.when_ended(partial(self._leave, entry))
        self._changed.set()

    def _leave(self, entry: _Entry) -> None:
        """Free the place of a request whose call has ended before its work has started."""
        if not entry.started:
            self._any_ended = True
            self._unstash(entry)

    def _forget_ended(self) -> None:
        if self._any_ended:
            self._any_ended = False
            self._backlog.forget_unwanted()

    def _unstash(self, entry: _Entry) -> None:
        entry.started = True
        with suppress(ValueError):  # the runtime has removed those whose caller left
            self._stash.entries.remove(entry.stashed)

    def _refuse(self, message: object, context: Context) -> None:
        self._refused += 1
        if isinstance(message, Ask) and message.waiting:
            message.fail(MailboxFull(context.path, "backlog", self._bound))
        else:
            context.system.undelivered(DeadLetter(context.path, "backlog", message, "overflow"))

    async def _dispatch(self, context: Context) -> None:
        """Start the work that the rate allows, whenever the backlog or the running work changes or a token comes."""
        try:
            while True:
                if self._changed.is_set():
                    self._changed = trio.Event()
                while len(self._running) < self._at_once:
                    await trio.lowlevel.checkpoint_if_cancelled()  # nothing starts once the actor is ending
                    entry = self._backlog.take(trio.current_time())
                    if entry is None:
                        break
                    self._unstash(entry)
                    self._started += 1
                    if isinstance(entry.message, AcquirePermit):
                        entry.message.reply(None)
                    elif self._work is not None:
                        await self._start(self._work, entry, context)
                due_at = self._backlog.due_at() if len(self._running) < self._at_once else math.inf
                with trio.CancelScope(deadline=due_at):
                    await self._changed.wait()
        finally:
            for scope in self._running:
                scope.deadline = trio.current_time() + self._finish_s

    async def _start(self, work: Work, entry: _Entry, context: Context) -> None:
        """Start the work on one message, and wait until it has begun: trio starts tasks in any order."""
        scope = scope_of(entry.message) if entry.has_caller else trio.CancelScope()
        scope.shield = True  # the end of the actor leaves it time, by its deadline
        self._running.add(scope)
        begun = trio.Event()
        run = partial(self._run, work, entry, scope, begun, context)
        entry.values.run(partial(context.start_soon, run, name=f"{context.path} (work)"))
        await begun.wait()

    async def _run(
        self, work: Work, entry: _Entry, scope: trio.CancelScope, begun: trio.Event, context: Context
    ) -> None:
        begun.set()
        try:
            with scope:
                answer = await work(entry.message)
                if entry.has_caller:
                    entry.message.reply(answer)
        except Exception as error:
            if not entry.has_caller:
                raise
            entry.message.fail(error)
        finally:
            self._running.discard(scope)
            self._changed.set()
        if scope.cancelled_caught and not entry.has_caller:
            context.system.undelivered(DeadLetter(context.path, "work", entry.message, "stopped"))
