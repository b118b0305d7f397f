"""What becomes of messages that are set aside when the incarnation ends, or the actor for good."""

import pytest
import trio

from actors import (
    ActorDied,
    ChildSpec,
    Directive,
    Restart,
    Shutdown,
    StartFailed,
    Strategy,
    Supervision,
    Terminated,
)
from actors.stash import Stash
from tests.actors.keepers import Keeper, Note, Open, Put, crash, keeping, lost, restless
from tests.actors.troupe import Boom, Player, Run, during, failing, player, settled, tell


@pytest.fixture
async def keeper(system):
    return await restless(system)


# The next incarnation


@pytest.mark.promise("peers.restart-gap")
async def test_stashed_messages_outlive_a_crash(autojump_clock, system, keeper):
    await keeper.note("a b")
    await tell(keeper.ref, Boom(), Open(), Note("c"))
    assert len(keeper.incarnations) == 2
    assert keeper.done == ["a", "b", "c"]
    assert lost(system) == []


async def test_a_stash_of_the_next_incarnation_may_be_another(autojump_clock, system):
    made = []

    class Forgetful(Player):
        async def on_start(self, context):
            made.append(self)
            if len(made) == 1:
                Stash(context).stash("a")

    ref = await system.spawn(ChildSpec("forgetful", Forgetful))
    await tell(ref, Boom())
    assert made[1].heard == ["a"]


async def test_a_message_stashed_in_a_failed_start_becomes_a_dead_letter(autojump_clock, system):
    class Early(Keeper):
        async def on_start(self, context):
            await super().on_start(context)
            self.stash.stash(Note("early"))
            raise ValueError("no")

    with pytest.raises(StartFailed):
        await keeping(system, kind=Early)
    assert lost(system) == [("early", "stash", "stopped")]


@pytest.mark.promise("restart.failed-message-skipped")
@pytest.mark.parametrize("redeliver", [0, 2])
async def test_a_message_that_is_set_aside_and_then_fails_has_failed(autojump_clock, system, redeliver):
    class Hasty(Keeper):
        async def receive(self, message, context):
            self.done.append(f"{message.word} {context.incarnation}")
            self.stash.stash(message)
            if message.word == "bad":
                raise ValueError("after all")

    keeper = await keeping(system, kind=Hasty, redeliver=redeliver)
    await keeper.note("bad")
    assert keeper.done == [f"bad {number + 1}" for number in range(redeliver + 1)]
    assert lost(system) == [("bad", "again", "poison")][: min(redeliver, 1)]


async def test_an_error_that_is_resumed_costs_its_own_message(autojump_clock, system):
    keeper = await keeping(system, directives={ValueError: Directive.RESUME})
    async with during(failing, ValueError, lambda: keeper.ref.ask(Put("bad", crash), timeout_s=1e6), "crash"):
        await keeper.tell(Note("a"), Note("worse", crash), Note("b"), Open())
    assert keeper.done == ["a", "b"]
    assert len(keeper.incarnations) == 1


# What belongs to one incarnation


@pytest.mark.promise("timers.die")
async def test_a_timer_that_was_set_aside_comes_back_in_its_own_incarnation_only(autojump_clock, system, keeper):

    async def with_timer():
        await keeper.note("a")
        await keeper.do(lambda _, context: context.set_timer("t", 1, Note("timer")))
        await trio.sleep(2)
        await keeper.note("b")

    await with_timer()
    assert keeper.aside == ["a", "timer", "b"]
    await keeper.do(lambda keeper, _: keeper.stash.unstash_all())
    assert keeper.aside == ["a", "timer", "b"]
    await keeper.tell(Boom())
    assert keeper.aside == ["a", "b"]
    assert lost(system) == []


async def test_a_notice_that_was_set_aside_is_forgotten_with_its_watch(autojump_clock, system, keeper):
    patient = await system.spawn(player("patient", restart=Restart.TEMPORARY))
    await keeper.do(lambda _, context: context.watch(patient))
    await patient.stop()
    await settled()
    assert list(keeper.stash) == [Terminated(patient, Shutdown())]
    await keeper.tell(Boom())
    assert not keeper.stash
    assert lost(system) == []


async def test_a_message_stashed_as_not_lasting_ends_with_its_incarnation(autojump_clock, keeper):
    await keeper.do(lambda keeper, _: keeper.stash.stash(Note("own"), lasting=False))
    await keeper.note("a")
    await keeper.do(lambda keeper, _: keeper.stash.unstash_all())
    assert keeper.aside == ["own", "a"]
    await keeper.tell(Boom())
    assert keeper.aside == ["a"]


@pytest.mark.promise("watch.tables-empty")
async def test_a_stash_is_of_no_use_when_its_incarnation_is_over(autojump_clock, keeper):
    contexts = []
    await keeper.do(lambda _, context: contexts.append(context))
    await keeper.tell(Note("a"), Boom())
    old = keeper.incarnations[0].stash
    assert len(old) == 0
    with pytest.raises(ActorDied, match="/test/keeper"):
        old.stash(Note("late"))
    with pytest.raises(ActorDied, match="/test/keeper"):
        Stash(contexts[0])
    old.unstash_all()
    old.clear()
    assert keeper.aside == ["a"]


async def test_a_sibling_that_starts_again_with_the_others_keeps_what_it_has(autojump_clock, system):
    keeper = await keeping(system)
    group = await system.spawn(player("group", supervision=Supervision(strategy=Strategy.ONE_FOR_ALL)))

    async def populate(context):
        keeper.ref = await context.spawn(ChildSpec("keeper", keeper.make))
        await context.spawn(player("sibling"))

    await group.ask(Run(populate))
    await keeper.note("a")
    await tell(group.children()[1], Boom())
    assert len(keeper.incarnations) == 3
    assert keeper.aside == ["a"]
