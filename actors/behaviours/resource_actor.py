"""The actor of a resource: opens an async context manager, keeps it open, and reopens it if it breaks.

1. The context manager is entered, held and left in one task, inside one cancel scope: nurseries and scopes within it
   work, and their errors are seen there.
2. A context manager that was entered is always left, within `exit_timeout_s`. The task is shielded from the actor's
   cancellation, and is notified of it instead.
3. The resource is never leased while it is closed.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

import trio
from attrs import define, field, frozen

from actors.actor import Actor, Context
from actors.ask import Ask
from actors.backoff import Backoff
from actors.checks import above_zero
from actors.errors import ActorError, MailboxFull, unwrap
from actors.lanes import Lane, Overflow
from actors.mailbox import MailboxSpec

from .exception_filter import Kinds
from .leases import AcquireLease, LeaseTable, ResourceUnavailable
from .reopen_policy import ReopenPolicy

DELAYS: Backoff = Backoff()
"""Default delays before a resource is reopened: from a tenth of a second to half a minute."""


@frozen
class ResourceOptions:
    """The timeouts and delays of a resource, all in seconds.

    `open_timeout_s` and `exit_timeout_s` bound its opening and closing; `backoff` delays the next opening after it
    broke or did not open. The check, if any, runs every `check_every_s` while the resource is idle, and may take
    `check_timeout_s`. Raises `InvalidSpec` for times that are not above zero.
    """

    open_timeout_s: float = field(default=10.0, validator=above_zero)
    exit_timeout_s: float = field(default=3.0, validator=above_zero)
    backoff: Backoff = DELAYS
    check_every_s: float = field(default=30.0, validator=above_zero)
    check_timeout_s: float = field(default=5.0, validator=above_zero)


DEFAULT_RESOURCE_OPTIONS: ResourceOptions = ResourceOptions()
"""The defaults, for a connection within one data centre."""


R = TypeVar("R")

Source = Callable[[], AbstractAsyncContextManager[R] | Awaitable[AbstractAsyncContextManager[R]]]
"""Makes the context manager to enter: a function or an async function."""
BROKEN_BY: Kinds = (trio.BrokenResourceError, trio.ClosedResourceError)
"""The errors of trio's streams and channels once they are broken or closed."""

log: logging.Logger = logging.getLogger("actors")


@define
class OpenTimeout(ActorError, trio.TooSlowError):
    """A resource was not open in time."""

    path: str
    timeout_s: float

    def __str__(self) -> str:
        return f"{self.path} was not open within {self.timeout_s:g} s"


@define
class CheckTimeout(ActorError, trio.TooSlowError):
    """A resource's check was not over in time."""

    path: str
    timeout_s: float

    def __str__(self) -> str:
        return f"the check of {self.path} took longer than {self.timeout_s:g} s"


@define
class ResourceEnded(ActorError, trio.BrokenResourceError):
    """A resource ended without an error, or a user reported that it is broken."""

    path: str

    def __str__(self) -> str:
        return f"{self.path} ended, or was reported as broken"


@frozen
class ResourceStatus:
    """The status of a resource. `since` is on trio's clock, `last_error` names the type of the last error."""

    open: bool
    since: float
    failures: int
    last_error: str | None
    retry_in_s: float
    leased: int
    waiting: int


class ReadResource(Ask[ResourceStatus]):
    """Ask for the status of a resource; answered at once."""


@frozen(eq=False)
class MarkBroken:
    """Report that this resource is broken; ignored if it has been reopened since."""

    resource: object = field(repr=False)


class ResourceActor(Actor, Generic[R]):
    """Opens the context manager that `source()` makes, and leases the resource: see `Resource`.

    `source` returns an async context manager, as a function with `@asynccontextmanager` does, or is an async function
    that returns one, as `trio.open_tcp_stream` is: a stream of trio is entered and left like a file.

    At most `limit` leases are granted at once (infinite for a client that can be shared), and `waiting` more requests
    may wait. `check` is called with the resource every `check_every_s`; if it raises, or if a use of the resource
    raises one of `broken_by`, the resource is closed and reopened. Add `trio.Cancelled` to these for a protocol that is
    unusable after a cancelled use. Raises `InvalidSpec` for invalid numbers.
    """

    mailbox: MailboxSpec = MailboxSpec(overflow={Lane.ALERT: Overflow.DROP_NEWEST})

    def __init__(
        self,
        source: Source[R],
        *,
        check: Callable[[R], Awaitable[object]] | None = None,
        options: ResourceOptions = DEFAULT_RESOURCE_OPTIONS,
        limit: float = 1,
        waiting: int = 1024,
        broken_by: Kinds = BROKEN_BY,
    ) -> None:
        self._source = source
        self._check = check
        self._options = options
        self._bound = waiting
        self._leases: LeaseTable[R] = LeaseTable(limit, waiting, broken_by, self._found_broken)
        self._reopen = ReopenPolicy(options.backoff, trio.current_time())
        self._scope = trio.CancelScope()
        self._wake = trio.Event()
        self._fault: Exception | None = None
        self._ending = False
        self._exit_by = math.inf

    async def on_start(self, context: Context) -> None:
        """Begin to open the resource without waiting for it."""
        context.start_soon(self._run, context, name=f"{context.path} (resource)")

    async def receive(self, message: object, context: Context) -> None:
        """Serve requests for leases and the status, and reports of a broken resource."""
        match message:
            case AcquireLease():
                self._lease(message, context)
            case MarkBroken(resource):
                if self._leases.is_current(resource):
                    self._found_broken(ResourceEnded(context.path))
            case ReadResource():
                message.reply(self._status())
            case _:
                context.unhandled(message)

    def _lease(self, request: AcquireLease, context: Context) -> None:
        if request.fail_fast and not self._reopen.open:
            retry_in_s = self._reopen.retry_in_s(trio.current_time())
            error = ResourceUnavailable(context.path, self._reopen.since, retry_in_s)
            error.__cause__ = self._reopen.last_error
            request.fail(error)
        elif self._leases.has_room():
            self._leases.request(request)
        else:
            request.fail(MailboxFull(context.path, "borrowers", self._bound))

    def _status(self) -> ResourceStatus:
        policy = self._reopen
        error = None if policy.last_error is None else type(policy.last_error).__name__
        retry_in_s = policy.retry_in_s(trio.current_time())
        leased, waiting = self._leases.leased, self._leases.waiting
        return ResourceStatus(policy.open, policy.since, policy.failures, error, retry_in_s, leased, waiting)

    def _found_broken(self, error: BaseException) -> None:
        """Close the present opening because of `error`."""
        if self._fault is None and isinstance(error, Exception):
            self._fault = error
        self._revoke_leases()
        self._wake.set()

    def _revoke_leases(self) -> None:
        """Cancel all leases of the present opening."""
        self._leases.close()
        self._reopen.lost(trio.current_time())

    # In the task that holds the resource open

    async def _run(self, context: Context) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._openings, context)
            try:
                await trio.sleep_forever()
            finally:
                self._end()

    def _end(self) -> None:
        """Close the present opening within `exit_timeout_s`, and open no other."""
        self._ending = True
        self._exit_by = trio.current_time() + self._options.exit_timeout_s
        self._scope.deadline = min(self._scope.deadline, self._exit_by)
        self._revoke_leases()
        self._wake.set()

    async def _openings(self, context: Context) -> None:
        with trio.CancelScope(shield=True):
            while not self._ending:
                self._fault, self._wake = None, trio.Event()
                error = await self._open_once(context)
                if not self._ending:
                    delay_s = self._reopen.failed(error, trio.current_time(), context.system.random.random())
                    log.warning("resource.away path=%s error=%s", context.path, type(error).__name__)
                    self._wake = trio.Event()
                    with trio.move_on_after(delay_s):
                        await self._wake.wait()

    async def _open_once(self, context: Context) -> Exception:
        """Open the resource, lease it until it breaks or must be closed, and close it. Return the reason."""
        opened = False
        timeout_s = self._options.open_timeout_s
        try:
            with trio.CancelScope(deadline=min(trio.current_time() + timeout_s, self._exit_by)) as self._scope:
                manager = self._source()
                async with manager if isinstance(manager, AbstractAsyncContextManager) else await manager as resource:
                    opened = True
                    self._scope.deadline = math.inf
                    try:
                        await self._serve(resource, context)
                    finally:
                        self._revoke_leases()
                        self._scope.deadline = min(trio.current_time() + self._options.exit_timeout_s, self._exit_by)
        except Exception as error:
            self._fault = self._fault or unwrap(error)
        if self._scope.cancelled_caught and opened:
            log.warning("resource.exit_overrun path=%s", context.path)
        return self._fault or (ResourceEnded(context.path) if opened else OpenTimeout(context.path, timeout_s))

    async def _serve(self, resource: R, context: Context) -> None:
        if self._ending:
            return
        self._reopen.opened(trio.current_time())
        self._leases.open(resource)
        every_s = math.inf if self._check is None else self._options.check_every_s
        while not self._wake.is_set():
            with trio.move_on_after(every_s):
                await self._wake.wait()
            if not self._wake.is_set():
                await self._run_check(resource, context)

    async def _run_check(self, resource: R, context: Context) -> None:
        """Run the check if the resource is idle: a use of it is a check too."""
        lease = self._leases.lease_if_idle()
        if lease is None or self._check is None:
            return
        timeout_s = self._options.check_timeout_s
        try:
            with lease.scope, trio.move_on_after(timeout_s) as scope:  # a revoked lease ends the check
                await self._check(resource)
            if scope.cancelled_caught:
                raise CheckTimeout(context.path, timeout_s)
        except Exception as error:
            self._found_broken(unwrap(error))
        finally:
            lease.release()
