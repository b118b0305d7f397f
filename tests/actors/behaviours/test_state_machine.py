"""A state machine: its states, their changes, and the events it inserts itself."""

import pytest
import trio
from attrs import frozen

from actors import Ask, ChildSpec, MessageUnhandled, Restart, StartFailed, UnhandledMessage
from actors.behaviours.state_machine import Entered, OutsideHandler, StateMachine, on_entry
from tests.actors.behaviours.lights import Do, Light, Note, Query, doing, start, to
from tests.actors.troupe import calls, of_type, settled


async def test_a_machine_starts_in_its_initial_state_and_enters_it(autojump_clock, system):
    diary = []
    await system.spawn(ChildSpec("light", lambda: Light(diary)))
    assert diary == ["None -> red"]


async def test_a_change_takes_effect_when_the_event_is_done(autojump_clock, light):
    await light.tell(
        Note("go", then=doing(to("green"), lambda machine, _: machine.diary.append(f"still {machine.state}")))
    )
    assert light.news() == ["go", "still red", "red -> green"]
    assert await light.state() == "green"


async def test_a_state_that_did_not_ask_for_it_is_entered_in_silence(autojump_clock, light, events):
    await light.tell(Note("go", then=to("dark")), Note("on", then=to("red")))
    assert light.news() == ["go", "on", "dark -> red"]
    assert not of_type(events, MessageUnhandled)


async def test_the_last_state_named_counts(autojump_clock, light):
    await light.tell(Note("go", then=doing(to("dark"), to("green"))))
    assert light.news() == ["go", "red -> green"]
    await light.tell(Note("go", then=doing(to("dark"), to("green"))))
    assert light.news() == ["go"]
    assert await light.state() == "green"


async def test_a_state_can_be_left_and_entered_again(autojump_clock, light):
    await light.do(lambda machine, _: machine.state_timeout(5, "old"))
    await light.tell(Note("later", "red"), Note("again", then=to("red", reenter=True)))
    assert light.news() == ["not later in red", "again", "red -> red", "not later in red"]
    await trio.sleep(10)
    assert light.news() == []


async def test_an_unknown_event_is_unhandled_and_the_machine_lives_on(autojump_clock, light, system):
    await light.tell("what")
    with pytest.raises(UnhandledMessage):
        await light.ref.ask(Unknown())
    assert system.unhandled == 2
    assert await light.state() == "red"


class Unknown(Ask[int]):
    """Known in no state."""


async def test_a_request_can_be_answered_from_a_later_state(autojump_clock, light):
    async with calls(lambda: light.ref.ask(Query())) as answers:
        await light.tell(Note("go", then=to("dark")))
        assert answers == []
        await light.tell(Note("on", then=to("green")))
    assert answers == ["green"]


@on_entry
@frozen
class Dimmed:
    """A state that is an object, with data of its own."""

    light: Light
    percent: int

    async def __call__(self, event, context):
        match event:
            case Entered(previous):
                self.light.diary.append(f"{previous} -> {self.percent} %")
            case int(percent):
                self.light.become(Dimmed(self.light, percent))
            case Do() as ask:
                ask.reply(ask.act(self.light, context))


async def test_a_state_can_be_an_object_with_data(autojump_clock, light):
    await light.do(lambda machine, _: machine.become(Dimmed(machine, 50)))
    assert light.news() == ["red -> 50 %"]
    await light.tell(50, 20)
    assert light.news() == ["Dimmed -> 20 %"]
    assert await light.state() == "Dimmed"


@pytest.mark.parametrize("verb", ["become", "postpone"])
async def test_a_state_that_is_entered_changes_nothing_yet(autojump_clock, system, verb):
    class Hasty(Light):
        @on_entry
        async def red(self, event, context):
            if isinstance(event, Entered):
                self.become(self.green) if verb == "become" else self.postpone()

    with pytest.raises(StartFailed) as caught:
        await start(system, Hasty)
    assert isinstance(caught.value.cause, OutsideHandler)
    assert str(caught.value.cause) == f"{verb} is for a state that handles an event"


async def test_a_task_of_the_machine_does_not_change_its_state(autojump_clock, light):
    errors = []

    async def task(machine):
        for act in (
            lambda: machine.become(machine.green),
            machine.postpone,
            lambda: machine.next_event("x"),
            lambda: machine.state_timeout(1),
            lambda: machine.event_timeout(1),
        ):
            with pytest.raises(OutsideHandler) as caught:
                act()
            errors.append(caught.value.verb)

    await light.do(lambda machine, context: context.start_soon(task, machine))
    await settled()
    assert errors == ["become", "postpone", "next_event", "state_timeout", "event_timeout"]


async def test_a_machine_whose_start_hook_was_overridden_says_so(autojump_clock, system):
    class Confused(Light):
        async def on_start(self, context):
            self._inserted = []

    ref = await system.spawn(ChildSpec("confused", Confused, restart=Restart.TEMPORARY))
    ref.tell("x")
    assert isinstance((await ref.wait_stopped()).error, OutsideHandler)


async def test_a_machine_without_an_initial_state_does_not_start(autojump_clock, system):
    class Nowhere(StateMachine):
        """No state at all."""

    with pytest.raises(StartFailed, match="Nowhere has no initial state"):
        await system.spawn(ChildSpec("nowhere", Nowhere))


async def test_events_inserted_on_entry_and_at_the_start_are_served(autojump_clock, system):
    class Eager(Light):
        async def initial(self, context):
            self.next_event(Note("start"))
            return self.red

        @on_entry
        async def green(self, event, context):
            if isinstance(event, Entered):
                self.next_event(Note("entry", then=to("dark")))
            else:
                await self.anywhere(event, context)

    diary = []
    ref = await system.spawn(ChildSpec("light", lambda: Eager(diary)))
    assert diary == ["None -> red", "start"]
    await ref.ask(Do(to("green")))
    await settled()
    assert diary == ["None -> red", "start", "entry"]
