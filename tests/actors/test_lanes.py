"""Lanes in which only the newest message of each key counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import ChildSpec, Lane, MailboxFull, MailboxSpec, Overflow, conflate
from actors.lanes import ConflatingQueue
from tests.actors.troupe import Player, Read, busy, calls, kill, player, settled


def by_name(message):
    """The part of a tuple before its value; no key for anything else."""
    return message[0] if isinstance(message, tuple) else None


def listener(full=Overflow.REJECT, capacity=3):
    """A player whose lanes conflate by the first part of a tuple."""

    return player("a", mailbox=MailboxSpec(capacity, conflate(by_name, full)))


@pytest.fixture
async def ref(system):
    return await system.spawn(listener())


@pytest.mark.promise("mailbox.policies")
async def test_a_newer_message_takes_the_place_of_an_older_one_with_its_key(autojump_clock, system, ref):
    gate = await busy(ref)
    for message in (("x", 1), ("y", 1), ("x", 2), ("x", 3)):
        ref.tell(message)
    statistics = ref.statistics()[Lane.NORMAL]
    gate.set()
    await settled()
    assert await ref.ask(Read()) == [("x", 3), ("y", 1)]
    assert (statistics.depth, statistics.conflated, statistics.dropped, statistics.capacity) == (2, 2, 0, 3)
    assert len(system.dead_letters) == 0


async def test_a_request_is_never_replaced(autojump_clock, system):
    ref = await system.spawn(player("a", mailbox=MailboxSpec(9, conflate(lambda _: "all the same"))))
    gate = await busy(ref)
    async with calls(*[lambda: ref.ask(Read())] * 2) as answers:
        ref.tell("kept")
        gate.set()
    assert answers == [[], []]


async def test_one_key_too_many_is_refused(autojump_clock, system):
    ref = await system.spawn(listener(capacity=1))
    gate = await busy(ref)
    ref.tell(("x", 1))
    with pytest.raises(MailboxFull, match="holds 1"):
        ref.tell(("y", 1))
    with pytest.raises(MailboxFull):
        await ref.send(("y", 1))
    ref.tell(("x", 2))
    gate.set()
    await settled()
    assert await ref.ask(Read()) == [("x", 2)]
    assert ref.statistics()[Lane.NORMAL].rejected == 2


@pytest.mark.parametrize(("full", "kept", "lost"), [(Overflow.DROP_OLDEST, "y", "x"), (Overflow.DROP_NEWEST, "x", "y")])
async def test_one_key_too_many_pushes_one_out_if_told_so(autojump_clock, system, full, kept, lost):
    ref = await system.spawn(listener(full, capacity=1))
    gate = await busy(ref)
    ref.tell(("x", 1))
    ref.tell(("y", 1))
    gate.set()
    await settled()
    assert await ref.ask(Read()) == [(kept, 1)]
    assert [letter.message for letter in system.dead_letters] == [(lost, 1)]


async def test_waiting_messages_survive_a_change_of_conflation(autojump_clock, system):
    made = []

    def factory():
        made.append(Player())
        if len(made) == 2:
            made[-1].mailbox = MailboxSpec(9, conflate(by_name))
        return made[-1]

    ref = await system.spawn(ChildSpec("a", factory))
    await busy(ref)
    for message in (("x", 1), ("x", 2), "plain"):
        ref.tell(message)
    await kill(ref)
    assert await ref.ask(Read()) == [("x", 2), "plain"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers()) | st.just(None)))
def test_a_conflating_queue_holds_the_newest_of_each_key_in_order(script):
    queue = ConflatingQueue(Lane.NORMAL, 2, conflate(by_name))
    model = {}
    for step in script:
        if step is None:
            if model:
                key = next(iter(model))
                assert queue.items.popleft() == (key, model.pop(key))
        elif queue.replace(step):
            model[step[0]] = step[1]
        else:
            assert len(model) == 2
            assert step[0] not in model
        assert list(queue.items) == list(model.items())
