"""A guard: an actor before another one, that lets requests through a breaker.

1. The target's answer, its error, its silence and its death are what the breaker learns from; nothing else is.
2. A request whose caller has gone is cancelled at the target too, and says nothing about it.
"""

from __future__ import annotations

from typing import Any, TypeVar

from actors.actor import Actor, Context
from actors.ask import Ask
from actors.errors import MailboxFull
from actors.events import DeadLetter
from actors.ref import ActorRef

from .breaker import Breaker
from .forwarding import copy_request, scope_of

T = TypeVar("T")

PROXY_TIMEOUT_S = 4.0
"""How long a guard waits for an answer: less than the 5 s of an ask, so that it learns what its callers would."""


class BreakerProxy(Actor):
    """Stands before another actor: requests pass through a breaker, or fail at once with `CircuitOpen`.

    An answer is awaited for at most `timeout_s` seconds; its lack is a failure, as is the target's death. Keep that
    below the timeout of those who ask the guard: a request whose caller has gone first is cancelled, and counts neither
    way. Told messages pass uncounted, nobody learns what became of them; a target without room makes them dead letters.
    Give the same breaker to every incarnation. Everything in work is cancelled when the guard ends.
    """

    def __init__(self, target: ActorRef, breaker: Breaker, *, timeout_s: float = PROXY_TIMEOUT_S) -> None:
        self.target: ActorRef = target
        self.breaker: Breaker = breaker
        self.timeout_s: float = timeout_s

    async def receive(self, message: object, context: Context) -> None:
        """Pass the message on, without waiting for what comes of it."""
        if isinstance(message, Ask) and message.waiting:
            context.start_soon(self._pass, message, name=f"{context.path} ({type(message).__name__})")
        else:
            self._pass_told(message, context)

    async def _pass(self, request: Ask[Any]) -> None:
        try:
            with scope_of(request):
                request.reply(await self.breaker.call(self._ask, request))
        except Exception as error:
            request.fail(error)

    async def _ask(self, request: Ask[T]) -> T:
        return await self.target.ask(copy_request(request), timeout_s=self.timeout_s)

    def _pass_told(self, message: object, context: Context) -> None:
        try:
            self.target.tell(message)
        except MailboxFull as full:
            context.system.dead_letter(DeadLetter(full.path, full.lane, message, "overflow"))
