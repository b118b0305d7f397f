"""The stop switch: the agents, tools and models that operators have stopped, in the memory of each node.

1. A stop is committed before it is acknowledged. Other nodes learn of it by news, and by their next poll at the latest.
2. While the database is away, the last set that was read stays in force.
3. Reads and changes of the set hold one lock, so that a read which began before a change does not undo it.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, TypeAlias

import trio
from attrs import define, field

from actors import Context
from understudy.chat.polling import Poll, Poller
from understudy.storage.errors import StorageUnavailable
from understudy.storage.stops import AddStop, DropStop, StopInForce
from understudy.storage.write import Write

log = logging.getLogger(__name__)

POLL_S: Final = 0.5
"""Seconds between two polls of the database: news may be lost, and a stop must reach every node within a second."""

Names: TypeAlias = Callable[[], Iterable[tuple[str, str]]]
"""Returns the kinds and names of what is at work now."""


class StoppedByOperator(Exception):
    """An operator has stopped what was to work, or was at work; the text is a sentence for users."""

    def __init__(self, stop: StopInForce) -> None:
        super().__init__(sentence(stop))


def sentence(stop: StopInForce) -> str:
    """Return the sentence that says what was stopped, by whom and why."""
    return f"The {stop.kind} {stop.name} was stopped by an operator ({stop.who}): {stop.reason}"


@define(eq=False)
class Enforcement:
    """Cancels `scope` when something that its block works with is stopped. The block is around that of the scope."""

    _stops: "Stops"
    names: Names
    scope: trio.CancelScope
    stop: StopInForce | None = field(default=None, init=False)

    def __enter__(self) -> None:
        if (stop := self._stops.find(*self.names())) is not None:
            raise StoppedByOperator(stop)
        self._stops.watches.add(self)

    def __exit__(self, kind: type[BaseException] | None, _: object, __: object) -> None:
        self._stops.watches.discard(self)
        if kind is None and self.stop is not None and self.scope.cancelled_caught:
            raise StoppedByOperator(self.stop)


async def _none() -> Sequence[StopInForce]:
    return ()


@define(eq=False)
class Stops:
    """The stops in force on this node. `read` reads them from the database.

    `wake` has the set read now: call it when another node has changed it.
    """

    read: Callable[[], Awaitable[Sequence[StopInForce]]] = _none
    wake: Callable[[], object] = field(default=lambda: None, init=False)
    _stops: Mapping[tuple[str, str], StopInForce] = field(factory=dict, init=False)
    watches: set[Enforcement] = field(factory=set, init=False, repr=False)
    _lock: trio.Lock = field(factory=trio.Lock, init=False)

    def all(self) -> list[StopInForce]:
        """Return the stops, by kind and name."""
        return [stop for _, stop in sorted(self._stops.items())]

    def find(self, *names: tuple[str, str]) -> StopInForce | None:
        """Return a stop of one of these kinds and names, if there is one."""
        return next((stop for name in names if (stop := self._stops.get(name)) is not None), None)

    def enforced(self, names: Names, scope: trio.CancelScope) -> Enforcement:
        """Return a context manager that cancels `scope`, which its block enters, when one of `names` is stopped.

        Raises, from the `with` statement:
            StoppedByOperator: It was cancelled so, or something is stopped already; then the block does not begin.
        """
        return Enforcement(self, names, scope)

    def apply(self, stops: Iterable[StopInForce]) -> None:
        """Replace the set, and end what works with something that is stopped."""
        self._stops = {(stop.kind, stop.name): stop for stop in stops}
        for watch in list(self.watches) if self._stops else ():
            if watch.stop is None and (stop := self.find(*watch.names())) is not None:
                watch.stop = stop
                watch.scope.cancel()

    async def change(self, commit: Callable[[Write], Awaitable[int]], work: AddStop | DropStop, at: float) -> int:
        """Commit a stop, or its end, and apply it here. Return the answer of the write. Raises StorageUnavailable."""
        async with self._lock:
            answer = await commit(work)
            changed = {**self._stops}
            changed.pop((work.kind, work.name), None)
            if isinstance(work, AddStop):
                changed[work.kind, work.name] = StopInForce(work.kind, work.name, work.who, work.reason, at)
            self.apply(changed.values())
        return answer

    async def poll(self) -> None:
        """Read the set, and apply it. Raises StorageUnavailable."""
        async with self._lock:
            self.apply(await self.read())


class StopsPoller(Poller):
    """Polls for stops by other processes."""

    def __init__(self, stops: Stops) -> None:
        self.stops = stops

    async def on_start(self, context: Context) -> None:
        """Poll at once, and when told that another node has changed the set."""
        self.stops.wake = partial(context.ref.try_tell, Poll())
        await super().on_start(context)

    async def poll(self) -> float:
        """Read the set now, if the database answers."""
        try:
            await self.stops.poll()
        except StorageUnavailable as error:
            log.debug("stops.not_read", extra={"reason": error.reason})
        return POLL_S
