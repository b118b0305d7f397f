"""An actor that changes how it behaves."""

import pytest

from actors import ActorDied, ChildSpec
from actors.behaviours.become import Becoming, TooManyBehaviours
from tests.actors.behaviours.lights import Do
from tests.actors.troupe import settled


class Mood(Becoming):
    def __init__(self):
        self.said = []

    async def first(self, message, context):
        await self.listen("calm", message, context)

    async def happy(self, message, context):
        await self.listen("happy", message, context)

    async def sad(self, message, context):
        await self.listen("sad", message, context)

    async def listen(self, mood, message, context):
        match message:
            case Do() as ask:
                ask.reply(ask.act(self, context))
            case str():
                self.said.append(f"{mood} {message}")
            case _:
                context.unhandled(message)


@pytest.fixture
async def mood(system):
    """An actor that may become another."""
    return await system.spawn(ChildSpec("mood", Mood))


async def said(ref):
    """What it said."""
    return await ref.ask(Do(lambda actor, _: list(actor.said)))


async def test_an_actor_becomes_another_from_the_next_message_on(autojump_clock, mood):
    """And again; the one before is forgotten."""
    mood.tell("1")
    await mood.ask(Do(lambda actor, context: actor.become(actor.happy, context)))
    mood.tell("2")
    await mood.ask(Do(lambda actor, context: actor.become(actor.sad, context)))
    mood.tell("3")
    await mood.ask(Do(lambda actor, _: actor.unbecome()))
    mood.tell("4")
    assert await said(mood) == ["calm 1", "happy 2", "sad 3", "calm 4"]


async def test_an_actor_returns_to_what_it_kept(autojump_clock, mood):
    """One behaviour at a time, and at last to the first, where it stays."""
    for name in ("happy", "sad"):
        await mood.ask(Do(lambda actor, context, name=name: actor.become(getattr(actor, name), context, keep=True)))
    for number in range(4):
        mood.tell(str(number))
        await mood.ask(Do(lambda actor, _: actor.unbecome()))
    assert await said(mood) == ["sad 0", "happy 1", "calm 2", "calm 3"]


async def test_an_actor_keeps_a_bounded_number_of_behaviours(autojump_clock, mood):
    """One that never returns is told so, and behaves as before."""

    def pile_up(actor, context):
        for _ in range(100):
            actor.become(actor.happy, context, keep=True)
        with pytest.raises(TooManyBehaviours, match="/test/mood keeps 100 behaviours to return to, and no more"):
            actor.become(actor.sad, context, keep=True)
        actor.become(actor.happy, context)

    await mood.ask(Do(pile_up))
    mood.tell("1")
    assert await said(mood) == ["happy 1"]


async def test_a_restarted_actor_behaves_as_at_first(autojump_clock, mood):
    """What it became belonged to the incarnation that crashed."""
    await mood.ask(Do(lambda actor, context: actor.become(actor.happy, context)))
    with pytest.raises(ActorDied):
        await mood.ask(Do(lambda *_: 1 / 0))
    mood.tell("1")
    assert await said(mood) == ["calm 1"]


async def test_an_actor_without_a_first_behaviour_knows_nothing(autojump_clock, system):
    """Every message is unhandled."""
    ref = await system.spawn(ChildSpec("blank", Becoming))
    ref.tell("x")
    await settled()
    assert system.unhandled == 1
