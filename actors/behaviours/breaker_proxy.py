"""A proxy actor that forwards requests to another actor through a breaker.

1. The breaker counts the target's answers, errors, timeouts and death, and nothing else.
2. A request whose caller leaves is cancelled at the target too, and counts neither way.
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
"""Default timeout of a forwarded ask in seconds: below the 5 s of an ask, so that it ends before the callers leave."""


class BreakerProxy(Actor):
    """Forwards requests to another actor through a breaker; while that is open they fail with `CircuitOpen`.

    An answer is awaited for at most `timeout_s` seconds; a timeout is a failure, as is the target's death. Keep that
    below the timeout of the callers: a request whose caller leaves first is cancelled, and counts neither way. Told
    messages are forwarded and not counted; if the target has no room they become dead letters. Give the same breaker to
    every incarnation. All forwarded requests are cancelled when the proxy ends.
    """

    def __init__(self, target: ActorRef, breaker: Breaker, *, timeout_s: float = PROXY_TIMEOUT_S) -> None:
        self.target: ActorRef = target
        self.breaker: Breaker = breaker
        self.timeout_s: float = timeout_s

    async def receive(self, message: object, context: Context) -> None:
        """Forward the message without waiting for the answer."""
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
