"""Supervised actors without a chat: the package `actors` alone.

    python examples/counters.py

Two counters work under a supervisor. One gets a message that it cannot add, crashes, and is restarted with a fresh
state; the other one is not affected.
"""

import trio
from attrs import define, frozen

from actors import Actor, Ask, ChildSpec, Context, Supervisor, open_system


@frozen
class Add:
    """Add a number."""

    number: int


@define(eq=False)
class Read(Ask[int]):
    """Ask for the sum."""


class Counter(Actor):
    """Adds up."""

    def __init__(self) -> None:
        self.sum = 0

    async def receive(self, message: object, _: Context) -> None:
        match message:
            case Add(number):
                self.sum += number
            case Read() as ask:
                ask.reply(self.sum)


async def main() -> list[int]:
    """Return the sums of both counters before the crash of the first one, and after it."""
    counters = Supervisor([ChildSpec("apples", Counter), ChildSpec("pears", Counter)], intensity=3, period_s=5.0)
    async with open_system("shop", [ChildSpec("counters", lambda: counters)]) as system:
        apples, pears = system.get("/shop/counters/apples"), system.get("/shop/counters/pears")
        for counter in (apples, pears):
            counter.tell(Add(3))
        before = [await apples.ask(Read()), await pears.ask(Read())]
        apples.tell(Add("three"))  # raises TypeError in the counter, which crashes and is restarted by its supervisor
        after = [await apples.ask(Read()), await pears.ask(Read())]
        print(system.tree().text())
    print("before the crash", before, "and after it", after)
    return before + after


if __name__ == "__main__":
    trio.run(main)
