"""A state machine: its states, their changes, and the events it inserts itself."""

import pytest
import trio
from attrs import frozen

from actors import Actor, Ask, ChildSpec, Crashed, MessageUnhandled, Restart, StartFailed, UnhandledMessage
from actors.behaviours.state_machine import Entered, OutsideHandler, StateMachine, on_entry, state_name
from tests.actors.behaviours.lights import Do, Light, Note, Query, doing, start, to
from tests.actors.troupe import collect, settled, tell


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
    assert not [event for event in events if isinstance(event, MessageUnhandled)]


async def test_the_last_state_named_counts(autojump_clock, light):
    await light.tell(Note("go", then=doing(to("dark"), to("green"))))
    assert light.news() == ["go", "red -> green"]
    await light.tell(Note("go", then=doing(to("dark"), to("green"))))
    assert light.news() == ["go"]
    assert await light.state() == "green"


async def test_the_same_state_is_no_change(autojump_clock, light):
    await light.tell(Note("later", "red"), Note("stay", then=to("red")))
    assert light.news() == ["not later in red", "stay"]


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
    answers = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(collect, answers, lambda: light.ref.ask(Query()))
        await settled()
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


async def test_a_state_can_be_any_async_function(autojump_clock, light):
    async def broken(event, context):
        if isinstance(event, Do):
            event.reply(event.act(None, context))

    await light.do(lambda machine, _: machine.become(broken))
    assert await light.ref.ask(Do(lambda *_: "broken")) == "broken"
    assert state_name(broken) == "broken"


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


async def test_nothing_is_an_event_too(autojump_clock, light, system):
    await light.tell(None, Note("a"))
    assert light.news() == ["a"]
    assert system.unhandled == 1


async def test_a_machine_that_has_started_is_in_no_event(autojump_clock, system):
    errors = []

    class Tasked(Light):
        async def initial(self, context):
            context.start_soon(self.later)
            return self.dark

        async def later(self):
            await trio.sleep(1)
            with pytest.raises(OutsideHandler) as caught:
                self.next_event("x")
            errors.append(caught.value)

    await start(system, Tasked)
    await trio.sleep(2)
    assert len(errors) == 1


async def test_a_machine_whose_start_hook_was_overridden_says_so(autojump_clock, system):
    class Confused(Light):
        async def on_start(self, context):
            self._inserted = []

    ref = await system.spawn(ChildSpec("confused", Confused, restart=Restart.TEMPORARY))
    ref.tell("x")
    exit_ = await ref.wait_stopped()
    assert isinstance(exit_, Crashed)
    assert isinstance(exit_.error, OutsideHandler)


async def test_a_machine_without_an_initial_state_does_not_start(autojump_clock, system):
    class Nowhere(StateMachine):
        """No state at all."""

    with pytest.raises(StartFailed, match="Nowhere has no initial state"):
        await system.spawn(ChildSpec("nowhere", Nowhere))


async def test_inserted_events_come_before_all_others_in_their_order(autojump_clock, light):
    def insert(*notes):
        return lambda machine, _: [machine.next_event(note) for note in notes]

    light.ref.tell(Note("a", then=insert(Note("a1", then=insert(Note("a11"), Note("a12"))), Note("a2"))))
    await tell(light.ref, Note("b"))
    assert light.news() == ["a", "a1", "a11", "a12", "a2", "b"]


async def test_an_inserted_event_is_for_the_new_state_and_comes_before_what_was_postponed(autojump_clock, light):
    await light.tell(Note("p", "red"))
    await light.do(doing(lambda machine, _: machine.next_event(Note("i", "red")), to("green")))
    assert light.news() == ["not p in red", "red -> green", "i", "p"]


async def test_an_inserted_event_may_change_the_state_again(autojump_clock, light):
    await light.tell(Note("p", "red green"))
    await light.do(doing(lambda machine, _: machine.next_event(Note("i", then=to("dark"))), to("green")))
    assert light.news() == ["not p in red", "red -> green", "i", "p"]
    assert await light.state() == "dark"


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


def test_a_machine_is_a_plain_actor():
    assert issubclass(StateMachine, Actor)
    assert Light().state == ""
