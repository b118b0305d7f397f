"""The timeouts of a state machine."""

import math

import pytest
import trio

from actors.behaviours.state_machine import Entered, EventTimeout, StateTimeout, on_entry
from tests.actors.behaviours.lights import Light, Note, doing, start, to
from tests.actors.troupe import tell


async def test_a_state_timeout_ends_with_its_state(autojump_clock, light, system):
    await light.do(lambda machine, _: machine.state_timeout(5))
    await light.do(to("dark"))
    assert len(system.timers) == 1  # the shared deadline of the asks
    await light.do(to("red"))
    light.news()

    class Busy(Light):
        async def dark(self, event, context):
            if event == "leave":
                await trio.sleep(10)
                self.become(self.red)
            else:
                await self.anywhere(event, context)

    busy = await start(system, Busy, first="dark", name="busy")
    await busy.do(lambda machine, _: machine.state_timeout(5))
    await busy.tell("leave")
    await trio.sleep(20)
    assert busy.news() == ["dark -> red"]


@pytest.mark.parametrize("order", ["change first", "timeout first"])
async def test_a_state_timeout_set_with_a_change_is_that_of_the_new_state(autojump_clock, light, order):
    acts = [to("green"), lambda machine, _: machine.state_timeout(5, "new")]
    await light.do(doing(*(acts if order == "change first" else reversed(acts))))
    await trio.sleep(10)
    assert light.news() == ["red -> green", "StateTimeout new in green at 5"]


async def test_a_state_timeout_can_be_set_on_entry_and_at_the_start(autojump_clock, system):
    class Blinking(Light):
        async def initial(self, context):
            self.state_timeout(7, "start")
            return self.red

        @on_entry
        async def green(self, event, context):
            if isinstance(event, Entered):
                self.state_timeout(2, "entry")
            elif isinstance(event, StateTimeout):
                self.become(self.dark)

    light = await start(system, Blinking)
    await trio.sleep(8)
    assert light.news() == ["StateTimeout start in red at 7"]
    await light.do(to("green"))
    await trio.sleep(3)
    assert await light.state() == "dark"


async def test_a_state_timeout_set_again_replaces_the_old_and_can_be_taken_back(autojump_clock, light, system):
    await light.do(lambda machine, _: machine.state_timeout(5, "old"))
    await light.do(lambda machine, _: machine.state_timeout(8, "new"))
    await trio.sleep(10)
    assert light.news() == ["StateTimeout new in red at 8"]
    await light.do(lambda machine, _: machine.state_timeout(5))
    await light.do(lambda machine, _: machine.state_timeout(math.inf))
    await trio.sleep(10)
    assert light.news() == []
    assert len(system.timers) == 0


@pytest.mark.parametrize("event", ["told", "timer", "inserted", "postponed"])
async def test_any_event_ends_an_event_timeout(autojump_clock, light, event):
    set_it = [lambda machine, _: machine.event_timeout(5)]
    match event:
        case "told":
            await light.do(*set_it)
            await trio.sleep(4)
            await light.tell(Note("x"))
        case "timer":
            await light.do(doing(lambda _, context: context.set_timer("x", 4, Note("x")), *set_it))
        case "inserted":
            await light.do(doing(*set_it, lambda machine, _: machine.next_event(Note("x"))))
        case "postponed":
            await light.tell(Note("x", "red"))
            light.news()
            await light.do(doing(*set_it, to("dark")))
    await trio.sleep(20)
    assert light.news() == ["x"]


async def test_a_change_of_state_alone_does_not_end_an_event_timeout(autojump_clock, light):
    await light.do(doing(lambda machine, _: machine.event_timeout(5), to("green")))
    await trio.sleep(20)
    assert light.news() == ["red -> green", "EventTimeout None in green at 5"]


async def test_an_event_that_waits_already_goes_before_an_event_timeout_of_zero(autojump_clock, light):
    await tell(light.ref, Note("first", then=lambda machine, _: machine.event_timeout(0, "now")), Note("second"))
    assert light.news() == ["first", "second"]
    await light.tell(Note("third", then=lambda machine, _: machine.event_timeout(0, "now")))
    assert light.news()[1].startswith("EventTimeout now in red")


async def test_an_event_that_comes_in_the_moment_of_an_event_timeout_goes_before_it(autojump_clock, system):
    class Busy(Light):
        async def receive(self, message, context):
            if isinstance(message, EventTimeout):
                context.ref.tell(Note("x"))
            await super().receive(message, context)

    light = await start(system, Busy)
    await light.do(lambda machine, _: machine.event_timeout(5))
    await trio.sleep(20)
    assert light.news() == ["x"]


async def test_a_postponed_event_goes_before_an_event_timeout_and_ends_it(autojump_clock, system):
    class Slow(Light):
        async def receive(self, message, context):
            await super().receive(message, context)
            await trio.sleep(1)

    light = await start(system, Slow)
    await light.tell(Note("a", "red"))
    await light.tell(Note("go", then=doing(to("dark"), lambda machine, _: machine.event_timeout(0.5))))
    await trio.sleep(20)
    assert light.news() == ["not a in red", "go", "a"]


@pytest.mark.promise("timers.die")
async def test_all_timeouts_die_with_the_machine(autojump_clock, system, light):
    await light.do(
        doing(
            lambda machine, _: machine.state_timeout(5),
            lambda machine, _: machine.event_timeout(5),
            lambda _, context: context.set_timer("x", 5, Note("x")),
        )
    )
    await trio.sleep(0.1)
    light.ref.kill()
    await trio.sleep(20)
    assert light.news() == ["None -> red"]
    assert len(system.timers) == 0
