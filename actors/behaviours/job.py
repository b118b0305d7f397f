"""A job: one function run as an actor, with retries and a result that any task can wait for.

1. Every wait for a result ends: with the value, `JobFailed`, `JobTimedOut`, or, if the actor ends first for any reason,
   `JobCancelled`.
2. The result is in the `Job`, not in its actor: it is kept as long as the `Job` is referenced.
3. The attempts run in one task of the actor; its end cancels and awaits them.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, Generic, TypeVar, TypeVarTuple
from weakref import WeakKeyDictionary

import trio
from attrs import define, field, frozen

from actors.actor import Actor, Context
from actors.ask import Ask, Handle
from actors.cell import Directory
from actors.errors import ActorError, unwrap
from actors.exit_reasons import Exit
from actors.lifecycle import StopMode
from actors.ref import ActorRef
from actors.spec import ChildSpec, Restart

from .job_state import JobLifecycle, JobState, JobStep
from .retry import ONCE, Retry
from .start import Parent, start_under, system_of

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

KEEP_S = 60.0
"""Default seconds for which the actor of a job from a spec stays after success, to be asked for the result."""
_OVER = object()
_numbers: WeakKeyDictionary[Directory, count[int]] = WeakKeyDictionary()


@define
class JobFailed(ActorError, RuntimeError):
    """The last attempt of a job failed. `causes` has the error of each attempt, in order; the last is the cause."""

    path: str
    causes: tuple[Exception, ...]

    @property
    def attempts(self) -> int:
        """Number of attempts, all of which failed."""
        return len(self.causes)

    def __str__(self) -> str:
        kinds = ", ".join(type(cause).__name__ for cause in self.causes[-5:])
        return f"{self.path} gave up after attempt {self.attempts}: {'… ' * (self.attempts > 5)}{kinds}"


@define
class JobTimedOut(ActorError, trio.TooSlowError):
    """A job was not done within the time for all its attempts; `causes` has the errors of those that failed."""

    path: str
    timeout_s: float
    causes: tuple[Exception, ...] = ()

    def __str__(self) -> str:
        return f"{self.path} was not done within {self.timeout_s:g} s, after {len(self.causes)} failed attempts"


@define
class JobCancelled(ActorError, trio.BrokenResourceError):
    """A job's actor ended, for `reason`, before the job did: it was cancelled, stopped, or its supervisor ended."""

    path: str
    reason: Exit

    def __str__(self) -> str:
        return f"{self.path} ended before it was done: {self.reason}"


@define
class AttemptTimeout(ActorError, trio.TooSlowError):
    """One attempt of a job took too long and was cancelled; like any other failure, it may be retried."""

    path: str
    attempt: int
    timeout_s: float

    def __str__(self) -> str:
        return f"attempt {self.attempt} of {self.path} took longer than {self.timeout_s:g} s"


@frozen
class _Order(Generic[T]):
    """The function of a job, its retries and its timeouts."""

    run: Callable[[], Awaitable[T]] = field(repr=False)
    retry: Retry
    timeout_s: float
    attempt_timeout_s: float


class Job(Handle, Generic[T]):
    """A handle on a job and its result.

    Start one with `Job.start`, or make a spec with `job` and ask its actor for `GetJob`.
    """

    ref: ActorRef
    """The job's actor."""

    def __init__(self, order: _Order[T], *, stays: bool = False) -> None:
        self._order = order
        self._stays = stays
        self._lifecycle: JobLifecycle[T] = JobLifecycle()
        self._exit: Exit | None = None
        self._ended = trio.Event()

    @staticmethod
    async def start(
        parent: Parent,
        name: str | None,
        function: Callable[[*Ts], Awaitable[T]],
        *args: *Ts,
        retry: Retry = ONCE,
        timeout_s: float = math.inf,
        attempt_timeout_s: float = math.inf,
    ) -> Job[T]:
        """Start `function(*args)` as a child of `parent`, and return while it runs; see `start_under` for the errors.

        If the name is None, the job gets a new one: `job-` and a number. `timeout_s` bounds all attempts with the
        delays between them, `attempt_timeout_s` each attempt. A job that fails or times out crashes its actor, so that
        its supervisor knows; it is not restarted.
        """
        started: Job[T] = Job(_Order(lambda: function(*args), retry, timeout_s, attempt_timeout_s))
        name = _free_name(parent) if name is None else name
        await start_under(parent, ChildSpec(name, lambda: JobActor(started), restart=Restart.TEMPORARY))
        return started

    @property
    def state(self) -> JobState:
        """The state of the job."""
        return self._lifecycle.state

    @property
    def attempt(self) -> int:
        """The number of the attempt in work, or of the last one; 0 before the first."""
        return self._lifecycle.attempt

    async def result(self) -> T:
        """Wait for the end, and return the function's result. May be called at any time, any number of times.

        By then the job's actor is dead and its name is free, unless it stays to be asked. Raises `JobFailed`,
        `JobTimedOut` or `JobCancelled`: a new instance for each caller, with the last attempt's error as its cause.
        """
        await self._ended.wait()
        if not (self._stays and self._lifecycle.state is JobState.DONE):
            await self.ref.wait_stopped()
        if self._lifecycle.state is JobState.DONE:
            return self._lifecycle.value
        raise self._error() from self._cause()

    async def cancel(self) -> None:
        """Cancel the job, and wait until its actor is dead. Harmless if it has ended."""
        await self.ref.stop(StopMode.NOW)

    # For its actor

    async def run(self, path: str, chance: Callable[[], float]) -> None:
        """Make attempts until one succeeds. Raises the errors of `result`."""
        with trio.CancelScope(deadline=trio.current_time() + self._order.timeout_s) as scope:
            await self._try(path, chance)
        if scope.cancelled_caught:
            self._lifecycle.end(JobStep.TIME_UP)
        self._ended.set()
        if self._lifecycle.state is not JobState.DONE:
            raise self._error() from self._cause()

    def stopped(self, reason: Exit) -> None:
        """Cancel the job if it has not ended when its actor does."""
        if self._lifecycle.end(JobStep.CANCEL):
            self._exit = reason
        self._ended.set()

    async def _try(self, path: str, chance: Callable[[], float]) -> None:
        lifecycle, retry = self._lifecycle, self._order.retry
        while not lifecycle.ended:
            lifecycle.begin()
            try:
                lifecycle.finish(await self._attempt(path))
            except Exception as error:
                delay_s = retry.delay_s(lifecycle.attempt, error, chance())
                lifecycle.fail(unwrap(error), again=delay_s is not None)
                if delay_s is not None:
                    await trio.sleep(delay_s)

    async def _attempt(self, path: str) -> T:
        limit_s = self._order.attempt_timeout_s
        with trio.CancelScope(deadline=trio.current_time() + limit_s):
            return await self._order.run()
        raise AttemptTimeout(path, self.attempt, limit_s)

    def _error(self) -> ActorError:
        """Make a new error for the end of the job."""
        causes = tuple(self._lifecycle.causes)
        if self._exit is not None:
            return JobCancelled(self.ref.path, self._exit)
        if self._lifecycle.state is JobState.TIMED_OUT:
            return JobTimedOut(self.ref.path, self._order.timeout_s, causes)
        return JobFailed(self.ref.path, causes)

    def _cause(self) -> Exception | None:
        return self._lifecycle.causes[-1] if self._lifecycle.causes else None


def _free_name(parent: Parent) -> str:
    return f"job-{next(_numbers.setdefault(system_of(parent), count(1)))}"


class GetJob(Ask[Job[Any]]):
    """Ask a job's actor for its `Job`, which keeps the result after the actor's end."""


class JobActor(Actor):
    """Runs one job. It stops `keep_s` seconds after success; a failure crashes it."""

    def __init__(self, job: Job[Any], keep_s: float = 0.0) -> None:
        self._job = job
        self._keep_s = keep_s

    async def on_start(self, context: Context) -> None:
        """Begin the job without waiting for it."""
        self._job.ref = context.ref
        context.start_soon(self._run, context, name=f"{context.path} (job)")

    async def receive(self, message: object, context: Context) -> None:
        """Serve `GetJob`."""
        if isinstance(message, GetJob):
            message.reply(self._job)
        elif message is _OVER:
            context.stop()
        else:
            context.unhandled(message)

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """End the waits for the result."""
        self._job.stopped(reason)

    async def _run(self, context: Context) -> None:
        await self._job.run(context.path, context.system.random.random)
        context.set_timer(_OVER, self._keep_s, _OVER)


def job(
    name: str,
    function: Callable[[*Ts], Awaitable[object]],
    *args: *Ts,
    retry: Retry = ONCE,
    timeout_s: float = math.inf,
    attempt_timeout_s: float = math.inf,
    keep_s: float = KEEP_S,
    significant: bool = False,
) -> ChildSpec:
    """Return the spec of a job, for a supervisor's children: it runs once for each start of the supervisor.

    Ask its actor for `GetJob` to get the result. After success, the actor stays for `keep_s` seconds to be asked; after
    a failure it crashes at once, and the error is the cause of `ActorDied` in later asks. The other arguments are those
    of `Job.start` and `ChildSpec`.
    """
    order: _Order[object] = _Order(lambda: function(*args), retry, timeout_s, attempt_timeout_s)

    def actor() -> JobActor:
        return JobActor(Job(order, stays=keep_s > 0), keep_s)

    return ChildSpec(name, actor, restart=Restart.TEMPORARY, significant=significant)
