"""A resource: a connection, client or file that an actor keeps open, and that others use in their own tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from actors.ask import Handle
from actors.lanes import Lane
from actors.ref import ASK_TIMEOUT_S, ActorRef
from actors.spec import ChildSpec

from .exception_filter import Kinds
from .leases import AcquireLease, Lease, ResourceLost
from .resource_actor import (
    BROKEN_BY,
    DEFAULT_RESOURCE_OPTIONS,
    MarkBroken,
    ReadResource,
    ResourceActor,
    ResourceOptions,
    ResourceStatus,
    Source,
)
from .start import Parent, start_under

R = TypeVar("R")
T = TypeVar("T")


class Resource(Handle, Generic[R]):
    """A handle on a resource. Make it from the reference of its actor, or start one with `Resource.start`."""

    def __init__(self, ref: ActorRef) -> None:
        self.ref: ActorRef = ref
        """The actor of the resource, a `ResourceActor`."""

    @staticmethod
    async def start(
        parent: Parent,
        name: str,
        source: Source[R],
        *,
        check: Callable[[R], Awaitable[object]] | None = None,
        options: ResourceOptions = DEFAULT_RESOURCE_OPTIONS,
        limit: float = 1,
        broken_by: Kinds = BROKEN_BY,
    ) -> Resource[R]:
        """Start the actor under `parent`, without waiting for the resource; see `start_under` for the errors."""
        spec = resource(name, source, check=check, options=options, limit=limit, broken_by=broken_by)
        return Resource(await start_under(parent, spec))

    @asynccontextmanager
    async def borrow(self, *, timeout_s: float = ASK_TIMEOUT_S, fail_fast: bool = False) -> AsyncIterator[R]:
        """Use the resource inside the block, as one of at most `limit` users.

        Waits up to `timeout_s` seconds for a lease. Raises `AskTimeout` after that, `ResourceUnavailable` with
        `fail_fast` if the resource is closed, `MailboxFull` if too many wait, `ActorDied`, and `ResourceLost` if it
        breaks during the block, which is then cancelled. If the block raises one of `broken_by`, the resource is
        reopened.
        """
        lease: Lease[R] = await self.ref.ask(AcquireLease(fail_fast), timeout_s=timeout_s, fail_fast=fail_fast)
        error: BaseException | None = None
        try:
            with lease.scope:
                yield lease.resource
        except BaseException as raised:
            error = raised
            raise
        finally:
            lease.release(error)
        if lease.scope.cancelled_caught:
            raise ResourceLost(self.ref.path)

    async def use(
        self, function: Callable[[R], Awaitable[T]], *, timeout_s: float = ASK_TIMEOUT_S, fail_fast: bool = False
    ) -> T:
        """Borrow the resource for one call, `function(resource)`. Return its result; raise the errors of `borrow`."""
        async with self.borrow(timeout_s=timeout_s, fail_fast=fail_fast) as borrowed:
            return await function(borrowed)

    def broken(self, borrowed: R) -> None:
        """Report that the borrowed resource is broken, so that it is reopened; harmless if it was reopened since."""
        self.ref.tell(MarkBroken(borrowed), lane=Lane.ALERT)

    async def status(self) -> ResourceStatus:
        """Return the status of the resource. Raises the errors of `ask`."""
        return await self.ref.ask(ReadResource())


def resource(
    name: str,
    source: Source[R],
    *,
    check: Callable[[R], Awaitable[object]] | None = None,
    options: ResourceOptions = DEFAULT_RESOURCE_OPTIONS,
    limit: float = 1,
    broken_by: Kinds = BROKEN_BY,
) -> ChildSpec:
    """Return the spec of a resource, for a supervisor's children; the arguments are those of `ResourceActor`.

    Its grace is one second longer than `exit_timeout_s`.
    """

    def owner() -> ResourceActor[R]:
        return ResourceActor(source, check=check, options=options, limit=limit, broken_by=broken_by)

    return ChildSpec(name, owner, shutdown_s=options.exit_timeout_s + 1)
