"""The stash against a model of two lists."""

from collections import Counter

import pytest
import trio
import trio.testing
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from actors import Actor, ActorDied, ActorSystem, Ask, ChildSpec
from actors.stash import Stash
from tests.actors.troupe import Boom, Run, settled

COUNTS = st.integers(0, 4)


@frozen(eq=False)
class Item(Ask[None]):
    """Set aside `times` times, then written down; then, `unstash` of those set aside are had again."""

    number: int
    times: int
    unstash: int


STEPS = st.one_of(
    st.tuples(st.sampled_from(["tell", "ask", "timer"]), st.integers(0, 3), COUNTS),
    st.tuples(st.just("unstash"), COUNTS, COUNTS),
    st.tuples(st.just("leave"), st.integers(0, 20)),
    st.tuples(st.just("crash"), COUNTS),
)


class Model:
    """What is set aside and what comes back, as numbers in order; what was written down."""

    def __init__(self):
        self.kept, self.again, self.seen = [], [], []
        self.items, self.left, self.timers = {}, Counter(), set()

    def take(self, item, kind):
        self.items[item.number], self.left[item.number] = item, item.times
        if kind == "timer":
            self.timers.add(item.number)
        self._handle(item.number)
        self._run()

    def unstash(self, *counts):
        """Bring back so many, and so many more in the same turn."""
        for count in counts:
            taken, self.kept = self.kept[:count], self.kept[count:]
            self.again = sorted(self.again + taken)
        self._run()

    def crash(self, count):
        """Bring back so many and crash before any of them is handled."""
        self.again, self.kept = sorted(set(self.again + self.kept) - self.timers), []
        self._run()

    def leave(self, number):
        if number in self.kept:
            self.kept.remove(number)

    def _run(self):
        while self.again:
            self._handle(self.again.pop(0))

    def _handle(self, number):
        if self.left[number]:
            self.left[number] -= 1
            self.kept = sorted([*self.kept, number])
            return
        self.seen.append(number)
        taken, self.kept = self.kept[: self.items[number].unstash], self.kept[self.items[number].unstash :]
        self.again = sorted(self.again + taken)


class Real(Actor):
    """The same, as an actor."""

    def __init__(self, seen, left):
        self.seen = seen
        self.left = left

    async def on_start(self, context):
        self.stash = Stash(context, 100)

    async def receive(self, message, context):
        match message:
            case Run() as ask:
                ask.reply(ask.act(self.stash, context))
            case Boom(error):
                raise error
            case Item() if self.left[message.number]:
                self.left[message.number] -= 1
                self.stash.stash(message)
            case Item():
                self.seen.append(message.number)
                self.stash.unstash(message.unstash)
                message.reply(None)


@given(steps=st.lists(STEPS, max_size=25))
def test_nothing_is_lost_doubled_or_out_of_order(steps):
    async def main():
        with trio.fail_after(60):
            async with (
                ActorSystem("s", intensity=1000, on_event=lambda _: None) as system,
                trio.open_nursery() as nursery,
            ):
                await compare(system, nursery, steps)
                nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def compare(system, nursery, steps):
    model, handled, left, scopes = Model(), [], Counter(), {}
    ref = await system.spawn(ChildSpec("real", lambda: Real(handled, left)))

    async def ask(item):
        with trio.CancelScope() as scopes[item.number]:
            await ref.ask(item, timeout_s=1e9)

    async def run(act):
        return await ref.ask(Run(act))

    for number, (name, *numbers) in enumerate(steps):
        match name, numbers:
            case (("tell" | "ask" | "timer"), [times, unstash]):
                item = Item(number, times, unstash)
                left[number] = times
                match name:
                    case "tell":
                        ref.tell(item)
                    case "ask":
                        nursery.start_soon(ask, item)
                    case "timer":
                        await run(lambda _, context, item=item: context.set_timer(item.number, 0, item))
                        await trio.sleep(0.001)
                model.take(item, name)
            case "unstash", counts:
                await run(lambda stash, _, counts=counts: [stash.unstash(count) for count in counts])
                model.unstash(*counts)
            case "leave", [whose]:
                if whose in scopes:
                    scopes[whose].cancel()
                    model.leave(whose)
            case "crash", [count]:
                with pytest.raises(ActorDied):
                    await run(lambda stash, _, count=count: [stash.unstash(count), 1 / 0])
                model.crash(count)
        await settled()
        assert handled == model.seen
        assert await run(lambda stash, _: [item.number for item in stash]) == model.kept
