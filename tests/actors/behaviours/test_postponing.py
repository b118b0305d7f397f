"""Events that a state machine puts off until it is in another state."""

import pytest
import trio

from actors import ActorCrashed, Ask, Directive
from actors.behaviours.state_machine import Entered, StateTimeout, on_entry
from actors.stash import StashFull
from tests.actors.behaviours.lights import Light, Note, Query, doing, start, to
from tests.actors.troupe import tell


async def test_an_event_can_change_the_state_and_be_postponed_into_it(autojump_clock, light):
    class Opening(Light):
        async def red(self, event, context):
            if event == "open":
                self.diary.append("open")
                self.postpone()
                self.become(self.green)
            else:
                await super().red(event, context)

        @on_entry
        async def green(self, event, context):
            self.diary.append(event if isinstance(event, str) else type(event).__name__)

    system = await light.do(lambda _, context: context.system)
    opening = await start(system, Opening, name="opening")
    await opening.tell("open", "next")
    assert opening.news() == ["open", "Entered", "open", "next"]


async def test_the_postponed_events_are_bounded(autojump_clock, system):
    class Small(Light):
        postponed_capacity = 2

        async def anywhere(self, event, context):
            try:
                await super().anywhere(event, context)
            except StashFull as error:
                self.diary.append(str(error))

    light = await start(system, Small)
    await light.tell(*(Note(word, "red") for word in "abc"))
    assert light.news()[-1] == "/test/light: the stash holds 2 messages and is full"
    await light.do(to("dark"))
    assert light.news() == ["a", "b"]


@pytest.mark.promise("peers.restart-gap")
async def test_a_crash_starts_over_in_the_initial_state_with_what_was_postponed(autojump_clock, system, light, events):
    await light.tell(Note("go", then=to("green")), Note("a", "green"), Note("b", "green red"))
    light.news()
    await tell(light.ref, Note("boom", then=lambda *_: 1 / 0), Note("c"))
    assert light.news() == ["boom", "None -> red", "a", "not b in red", "c"]
    assert not list(system.dead_letters)
    crashed = next(event for event in events if isinstance(event, ActorCrashed))
    assert "'state': 'green'" in crashed.state


async def test_a_crash_on_entry_fails_the_event_that_led_there(autojump_clock, system):
    class Fragile(Light):
        @on_entry
        async def green(self, event, context):
            raise ValueError("fragile")

    light = await start(system, Fragile)
    await light.tell(Note("a", "red"), Note("go", then=to("green")))
    assert light.news() == ["not a in red", "go", "None -> red", "not a in red"]


async def test_an_event_of_the_machines_own_is_forgotten_with_its_incarnation(autojump_clock, system, light):
    await light.do(lambda machine, _: machine.next_event(Note("own", "red")))
    await light.tell(Note("a", "red"), Note("boom", then=lambda *_: 1 / 0))
    assert light.news()[2:] == ["boom", "None -> red", "not a in red"]
    assert not list(system.dead_letters)


async def test_a_timeout_that_was_postponed_is_forgotten_with_its_incarnation(autojump_clock, system):
    class Busy(Light):
        async def red(self, event, context):
            if isinstance(event, StateTimeout):
                self.postpone()
            else:
                await super().red(event, context)

    light = await start(system, Busy)
    for then in (to("dark"), lambda *_: 1 / 0):
        await light.do(lambda machine, _: machine.state_timeout(1, "late"))
        await trio.sleep(2)
        await light.tell(Note("go", then=then))
        await light.tell(Note("back", then=to("red")))
    news = [word for word in light.news() if word.startswith("StateTimeout")]
    assert news == [f"StateTimeout late in dark at {trio.current_time() - 2:g}"]


async def test_a_machine_that_resumes_goes_on_with_what_was_postponed(autojump_clock, system):
    light = await start(system, directives={ZeroDivisionError: Directive.RESUME})
    await light.tell(Note("a", "red", then=lambda *_: 1 / 0), Note("b", "red"))
    light.news()
    await tell(light.ref, Note("go", then=to("dark")), Note("c"), Note("d"))
    assert light.news() == ["go", "a", "b", "c", "d"]
    assert await light.state() == "dark"
    assert not list(system.dead_letters)


async def test_an_event_that_failed_changes_nothing_when_the_machine_resumes(autojump_clock, system):
    light = await start(system, directives={ZeroDivisionError: Directive.RESUME})
    await light.tell(
        Note(
            "a",
            then=doing(
                to("green"),
                lambda machine, _: machine.state_timeout(1),
                lambda machine, _: machine.next_event(Note("never")),
                lambda machine, _: machine.postpone(),
                lambda *_: 1 / 0,
            ),
        ),
        Note("b"),
    )
    await trio.sleep(5)
    assert light.news() == ["a", "b"]
    assert await light.state() == "red"


async def test_an_entry_that_fails_keeps_nothing_back_when_the_machine_resumes(autojump_clock, system):
    class Fragile(Light):
        @on_entry
        async def green(self, event, context):
            if isinstance(event, Entered):
                raise ZeroDivisionError
            await self.anywhere(event, context)

    light = await start(system, Fragile, directives={ZeroDivisionError: Directive.RESUME})
    await light.tell(Note("a", "red"))
    await light.tell(Note("go", then=doing(to("green"), lambda machine, _: machine.state_timeout(5))))
    await trio.sleep(6)
    assert light.news() == ["not a in red", "go", "a", "StateTimeout None in green at 5"]


class Leave(Ask[None]):
    """Leads into the dark, and is never answered."""


class Patient(Light):
    """Waits when it is told to, and leaves for the dark."""

    async def red(self, event, context):
        if isinstance(event, Leave):
            self.become(self.dark)
            self.state_timeout(30, "dark")
        else:
            await super().red(event, context)

    @on_entry
    async def dark(self, event, context):
        if isinstance(event, Entered | Query) or event == Note("slow", "red"):
            await trio.sleep(10)
        await super().dark(event, context)


async def ask(light, request, patience_s):
    with trio.move_on_after(patience_s):
        await light.ref.ask(request, timeout_s=100)


@pytest.mark.promise("bitten.cancelled-ask")
@pytest.mark.parametrize("patience_s", [3, 15])
async def test_a_caller_that_leaves_does_not_cut_short_what_its_request_set_off(autojump_clock, system, patience_s):
    light = await start(system, Patient)
    await light.tell(Note("a", "red"), Note("slow", "red"), Note("b", "red"))
    light.news()
    begin = trio.current_time()
    await ask(light, Leave(), patience_s)
    await trio.sleep(60)
    entered = [] if patience_s == 3 else ["red -> dark"]
    timeout_at = begin + 30 + min(patience_s, 10)
    assert light.news() == [*entered, "a", "slow", "b", f"StateTimeout dark in dark at {timeout_at:g}"]
    assert not list(system.dead_letters)
