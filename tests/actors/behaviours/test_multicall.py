"""One question to many actors at once."""

import functools

import pytest
import trio
import trio.testing

from actors import ActorDied, AskTimeout, ChildSpec
from actors.behaviours.multicall import ask_all
from tests.actors.behaviours.adders import Add, Adder, Later, Total
from tests.actors.troupe import Run, settled, sleeping


@pytest.fixture
async def adder(system):
    """A running adder."""
    return await system.spawn(ChildSpec("adder", Adder))


async def test_a_question_to_many_brings_each_answer_and_each_failure(autojump_clock, system):
    """Nobody's death or silence keeps the others back."""
    refs = [await system.spawn(ChildSpec(f"adder{number}", Adder)) for number in range(4)]
    for number, ref in enumerate(refs):
        ref.tell(Add(number))
    await refs[1].stop()
    refs[2].tell(Run(sleeping(100)))
    before = trio.current_time()
    replies = await ask_all(refs, Total, timeout_s=2)
    assert replies.answers == {refs[0]: 0, refs[3]: 3}
    assert list(replies.failures) == [refs[1], refs[2]]
    assert isinstance(replies.failures[refs[1]], ActorDied)
    assert isinstance(replies.failures[refs[2]], AskTimeout)
    assert trio.current_time() == pytest.approx(before + 2, abs=0.02)


async def test_a_question_to_nobody_has_no_answers(autojump_clock):
    """At once."""
    replies = await ask_all([], Total)
    assert not replies.answers
    assert not replies.failures


async def test_an_actor_named_twice_is_asked_once(autojump_clock, adder):
    """One answer each."""
    made = []
    replies = await ask_all([adder, adder], lambda: made.append(Total()) or made[-1])
    assert replies.answers == {adder: 0}
    assert len(made) == 1


async def test_the_answers_come_in_the_order_in_which_the_actors_were_named(autojump_clock, system):
    """Not in that in which they answered."""
    refs = [await system.spawn(ChildSpec(name, Adder)) for name in ("slow", "quick")]
    refs[0].tell(Run(sleeping(1)))
    replies = await ask_all(refs, Total)
    assert list(replies.answers) == refs


async def test_a_question_to_many_that_is_cancelled_takes_all_requests_back(autojump_clock, adder):
    """None is served later."""
    adder.tell(Run(sleeping(10)))
    with trio.move_on_after(1):
        await ask_all([adder], functools.partial(Later, "a"), timeout_s=100)
    await settled()
    assert not any(lane.depth for lane in adder.statistics().values())
