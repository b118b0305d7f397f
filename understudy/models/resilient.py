"""A model client with retries and a circuit breaker.

1. A request is retried only before the first text of its answer; after that the caller decides.
2. The breaker counts only failures that any request to the server would meet: no connection, a timeout, 502 to 504,
   529. A refused key or request concerns one user, and must not stop the others.
3. An attempt whose answer does not begin in its share of the run's time is given up, so that later attempts have time.
   A request for a title, which no user waits for, has one attempt, and all of the time.
4. Parts of a conversation that a provider refuses for good are left out, and the turn is asked again: see `refused`.
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
"""The circuit opens after five attempts in a row, retries included, that did not reach the provider."""
RETRY: Final = Retry(attempts=3, backoff=Backoff(min_s=0.25, max_s=4.0), on=(ModelUnavailable,))
MAX_WAIT_S: Final = 8.0
"""Seconds; a call fails at once if its retry had to wait longer, because a user waits for it."""
MIN_ATTEMPT_S: Final = 1.0
"""Least seconds for an attempt, however little time the run has left."""
IDLE: Final = ("timeout", "no answer in time")
"""Details of the errors of a model that did not answer in time."""
SILENT: Final = "The language model did not answer in time; try again in a moment."
LEFT_OUT: Final = "Left out, as the language model does not take it: {}"
UNREACHABLE: Final = "The language model cannot be reached; try again in a moment."


@frozen
class _FailedAttempt:
    """A failed attempt; `reached`: the server answered, so the breaker does not count it."""

    error: ModelUnavailable
    reached: bool


@define
class _Attempt:
    """One attempt at an answer: forwards the model's events to `emit`, the first one after `notice` unless that is
    empty. `begun`: the answer has begun; then `scope` has no deadline."""

    emit: Emit
    breaker: Breaker
    notice: str = ""
    begun: bool = False
    scope: trio.CancelScope = field(factory=trio.CancelScope)

    async def __call__(self, event: ModelEvent) -> None:
        if not (self.begun or isinstance(event, UsageSoFar)):
            self.begun = True
            self.scope.deadline = math.inf
            self.breaker.succeed()  # now, so that other calls need not wait for the end of this answer
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
    _most_tools: int = field(default=0, init=False)  # tools that the model takes; 0: no limit is known
    _refused: RefusedParts = field(factory=RefusedParts, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.name, self.notice = self.model.name, self.model.notice
        self.titles = getattr(self.model, "titles", False) is True
        # A whole call has no timeout: the client limits the wait for each piece, and the run has a deadline.
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

        Unless `patient`, an attempt that timed out is not repeated.
        """
        original = whole = turn = self._refused.spare(turn)
        if self._most_tools:
            whole = turn = with_tools(original, self._most_tools)
        refusal: ModelUnavailable | None = None
        lighter_turns: list[Turn] = []
        attempts = 1 if turn.purpose == "title" else RETRY.attempts
        for attempt in count(1):
            names = "" if turn is whole else names_of_left_out(whole, turn)
            notice = LEFT_OUT.format(names) if names else ""
            answer = _Attempt(emit, self.breaker, notice, scope=_scope(attempts + 1 - attempt))
            try:
                result = await self.breaker.call(self._attempt, turn, answer)
            except CircuitOpen as open_circuit:
                retry_after_s = max(1.0, open_circuit.retry_after_s)
                raise ModelUnavailable(UNREACHABLE, True, "circuit open", retry_after_s, ModelFault.AWAY) from None
            if isinstance(result, Reply):
                if turn is not whole:
                    self._refused.remember(whole, turn)
                return result
            error, timed_out = result.error, result.error.detail in IDLE
            if error.used is not None and not answer.begun:
                await emit(AttemptLost(error.used))
            if most := most_tools(turn, error):
                self._most_tools, whole = most, with_tools(original, most)
                turn = whole
                log.warning("model.tools_left_out", extra={"model": self.label, "most": most})
                await emit(Thought(f"The language model takes {most} tools at most: some are left out"))
                continue
            wait_s = None
            if error.retryable and not answer.begun and attempts > 1 and (patient or not timed_out):
                wait_s = RETRY.delay_s(attempt, error, self._random.random())
            if wait_s is None or wait_s > MAX_WAIT_S:
                if refusal is None and not answer.begun:
                    refusal, lighter_turns = error, lighter(turn, error)
                if answer.begun or not lighter_turns:
                    raise _for_user(refusal or error, whole)
                turn = lighter_turns.pop(0)
                log.warning("model.parts_refused", extra={"model": self.label, "about": error.about})
                continue
            log.info("model.asked_again", extra={"model": self.label, "detail": error.detail, "wait_s": wait_s})
            await trio.sleep(wait_s)
        raise AssertionError  # the count has no end

    async def _attempt(self, turn: Turn, answer: _Attempt) -> Reply | _FailedAttempt:
        try:
            with answer.scope:
                return await self.model.respond(turn, answer)
        except ModelUnavailable as error:
            return _FailedAttempt(error, reached=answer.begun or error.fault is not ModelFault.AWAY)
        return _FailedAttempt(ModelUnavailable(SILENT, True, "no answer in time", None, ModelFault.AWAY), reached=False)


def _for_user(error: ModelUnavailable, turn: Turn) -> ModelUnavailable:
    """Return the error with its sentence for the user: in a turn of one message, that message is what is too long."""
    if error.fault is ModelFault.TOO_LONG and len(turn.items) == 1:
        error.message = MESSAGE_TOO_LONG
    return error


def _scope(attempts: int) -> trio.CancelScope:
    """Return the scope in which an answer must begin: the caller's remaining time, divided by the `attempts` left."""
    now = trio.current_time()
    remaining_s = trio.current_effective_deadline() - now
    return trio.CancelScope(deadline=now + max(remaining_s / max(1, attempts), MIN_ATTEMPT_S))
