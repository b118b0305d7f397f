"""A server: an actor with a method for each type of message.

1. A message goes to the method declared for its type, or for the nearest class in its ancestry.
2. Follow-up work is done right after the message it follows, and before any other message.
3. Follow-up work without a message is done between messages, so no caller that leaves can cancel it.
4. Every request gets an answer: the method's, an error, or `UnhandledMessage` if there is no method.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import trio

from actors.actor import Actor, Context
from actors.ask import Ask
from actors.stash import Stash
from actors.watch import Notice

from .dispatch import NO_REPLY as NO_REPLY
from .dispatch import DispatchEntry, dispatch_table, find_entry
from .dispatch import InvalidServer as InvalidServer
from .dispatch import NoReply as NoReply
from .dispatch import call as call
from .dispatch import cast as cast
from .receive_timeout import IdleTimer, cancel_idle_timer
from .receive_timeout import ReceiveTimeout as ReceiveTimeout

Work = Callable[[Context], Awaitable[object]]
"""Follow-up work: called with the actor's context."""


class _GoOn:
    """Wakes an idle server for follow-up work that was added outside of a message."""


class Server(Actor):
    """An actor with methods marked `@call` and `@cast`, chosen by the annotated type of the message.

    An error in a method crashes the server, and its caller gets `ActorDied`; to answer with an error and go on, use
    `request.fail` and return `NO_REPLY`. A class with an invalid declaration raises `InvalidServer` when it is defined.
    """

    background: ClassVar[tuple[type, ...]] = ()
    """Types of messages that leave the receive timeout running, such as a server's own ticks."""
    _declared: ClassVar[Mapping[type, DispatchEntry]] = {}
    _duties: ClassVar[dict[type, DispatchEntry]] = {}
    _work: deque[Work] | None = None
    _aside: Stash | None = None
    _inside: bool = False
    _silence: IdleTimer | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._declared = dispatch_table(cls)
        cls._duties = {**cls._declared, _GoOn: DispatchEntry(Server._rest, replies=False)}

    async def on_idle(self, context: Context) -> None:
        """Do the follow-up work without a message. A subclass that overrides this must call it."""
        if self._work:
            await self._catch_up(context)

    async def on_info(self, message: object, context: Context) -> None:
        """Runs for messages without a method, notices and timers included, but not for requests."""
        context.unhandled(message)

    def follow_up(self, context: Context, work: Callable[..., Awaitable[object]], *args: Any) -> None:
        """Call `await work(*args, context)` right after the current message, or after the start.

        The answer of a call is sent first. Work may add more work. An error in it crashes the server. It is part of the
        message it follows: a stop after the message waits for it, within the grace.
        """
        if self._work is None:
            self._work = deque()
        self._work.append(partial(work, *args))
        if not self._inside:
            context.set_timer(_GoOn, 0.0, _GoOn())

    def set_receive_timeout(self, context: Context, timeout_s: float | None) -> None:
        """Receive a `ReceiveTimeout` after each silence of that many seconds; None ends that.

        Counts from now, and from the end of each message that is not of a `background` type.
        """
        cancel_idle_timer(context)
        self._silence = None if timeout_s is None else IdleTimer(context, timeout_s)

    async def receive(self, message: object, context: Context) -> None:
        """Hand the message to the method for its type, then do its follow-up work."""
        silence = self._silence
        if silence is not None and message is silence.notice and not silence.due(context):
            return
        inside, outer = self._inside, self._work
        if outer and not inside:
            if not isinstance(message, Notice):
                self._put_off(message, context)
                return
            await self._catch_up(context)
        self._inside, self._work = True, None
        try:
            duty = self._duties.get(type(message)) or self._look_up(type(message))
            answer = await duty.method(self, message, context)
            if duty.replies and type(answer) is not NoReply:
                message.reply(answer)  # type: ignore[attr-defined]
            if self._work is not None:
                await self._finish(context)
        finally:
            self._inside, self._work = inside, outer
            if self._silence is not None:
                self._count_silence(self._silence, message, context)

    def _look_up(self, kind: type) -> DispatchEntry:
        """Find the method for a new type of message, and cache it for the class."""
        duty = self._duties[kind] = find_entry(self._declared, kind, DispatchEntry(Server._unknown, replies=False))
        return duty

    async def _unknown(self, message: object, context: Context) -> None:
        if isinstance(message, Ask):
            context.unhandled(message)
        else:
            await self.on_info(message, context)

    async def _rest(self, message: object, context: Context) -> None:
        """Do nothing but what follows."""

    def _put_off(self, message: object, context: Context) -> None:
        """Handle the message again after the waiting work. A notice, which may be vital, cannot wait."""
        if self._aside is None:
            self._aside = Stash(context, capacity=1)
        self._aside.stash(message)
        self._aside.unstash_all()

    async def _catch_up(self, context: Context) -> None:
        """Do the follow-up work without a message."""
        self._inside = True
        try:
            await self._finish(context)
        finally:
            self._inside, self._work = False, None

    async def _finish(self, context: Context) -> None:
        """Do the follow-up work, and yield to other tasks in between."""
        while self._work:
            await self._work.popleft()(context)
            if self._work:
                await trio.lowlevel.checkpoint()

    def _count_silence(self, silence: IdleTimer, message: object, context: Context) -> None:
        if isinstance(message, ReceiveTimeout):
            silence.start(context)
        else:
            silence.heard(counts=not isinstance(message, self.background))
