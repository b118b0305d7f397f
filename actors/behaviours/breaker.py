"""A breaker: refuses calls to a failing service at once for some time, instead of letting them wait and fail.

1. A call is settled once: it succeeded, failed, or was cancelled, which counts neither way and releases its permit.
2. Nothing runs between calls: no task, no timer. The next call notices that the reset timeout is over.
3. A hook that raises harms no call; it is logged.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random
from types import TracebackType
from typing import Any, TypeVar, TypeVarTuple

import trio
from attrs import define, frozen

from actors.errors import ActorError

from .circuit import Circuit, CircuitSpec, CircuitState, Permit
from .exception_filter import leaf_errors

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

CALL_TIMEOUT_S = 10.0
"""Default timeout of a call in seconds, from Pekko's reference configuration. A slower one fails with `CallTimeout`."""
DEFAULT_CIRCUIT: CircuitSpec = CircuitSpec()
"""Open after 5 failures in a row, for a second at first."""

log: logging.Logger = logging.getLogger("actors")


@define
class CircuitOpen(ActorError, trio.BusyResourceError):
    """The call was refused and not made. `retry_after_s` is 0 if a trial in flight decides when calls pass again."""

    name: str
    retry_after_s: float

    def __str__(self) -> str:
        return f"the circuit {self.name} is open: retry after {self.retry_after_s:.3g} s"


@define
class CallTimeout(ActorError, trio.TooSlowError):
    """A call took longer than its breaker allows, and was cancelled."""

    name: str
    timeout_s: float

    def __str__(self) -> str:
        return f"a call through {self.name} took longer than {self.timeout_s:g} s"


@frozen
class CircuitChange:
    """A breaker changed its state, noticed at `at_s` on trio's clock."""

    name: str
    old: CircuitState
    new: CircuitState
    at_s: float
    retry_after_s: float


@frozen
class BreakerStatistics:
    """Failures that count now, calls in flight, and calls passed and refused since the breaker was made."""

    state: CircuitState
    failures: int
    retry_after_s: float
    in_work: int
    passed: int
    refused: int


class _Attempt:
    """One call that passes."""

    __slots__ = ("failed", "permit")

    def __init__(self, permit: Permit) -> None:
        self.permit = permit
        self.failed = False


class Breaker:
    """Protects calls to one service: `await breaker.call(fetch, url)`, or `async with breaker:` around the calls.

    A call that would pass is refused with `CircuitOpen` while the circuit is open. One that takes longer than
    `call_timeout_s` seconds is cancelled, counts as a failure and raises `CallTimeout`. `bad_result(result)` returns
    whether a result of `call` counts as a failure. `on_change` is called with each change of state, `on_refused` with
    each refusal: both synchronously, so they must be quick. `seed` makes the jitter repeatable.
    """

    def __init__(
        self,
        name: str,
        spec: CircuitSpec = DEFAULT_CIRCUIT,
        *,
        call_timeout_s: float = CALL_TIMEOUT_S,
        bad_result: Callable[[Any], bool] | None = None,
        on_change: Callable[[CircuitChange], None] | None = None,
        on_refused: Callable[[CircuitOpen], None] | None = None,
        seed: int | None = None,
    ) -> None:
        self.name: str = name
        self.call_timeout_s: float = call_timeout_s
        self._circuit = Circuit(spec)
        self._bad_result = bad_result
        self._on_change = on_change
        self._on_refused = on_refused
        self._random = Random(seed)  # noqa: S311 - jitter, not secrets
        self._last_state = CircuitState.CLOSED
        self._entered: dict[trio.lowlevel.Task, list[AbstractAsyncContextManager[_Attempt]]] = {}
        self._in_work = self._passed = self._refused = 0

    @property
    def state(self) -> CircuitState:
        """The state of the circuit: whether calls pass now."""
        self._update(trio.current_time())
        return self._last_state

    def statistics(self) -> BreakerStatistics:
        """Return the statistics of the breaker."""
        now = trio.current_time()
        self._update(now)
        failures, retry_after_s = self._circuit.failures(now), self._circuit.retry_after_s(now)
        return BreakerStatistics(self._last_state, failures, retry_after_s, self._in_work, self._passed, self._refused)

    async def call(self, function: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        """Call and await `function(*args)`. Raises `CircuitOpen`, `CallTimeout`, or the errors of the function."""
        async with self._passing() as attempt:
            result = await function(*args)
            attempt.failed = self._bad_result is not None and self._bad_result(result)
        return result

    async def __aenter__(self) -> None:
        """Raises `CircuitOpen`. Any number of tasks may be inside at once."""
        passing = self._passing()
        await passing.__aenter__()
        self._entered.setdefault(trio.lowlevel.current_task(), []).append(passing)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        """Raises `CallTimeout` if the block was cancelled for being too slow."""
        task = trio.lowlevel.current_task()
        passing = self._entered[task].pop()
        if not self._entered[task]:
            del self._entered[task]
        return bool(await passing.__aexit__(kind, error, traceback))

    def succeed(self) -> None:
        """Count a success that was seen elsewhere. While open it changes nothing."""
        self._note(failed=False)

    def fail(self) -> None:
        """Count a failure that was seen elsewhere. While open it changes nothing."""
        self._note(failed=True)

    def try_now(self) -> None:
        """Let a trial pass at once if the circuit is open, as when the service was seen at work elsewhere."""
        now = trio.current_time()
        self._circuit.try_now(now)
        self._update(now)

    @asynccontextmanager
    async def _passing(self) -> AsyncIterator[_Attempt]:
        await trio.lowlevel.checkpoint()  # a loop over a refusing breaker lets others run
        attempt = _Attempt(self._admit())
        failed = None
        try:
            with trio.CancelScope(deadline=trio.current_time() + self.call_timeout_s) as scope:
                yield attempt
            failed = scope.cancelled_caught or attempt.failed
        except BaseException as error:
            failed = self._verdict(error)
            raise
        finally:
            self._settle(attempt.permit, failed)
        if scope.cancelled_caught:
            raise CallTimeout(self.name, self.call_timeout_s)

    def _verdict(self, error: BaseException) -> bool | None:
        """Whether the error is a failure; None if the call was cancelled, which says nothing about the service."""
        if all(isinstance(leaf, Exception) for leaf in leaf_errors(error)):
            return self._circuit.spec.is_failure(error)
        return None

    def _admit(self) -> Permit:
        now = trio.current_time()
        self._update(now)
        permit = self._circuit.admit(now)
        if permit is None:
            self._refused += 1
            refusal = CircuitOpen(self.name, self._circuit.retry_after_s(now))
            self._call_hook(self._on_refused, refusal)
            raise refusal
        self._passed += 1
        self._in_work += 1
        return permit

    def _settle(self, permit: Permit, failed: bool | None) -> None:
        now = trio.current_time()
        self._update(now)
        self._in_work -= 1
        if failed is None:
            self._circuit.drop(permit)
        else:
            self._circuit.settle(permit, failed, now, self._random.random())
        self._update(now)

    def _note(self, *, failed: bool) -> None:
        now = trio.current_time()
        self._update(now)
        self._circuit.record(failed, now, self._random.random())
        self._update(now)

    def _update(self, now: float) -> None:
        """Bring the last known state up to date, and report its change, if any."""
        old, self._last_state = self._last_state, self._circuit.state(now)
        if old is not self._last_state:
            change = CircuitChange(self.name, old, self._last_state, now, self._circuit.retry_after_s(now))
            self._call_hook(self._on_change, change)

    def _call_hook(self, hook: Callable[[T], None] | None, argument: T) -> None:
        try:
            if hook is not None:
                hook(argument)
        except Exception:
            log.exception("a hook of the breaker %s raised", self.name)
