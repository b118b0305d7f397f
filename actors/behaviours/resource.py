"""A resource: a connection, a client, a file that an actor keeps open, and that others use in their own tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from actors.handle import Handle
from actors.lanes import Lane
from actors.ref import ASK_TIMEOUT_S, ActorRef
from actors.spec import ChildSpec

from .exception_filter import Kinds
from .leases import AcquireLease, Lease, ResourceLost
from .resource_actor import BROKEN_BY, MarkBroken, ReadResource, ResourceActor, ResourceStatus, Source
from .resource_options import DEFAULT_RESOURCE_OPTIONS, ResourceOptions
from .start import Parent, start_under

R = TypeVar("R")
T = TypeVar("T")


class Resource(Handle, Generic[R]):
    """What others hold of a resource. Make it from the reference of its owner, or start one with `Resource.start`."""

    def __init__(self, ref: ActorRef) -> None:
        self.ref: ActorRef = ref
        """The actor that owns it: a `ResourceActor`."""

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
        """Start an owner as a child of `parent`, without waiting for the resource; see `start_under` for the errors."""
        spec = resource(name, source, check=check, options=options, limit=limit, broken_by=broken_by)
        return Resource(await start_under(parent, spec))

    @asynccontextmanager
    async def borrow(self, *, timeout_s: float = ASK_TIMEOUT_S, fail_fast: bool = False) -> AsyncIterator[R]:
        """Use it inside the block, as one of at most `limit` users.

        Waits for it, and for its turn, for up to `timeout_s` seconds. Raises `AskTimeout` after that, with `fail_fast`
        `ResourceUnavailable` when it is away, `MailboxFull` when too many wait, `ActorDied`, and `ResourceLost` when it
        goes away during the block, which is cancelled then. What the block raises goes out of it; if it is one of the
        owner's `broken_by`, the resource is opened again.
        """
        loan: Lease[R] = await self.ref.ask(AcquireLease(fail_fast), timeout_s=timeout_s, fail_fast=fail_fast)
        error: BaseException | None = None
        try:
            with loan.scope:
                yield loan.resource
        except BaseException as raised:
            error = raised
            raise
        finally:
            loan.release(error)
        if loan.scope.cancelled_caught:
            raise ResourceLost(self.ref.path)

    async def use(
        self, function: Callable[[R], Awaitable[T]], *, timeout_s: float = ASK_TIMEOUT_S, fail_fast: bool = False
    ) -> T:
        """Borrow it for one call, `function(resource)`, and return what that does; raises what `borrow` does."""
        async with self.borrow(timeout_s=timeout_s, fail_fast=fail_fast) as borrowed:
            return await function(borrowed)

    def broken(self, borrowed: R) -> None:
        """Say that what was borrowed is of no more use, so that it is opened again; harmless when it has been."""
        self.ref.tell(MarkBroken(borrowed), lane=Lane.ALERT)

    async def status(self) -> ResourceStatus:
        """How it is; raises what `ask` does."""
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
    """The spec of a resource, for a supervisor's children; the arguments are those of `ResourceActor`.

    Its grace is a second longer than the resource has for its exit.
    """

    def owner() -> ResourceActor[R]:
        return ResourceActor(source, check=check, options=options, limit=limit, broken_by=broken_by)

    return ChildSpec(name, owner, shutdown_s=options.exit_timeout_s + 1)
