"""A model client with retries and a circuit breaker.

1. A request is retried only before the first text of its answer; after that the caller decides.
2. The circuit counts only what concerns the server whatever it is asked: no connection, a timeout, 502 to 504, 529. A
   refused key or a failed request is one user's, who must not stop all others.
3. An attempt whose answer does not begin in its share of the run's time is given up, so that there is time for the
   others. A request that nobody waits for, which has no other, has all of it and is not repeated.
4. What a provider refuses for good, of a conversation, is left out and asked for once more: see `refused`.
5. While the circuit is open, calls fail at once and carry the time to retry. One call at a time probes the provider,
   and its first text closes the circuit.
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
from understudy.models.model import (
    MESSAGE_TOO_LONG,
    AttemptLost,
    Emit,
    Model,
    ModelEvent,
    ModelFault,
    ModelLimits,
    ModelUnavailable,
    Reply,
    Thought,
    Turn,
    UsageSoFar,
    limits_of,
)
from understudy.models.refused import RefusedParts, lighter, most_tools, names_of_left_out, with_tools

log = logging.getLogger(__name__)

CIRCUIT: Final = CircuitSpec(trip=FailureCount(limit=5), reset=Backoff(min_s=1.0, max_s=30.0))
"""Opens after five attempts in a row, retries included, that did not reach the provider."""
RETRY: Final = Retry(attempts=3, backoff=Backoff(min_s=0.25, max_s=4.0), on=(ModelUnavailable,))
MAX_WAIT_S: Final = 8.0
"""Seconds; if a retry would have to wait longer the call fails at once, as its user waits."""
MIN_ATTEMPT_S: Final = 1.0
"""Seconds that an attempt has at least, however little time the run has left."""
IDLE: Final = ("timeout", "no answer in time")
"""Details of the errors of a model that was silent until its time was over."""
SILENT: Final = "The language model did not answer in time; try again in a moment."
LEFT_OUT: Final = "Left out, as the language model does not take it: {}"
UNREACHABLE: Final = "The language model cannot be reached; try again in a moment."


@frozen
class _FailedAttempt:
    """A failed attempt; `reached` says whether its server can be reached."""

    error: ModelUnavailable
    reached: bool


@define
class _Attempt:
    """One attempt at an answer: forwards the model's events to `emit`, behind the `notice`, which may be empty. `begun`
    says whether there was an event."""

    emit: Emit
    breaker: Breaker
    notice: str = ""
    begun: bool = False
    scope: trio.CancelScope = field(factory=trio.CancelScope)

    async def __call__(self, event: ModelEvent) -> None:
        if not (self.begun or isinstance(event, UsageSoFar)):
            self.begun = True
            self.scope.deadline = math.inf
            self.breaker.succeed()  # so that other calls need not wait for the end of this answer
            if self.notice:
                await self.emit(Thought(self.notice))
        await self.emit(event)


@define(eq=False)
class ResilientModel:
    """A `Model` that calls `model` through its own breaker. `on_change` is called if that opens or closes."""

    model: Model
    label: str
    on_change: Callable[[CircuitChange], None] | None = None
    name: str = field(init=False)
    notice: str = field(init=False)
    titles: bool = field(init=False)
    breaker: Breaker = field(init=False)
    _random: Random = field(factory=Random, init=False, repr=False)
    _most_tools: int = field(default=0, init=False)  # that the model takes; 0: no limit is known
    _refused: RefusedParts = field(factory=RefusedParts, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.name, self.notice = self.model.name, self.model.notice
        self.titles = getattr(self.model, "titles", False) is True
        # No timeout for a whole call: the client has one for each piece, and the run has one for everything.
        self.breaker = Breaker(
            self.label,
            CIRCUIT,
            call_timeout_s=math.inf,
            bad_result=lambda result: isinstance(result, _FailedAttempt) and not result.reached,
            on_change=self.on_change,
        )

    @property
    def limits(self) -> ModelLimits:
        """The limits of the model."""
        return limits_of(self.model)

    async def respond(self, turn: Turn, emit: Emit, *, patient: bool = True) -> Reply:
        """Answer one turn. Raises `ModelUnavailable`, with `retry_after_s` if the time is known.

        Unless `patient`, a model that was silent until its time was over is not asked again.
        """
        original = whole = turn = self._refused.spare(turn)
        if self._most_tools:
            whole = turn = with_tools(original, self._most_tools)
        refused: ModelUnavailable | None = None
        others: list[Turn] = []
        attempts = 1 if turn.purpose == "title" else RETRY.attempts
        for attempt in count(1):
            names = "" if turn is whole else names_of_left_out(whole, turn)
            notice = LEFT_OUT.format(names) if names else ""
            attempted = _Attempt(emit, self.breaker, notice, scope=_scope(attempts + 1 - attempt))
            try:
                result = await self.breaker.call(self._attempt, turn, attempted)
            except CircuitOpen as open_circuit:
                retry_after_s = max(1.0, open_circuit.retry_after_s)
                raise ModelUnavailable(UNREACHABLE, True, "circuit open", retry_after_s, ModelFault.AWAY) from None
            if isinstance(result, Reply):
                if turn is not whole:
                    self._refused.remember(whole, turn)
                return result
            error, silent = result.error, result.error.detail in IDLE
            if error.used is not None and not attempted.begun:
                await emit(AttemptLost(error.used))
            if most := most_tools(turn, error):
                self._most_tools, whole = most, with_tools(original, most)
                turn = whole
                log.warning("model.tools_left_out", extra={"model": self.label, "most": most})
                await emit(Thought(f"The language model takes {most} tools at most: some are left out"))
                continue
            wait_s = None
            if error.retryable and not attempted.begun and attempts > 1 and (patient or not silent):
                wait_s = RETRY.delay_s(attempt, error, self._random.random())
            if wait_s is None or wait_s > MAX_WAIT_S:
                if refused is None and not attempted.begun:
                    refused, others = error, lighter(turn, error)
                if attempted.begun or not others:
                    raise _told(refused or error, whole)
                turn = others.pop(0)
                log.warning("model.parts_refused", extra={"model": self.label, "about": error.about})
                continue
            log.info("model.asked_again", extra={"model": self.label, "detail": error.detail, "wait_s": wait_s})
            await trio.sleep(wait_s)
        raise AssertionError  # the count has no end

    async def _attempt(self, turn: Turn, attempted: _Attempt) -> Reply | _FailedAttempt:
        try:
            with attempted.scope:
                return await self.model.respond(turn, attempted)
        except ModelUnavailable as error:
            return _FailedAttempt(error, reached=attempted.begun or error.fault is not ModelFault.AWAY)
        return _FailedAttempt(ModelUnavailable(SILENT, True, "no answer in time", None, ModelFault.AWAY), reached=False)


def _told(error: ModelUnavailable, turn: Turn) -> ModelUnavailable:
    """Return the error for the user of a turn: if that is one message, there is no conversation that is too long."""
    if error.fault is ModelFault.TOO_LONG and len(turn.items) == 1:
        error.message = MESSAGE_TOO_LONG
    return error


def _scope(attempts: int) -> trio.CancelScope:
    """Return the scope of the first of these attempts until its answer begins: its share of the caller's time left."""
    now = trio.current_time()
    left_s = trio.current_effective_deadline() - now
    return trio.CancelScope(deadline=now + max(left_s / max(1, attempts), MIN_ATTEMPT_S))
