"""A provider's client behind a breaker: one that cannot be reached is left alone for a while, and asked again first.

1. Nothing is asked again once a word of the answer was heard: what follows it is the caller's to decide.
2. A provider that answers, whatever it says, can be reached: a refused key or request opens nothing.
3. While it cannot be reached, whoever asks is told so at once, and when to come again; one call at a time finds out
   whether it is back, and does so with its first word.
"""

import logging
import math
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Final

import trio
from attrs import define, field, frozen

from actors import Backoff
from actors.behaviours import Breaker, CircuitChange, CircuitOpen, CircuitSpec, FailureCount, Retry
from understudy.models.model import Emit, Model, ModelEvent, ModelUnavailable, Reply, Turn

log = logging.getLogger(__name__)

CIRCUIT: Final = CircuitSpec(trip=FailureCount(limit=5), reset=Backoff(min_s=1.0, max_s=30.0))
"""Five calls in a row that did not get through, each of them tried again before."""
RETRY: Final = Retry(attempts=3, backoff=Backoff(min_s=0.25, max_s=4.0), on=(ModelUnavailable,))
MAX_WAIT_S: Final = 8.0
"""A provider that wants to be left alone for longer is not waited for: a run has 30 s."""
UNREACHABLE: Final = "The language model cannot be reached; try again in a moment."


@frozen
class _FailedAttempt:
    """An attempt that failed; `reached` says whether the provider answered at all."""

    error: ModelUnavailable
    reached: bool


@define
class _EmitProbe:
    """Hands on what a model says, and knows whether it has begun."""

    emit: Emit
    breaker: Breaker
    begun: bool = False

    async def __call__(self, event: ModelEvent) -> None:
        if not self.begun:
            self.begun = True
            self.breaker.succeed()  # others need not wait for the end of the answer
        await self.emit(event)


@define(eq=False)
class ResilientModel:
    """A `Model` that asks another one through a breaker of its own. `on_change` is told when that opens or closes."""

    model: Model
    label: str
    on_change: Callable[[CircuitChange], None] | None = None
    breaker: Breaker = field(init=False)
    _random: Random = field(factory=Random, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        # No limit for a whole call: the client has one for each piece, and the run one for all.
        self.breaker = Breaker(
            self.label,
            CIRCUIT,
            call_timeout_s=math.inf,
            bad_result=lambda result: isinstance(result, _FailedAttempt) and not result.reached,
            on_change=self.on_change,
        )

    @property
    def name(self) -> str:
        """As the other's."""
        return self.model.name

    @property
    def notice(self) -> str:
        """As the other's."""
        return self.model.notice

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """As `Model.respond`; raises `ModelUnavailable`, with `retry_after_s` where the time is known."""
        for attempt in count(1):
            hearing = _EmitProbe(emit, self.breaker)
            try:
                result = await self.breaker.call(self._attempt, turn, hearing)
            except CircuitOpen as refused:
                raise ModelUnavailable(UNREACHABLE, True, "circuit open", max(1.0, refused.retry_after_s)) from None
            if isinstance(result, Reply):
                return result
            wait_s = None
            if result.error.retryable and not hearing.begun:
                wait_s = RETRY.delay_s(attempt, result.error, self._random.random())
            if wait_s is None or wait_s > MAX_WAIT_S:
                raise result.error
            log.info("model.asked_again", extra={"model": self.label, "detail": result.error.detail, "wait_s": wait_s})
            await trio.sleep(wait_s)
        raise AssertionError  # the count has no end

    async def _attempt(self, turn: Turn, hearing: _EmitProbe) -> Reply | _FailedAttempt:
        try:
            return await self.model.respond(turn, hearing)
        except ModelUnavailable as error:
            return _FailedAttempt(error, reached=hearing.begun or not error.retryable)
