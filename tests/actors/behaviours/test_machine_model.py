"""State machines against a model of three lists: what is inserted, what comes back, what is in the mailbox."""

import trio
import trio.testing
from attrs import field, frozen
from hypothesis import given
from hypothesis import strategies as st

from actors import ActorSystem, ChildSpec
from actors.behaviours.state_machine import StateMachine
from tests.actors.troupe import settled

STATES = ("red", "green", "dark")


@frozen(eq=False)
class Event:
    """Postponed in some states; in the others it inserts events, and leads to a state, which may be the current one."""

    postponed_in: frozenset[str]
    target: str | None
    again: bool
    inserts: list["Event"] = field(factory=list, repr=False)


def event_strategy(inserts):
    return st.builds(
        Event,
        st.frozensets(st.sampled_from(STATES), max_size=2),
        st.sampled_from([None, *STATES]),
        st.booleans(),
        inserts,
    )


EVENTS = st.lists(event_strategy(st.lists(event_strategy(st.builds(list)), max_size=2)), max_size=12)


class Signal(StateMachine):
    """Does what its events say, and writes down what it got in which state."""

    def __init__(self, diary):
        self.diary = diary

    async def initial(self, context):
        return self.red

    async def red(self, event, context):
        self.diary.append((event, self.state))
        if self.state in event.postponed_in:
            self.postpone()
            return
        for inserted in event.inserts:
            self.next_event(inserted)
        if event.target is not None:
            self.become(getattr(self, event.target), reenter=event.again)

    async def green(self, event, context):
        await Signal.red(self, event, context)

    async def dark(self, event, context):
        await Signal.red(self, event, context)


def modelled(events):
    """What a signal writes down about these events, and what stays postponed."""
    diary, postponed, again, ages = [], [], [], {}
    state, mailbox = "red", list(events)

    def offer(event):
        nonlocal state, postponed, again
        diary.append((event, state))
        if state in event.postponed_in:
            ages.setdefault(event, len(ages))
            postponed.append(event)
            return []
        if event.target is not None and (event.again or event.target != state):
            state = event.target
            again = sorted([*again, *postponed], key=ages.__getitem__)
            postponed = []
        return event.inserts

    while again or mailbox:
        inserted = [(again or mailbox).pop(0)]
        while inserted:
            inserted = [*offer(inserted.pop(0)), *inserted]
    return diary, sorted(postponed, key=ages.__getitem__)


@given(events=EVENTS)
def test_a_machine_does_what_its_model_does(events):
    diary = []

    async def main():
        with trio.fail_after(60):
            async with ActorSystem("s", on_event=lambda _: None) as system:
                machines = []
                spec = ChildSpec("signal", lambda: machines.append(Signal(diary)) or machines[0])
                ref = await system.spawn(spec)
                for event in events:
                    ref.tell(event)
                await settled()
                return list(machines[0].postponed)

    postponed = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert (diary, postponed) == modelled(events)
