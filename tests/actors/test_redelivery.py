"""A message whose handling crashed its actor: skipped by default, given again if the spec says so, and set aside."""

import pytest
import trio

from actors import ActorDied, ChildSpec, DeadLetter
from tests.actors.troupe import Player, Read, Run, kill, player, tell


class Fragile(Player):
    """Crashes on the first `times` tries of each `Boom`-like message, counted outside of it."""

    def __init__(self, tries, times):
        super().__init__()
        self.tries = tries
        self.times = times

    async def receive(self, message, context):
        if isinstance(message, str) and message.startswith("bad"):
            self.tries.append((context.incarnation, message))
            if len(self.tries) <= self.times:
                raise ValueError(f"cannot do {message}")
        await super().receive(message, context)


def fragile(tries, times, **options):
    return ChildSpec("a", lambda: Fragile(tries, times), **options)


@pytest.mark.promise("restart.failed-message-skipped", "restart.poison")
@pytest.mark.parametrize(
    ("redeliver", "times", "messages", "heard", "tries"),
    [
        (0, 1, ["bad", "next"], ["next"], [(1, "bad")]),
        (2, 2, ["bad", "next"], ["bad", "next"], [(1, "bad"), (2, "bad"), (3, "bad")]),
        (1, 2, ["bad 1", "bad 2"], ["bad 2"], [(1, "bad 1"), (2, "bad 1"), (3, "bad 2")]),
    ],
)
async def test_a_message_is_given_again_before_all_others_as_often_as_the_spec_says(
    autojump_clock, system, redeliver, times, messages, heard, tries
):
    handled = []
    ref = await system.spawn(fragile(handled, times, redeliver=redeliver))
    await tell(ref, *messages)
    assert await ref.ask(Read()) == heard
    assert handled == tries


@pytest.mark.promise("restart.poison")
async def test_a_message_that_too_many_incarnations_crash_on_is_set_aside_with_its_history(autojump_clock, system):
    tries = []
    ref = await system.spawn(fragile(tries, 99, redeliver=1))
    await tell(ref, "bad", "next")
    assert await ref.ask(Read()) == ["next"]
    assert list(system.dead_letters) == [
        DeadLetter("/test/a", "again", "bad", "poison", ("ValueError: cannot do bad",) * 2)
    ]


@pytest.mark.promise("ask.death-during-call")
async def test_a_request_is_not_given_again(autojump_clock, system):
    ref = await system.spawn(player("a", redeliver=3))
    with pytest.raises(ActorDied):
        await ref.ask(Run(lambda _: 1 / 0), timeout_s=float("inf"))
    assert await ref.ask(Read()) == []
    assert system.explain(ref.path).incarnation == 2
    assert len(system.dead_letters) == 0


async def test_a_message_that_told_a_killed_actor_is_given_again(autojump_clock, system):
    started = []

    async def hang(context):
        started.append(context.incarnation)
        if context.incarnation == 1:
            await trio.sleep_forever()

    ref = await system.spawn(player("a", redeliver=1))
    await tell(ref, Run(hang))
    await kill(ref)
    assert started == [1, 2]
