"""`on_undelivered`: the class of an actor is given each of its dead letters."""

import pytest
import trio
from attrs import frozen

from actors import (
    Actor,
    ActorDied,
    Backoff,
    ChildSpec,
    InvalidActor,
    MailboxSpec,
    Overflow,
    Stash,
    StopMode,
    open_system,
)
from actors.behaviours.pool import Broadcast, Pool, PoolRef
from actors.behaviours.topic import Publish, Subscribe, topic
from tests.actors.troupe import Boom, Read, Run, during, failing, settled, sleeping, tell


@frozen(eq=False)
class Parcel:
    """A message that owns something."""

    lost: list[str]

    def released(self, letter):
        self.lost.append(letter.why)


class Keeper(Actor):
    """Releases what parcels own, and fails at a `Boom`."""

    mailbox = MailboxSpec(capacity=2, overflow=Overflow.DROP_OLDEST)

    async def receive(self, message, context):
        match message:
            case Boom(error):
                raise error
            case Run() as ask:
                ask.reply(await ask.act(context))
            case Parcel():
                await trio.sleep(1)

    @classmethod
    def on_undelivered(cls, letter):
        if isinstance(letter.message, Parcel):
            letter.message.released(letter)


@pytest.fixture
def parcel():
    return Parcel([])


async def keeping(system, kind=Keeper, **options):
    return await system.spawn(ChildSpec("keeper", kind, **options))


async def at_work(system, kind=Keeper):
    """A keeper that is at work on a message for a second."""
    ref = await keeping(system, kind)
    await tell(ref, Run(sleeping(1)))
    return ref


class Full(Keeper):
    """Has room for one."""

    mailbox = MailboxSpec(capacity=1, overflow=Overflow.REJECT)


async def to_the_dead(system, parcel):
    ref = await keeping(system)
    await ref.stop()
    ref.tell(parcel)
    return "dead"


async def in_a_drain(system, parcel):
    ref = await at_work(system)
    system.start_soon(system.nursery, "stop", ref.stop, StopMode.AFTER_DRAIN)
    await settled()
    ref.tell(parcel)
    return "stopping"


async def waiting_at_the_end(system, parcel):
    ref = await at_work(system)
    ref.tell(parcel)
    await ref.stop()
    return "stopped"


async def waiting_while_no_incarnation_runs(system, parcel):
    ref = await keeping(system, backoff=Backoff(min_s=10))
    await tell(ref, Boom(), parcel)
    await ref.stop()
    return "stopped"


async def pushed_out(system, parcel):
    ref = await at_work(system)
    await tell(ref, parcel, "second", "third")
    return "overflow"


async def failed_too_often(system, parcel):
    class Fragile(Keeper):
        async def receive(self, message, context):
            raise ValueError

    await tell(await keeping(system, Fragile, redeliver=1), parcel)
    return "poison"


async def cleared(system, parcel):
    class Stasher(Keeper):
        async def receive(self, message, context):
            stash = Stash(context)
            stash.stash(message)
            stash.clear()

    await tell(await keeping(system, Stasher), parcel)
    return "cleared"


async def broadcast_to_a_full_worker(system, parcel):
    pool = PoolRef()
    await system.spawn(ChildSpec("pool", lambda: Pool(pool, ChildSpec("w", Full), 1)))
    await tell(pool, Run(sleeping(1)))
    await tell(pool, "waits", Broadcast(parcel))
    return "overflow"


async def published_to_a_full_subscriber(system, parcel):
    ref = await at_work(system, Full)
    news = await system.spawn(ChildSpec("news", topic()))
    ref.tell("waits")
    await tell(news, Subscribe(ref), Publish(parcel))
    return "overflow"


LOSSES = [
    to_the_dead, in_a_drain, waiting_at_the_end, waiting_while_no_incarnation_runs, pushed_out, failed_too_often,
    cleared, broadcast_to_a_full_worker, published_to_a_full_subscriber,
]  # fmt: skip


@pytest.mark.promise("stop.undelivered")
@pytest.mark.parametrize("lose", LOSSES, ids=lambda lose: lose.__name__)
async def test_the_class_of_an_actor_is_given_each_of_its_dead_letters_once(autojump_clock, system, parcel, lose):
    why = await lose(system, parcel)
    assert parcel.lost == [why]
    assert [letter.why for letter in system.dead_letters if letter.message is parcel] == [why]


@pytest.mark.promise("stop.undelivered")
async def test_a_message_that_waits_when_the_system_ends_is_given_back(autojump_clock, parcel):
    async with open_system() as system:
        (await at_work(system)).tell(parcel)
    assert parcel.lost == ["stopped"]


async def test_a_request_whose_caller_gets_an_error_is_no_dead_letter(autojump_clock, system):
    letters = []

    class Asked(Keeper):
        @classmethod
        def on_undelivered(cls, letter):
            letters.append(letter)

    ref = await at_work(system, Asked)
    async with during(failing, ActorDied, lambda: ref.ask(Read())):
        await ref.stop()
    assert letters == []


async def test_an_error_in_it_is_counted_and_the_letter_is_kept(autojump_clock, system, caplog):
    class Bad(Keeper):
        @classmethod
        def on_undelivered(cls, letter):
            raise ValueError("bad")

    ref = await keeping(system, Bad)
    await ref.stop()
    ref.tell("late")
    assert system.event_errors == 1
    assert system.dead_letters.count == 1
    assert "on_undelivered of Bad raised" in caplog.text


async def test_two_dead_actors_that_hand_a_message_to_each_other_come_to_an_end(autojump_clock, system):
    class Heir(Actor):
        @classmethod
        def on_undelivered(cls, letter):
            letter.message.tell(letter.message)

    ref = await system.spawn(ChildSpec("heir", Heir))
    await ref.stop()
    ref.tell(ref)
    assert system.dead_letters.count == 2
    ref.tell(ref)
    assert system.dead_letters.count == 4


def test_an_instance_method_or_an_async_one_is_refused():
    with pytest.raises(InvalidActor, match="write `@classmethod` above `def`"):

        class Instance(Actor):
            def on_undelivered(self, letter):
                pass

    with pytest.raises(InvalidActor, match="write `@classmethod` above `def`"):

        class Async(Actor):
            @classmethod
            async def on_undelivered(cls, letter):
                pass
