"""Agents, tools and models that operators have stopped: no run may use them. Each node enforces them in its memory.

Nothing is stopped unless `Stops.apply` is called: the extension `operations` does so with what is stored.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, TypeAlias

import trio
from attrs import define, field, frozen

Kind: TypeAlias = Literal["agent", "tool", "model"]
KINDS: Final[tuple[Kind, ...]] = ("agent", "tool", "model")
Names: TypeAlias = Callable[[], Iterable[tuple[str, str]]]
"""Returns the kinds and names of what is at work now."""


@frozen
class StopInForce:
    """A stop: `who` is the user who made it, at `at` by the database's clock, in Unix seconds."""

    kind: Kind
    name: str
    who: str
    reason: str
    at: float


class StoppedByOperator(Exception):
    """An operator has stopped what was to work, or was at work; the text is a sentence for users."""

    def __init__(self, stop: StopInForce) -> None:
        super().__init__(stop_sentence(stop))


def stop_sentence(stop: StopInForce) -> str:
    """Return the sentence that says what was stopped, by whom and why."""
    return f"The {stop.kind} {stop.name} was stopped by an operator ({stop.who}): {stop.reason}"


@define(eq=False)
class Enforcement:
    """Cancels `scope`, which its block enters, as soon as one of the `names` that the block works with is stopped.

    Raises, from the `with` statement:
        StoppedByOperator: The block was cancelled so; or one of its names is stopped already, and it did not begin.
    """

    _stops: "Stops"
    names: Names
    scope: trio.CancelScope
    stop: StopInForce | None = field(default=None, init=False)

    def __enter__(self) -> None:
        stops = self._stops
        if stops.in_force and (stop := stops.find(*self.names())) is not None:
            raise StoppedByOperator(stop)
        stops.watches.add(self)

    def __exit__(self, kind: type[BaseException] | None, _: object, __: object) -> None:
        self._stops.watches.discard(self)
        if kind is None and self.stop is not None and self.scope.cancelled_caught:
            raise StoppedByOperator(self.stop)


@define(eq=False)
class Stops:
    """The stops `in_force` on this node, by kind and name. `wake` has them read now: another node has changed them."""

    wake: Callable[[], object] = field(default=lambda: None, init=False)
    in_force: Mapping[tuple[str, str], StopInForce] = field(factory=dict, init=False)
    watches: set[Enforcement] = field(factory=set, init=False, repr=False)

    def all(self) -> list[StopInForce]:
        """Return the stops, by kind and name."""
        return [stop for _, stop in sorted(self.in_force.items())]

    def find(self, *names: tuple[str, str]) -> StopInForce | None:
        """Return a stop of one of these kinds and names, if there is one."""
        return next(filter(None, map(self.in_force.get, names)), None)

    def apply(self, stops: Iterable[StopInForce]) -> None:
        """Replace the stops in force, and cancel the blocks that work with something that is stopped."""
        self.in_force = {(stop.kind, stop.name): stop for stop in stops}
        for watch in list(self.watches) if self.in_force else ():
            if watch.stop is None and (stop := self.find(*watch.names())) is not None:
                watch.stop = stop
                watch.scope.cancel()
