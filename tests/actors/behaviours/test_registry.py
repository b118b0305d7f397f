"""Names and groups: who has them, until when, and who is told."""

import gc
import weakref

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import (
    Actor,
    ActorDied,
    ActorSystem,
    Backoff,
    ChildSpec,
    Conflate,
    MailboxFull,
    MailboxSpec,
    Overflow,
    Restart,
    StartFailed,
    StopMode,
    Terminated,
)
from actors.behaviours.registry import Listing, NameTaken, NotRegistered, Registry, RegistryStatistics
from actors.testing import Probe
from tests.actors.troupe import Boom, Hang, Read, Run, calls, during, kill, player, settled, sleeping, tell

EMPTY = RegistryStatistics(keys=0, entries=0, subscriptions=0, waiting=0, dropped=0)


@pytest.fixture
def registry(system):
    return Registry(system)


def temporary(name, **options):
    return player(name, restart=Restart.TEMPORARY, **options)


def narrow(name, capacity, overflow=Overflow.WAIT):
    return player(name, mailbox=MailboxSpec(capacity=capacity, overflow=overflow))


@pytest.mark.promise("names.taken")
async def test_a_taken_name_is_refused_and_its_owner_left_alone(autojump_clock, system, registry):
    owner, other = [await system.spawn(player(name)) for name in ("owner", "other")]
    registry.register("db", owner)
    registry.register("db", owner)
    with pytest.raises(NameTaken, match="'db' belongs to /test/owner") as caught:
        registry.register("db", other)
    assert caught.value.ref is owner
    assert registry.lookup("db") is owner
    assert registry.members("db") == (owner,)
    assert await owner.ask(Read()) == []


@pytest.mark.promise("names.taken")
async def test_a_key_is_a_name_or_a_group_and_not_both(autojump_clock, system, registry):
    first, second = [await system.spawn(player(name)) for name in ("one", "other")]
    registry.register("key", first)
    with pytest.raises(NameTaken):
        registry.join("key", second)
    registry.deregister("key", first)
    registry.join("key", first)
    for ref in (first, second):
        with pytest.raises(NameTaken):
            registry.register("key", ref)
    registry.join("key", second)
    await first.stop()
    await second.stop()
    third = await system.spawn(player("third"))
    registry.register("key", third)
    assert registry.members("key") == (third,)


@pytest.mark.promise("watch.tables-empty")
@pytest.mark.parametrize("given_up", ["entry", "subscription"])
async def test_an_actor_gives_up_one_of_two_ties_to_a_key(autojump_clock, ref, registry, given_up):
    registry.join("group", ref)
    registry.subscribe("group", ref)
    if given_up == "entry":
        assert registry.deregister("group", ref)
        assert await ref.ask(Read()) == [Listing("group", (ref,)), Listing("group", ())]
    else:
        registry.unsubscribe("group", ref)
        assert registry.members("group") == (ref,)
    await ref.stop()
    assert registry.statistics() == EMPTY


async def test_the_dead_get_no_entry(autojump_clock, ref, registry):
    await ref.stop()
    with pytest.raises(ActorDied):
        registry.register("name", ref)
    with pytest.raises(ActorDied):
        registry.join("group", ref)
    registry.subscribe("name", ref)
    assert registry.statistics() == EMPTY


@pytest.mark.promise("watch.tables-empty")
@pytest.mark.parametrize("end", ["crash", "kill", "stop", "normal"])
async def test_entries_go_with_their_actor(autojump_clock, system, registry, events, end):
    leaving, staying = [await system.spawn(temporary(name)) for name in ("leaving", "staying")]
    registry.register("name", leaving)
    for ref in (leaving, staying):
        registry.join("group", ref)
        registry.subscribe("other", ref)
    match end:
        case "crash":
            leaving.tell(Boom())
        case "kill":
            leaving.kill()
        case "stop":
            await leaving.stop()
        case "normal":
            await leaving.ask(Run(lambda context: context.stop()))
    await leaving.wait_stopped()
    assert registry.lookup("name") is None
    assert registry.members("group") == (staying,)
    assert registry.statistics() == RegistryStatistics(keys=1, entries=1, subscriptions=1, waiting=0, dropped=0)
    await staying.stop()
    assert registry.statistics() == EMPTY
    references = [weakref.ref(leaving), weakref.ref(staying)]
    del leaving, staying, ref
    events.clear()  # the error of a crash knows the task that it ended
    gc.collect()
    assert [reference() for reference in references] == [None, None]


@pytest.mark.promise("names.free-before-terminated")
async def test_a_name_is_free_before_anybody_hears_that_its_owner_ended(autojump_clock, system, registry):
    owners = []

    def take(reporter, name, ref):
        owners.append((reporter, registry.lookup(name)))
        registry.register(name, ref)
        registry.deregister(name, ref)

    class Watcher(Actor):
        async def on_start(self, context):
            context.watch(owner)

        async def receive(self, message, context):
            assert isinstance(message, Terminated)
            take("watcher", "name", context.ref)

    async def asker():
        with pytest.raises(ActorDied):
            await owner.ask(Run(sleeping()))
        take("asker", "name", heir)

    async def stopper():
        await owner.stop(StopMode.NOW)
        take("stopper", "name", heir)

    owner, heir = [await system.spawn(player(name)) for name in ("owner", "heir")]
    registry.register("name", owner)
    await system.spawn(ChildSpec("watcher", Watcher))
    async with during(asker) as nursery:
        nursery.start_soon(stopper)
    await settled()
    assert sorted(owners) == [("asker", None), ("stopper", None), ("watcher", None)]


@pytest.mark.promise("names.free-before-terminated")
async def test_a_name_is_free_before_the_end_is_recorded(autojump_clock, system, registry):
    owner, heir = [await system.spawn(player(name)) for name in ("owner", "heir")]
    registry.register("name", owner)
    owners = []

    def take_over(letter):
        if letter.message != "queued":
            return  # what was in work is told of while the actor ends
        owners.append(registry.lookup("name"))
        registry.register("name", heir)

    system.dead_letters.subscribe(take_over)
    await tell(owner, Hang())
    owner.tell("queued")
    await owner.stop()
    assert owners == [None]
    assert registry.lookup("name") is heir
    await heir.stop()
    assert registry.statistics() == EMPTY


@pytest.mark.promise("names.free-before-terminated", "watch.new-incarnation-is-not-old")
async def test_a_restart_keeps_the_entry_and_a_new_actor_does_not_have_it(autojump_clock, system, registry):
    ref = await system.spawn(player("a", backoff=Backoff(min_s=5.0)))
    registry.register("name", ref)
    registry.join("group", ref)
    registry.subscribe("other", ref)
    await kill(ref)
    assert registry.lookup("name") is ref
    await trio.sleep(10)
    assert registry.lookup("name") is ref
    assert await ref.ask(Read()) == [Listing("other", ())]
    registry.join("other", ref)
    assert (await ref.ask(Read()))[-1] == Listing("other", (ref,))
    await ref.stop()
    again = await system.spawn(player("a"))
    assert again.path == ref.path
    assert registry.lookup("name") is None
    assert registry.members("group") == ()
    registry.register("name", again)
    assert registry.lookup("name") is again


@pytest.mark.promise("names.subscribers")
async def test_a_subscriber_gets_the_listing_and_then_each_change(autojump_clock, system, registry):
    probe = await Probe.open(system)
    a, b = [await system.spawn(player(name)) for name in "ab"]
    registry.join("group", a)
    registry.subscribe("group", probe.ref)
    assert await probe.expect(Listing) == Listing("group", (a,))
    registry.join("group", b)
    registry.join("group", b)
    registry.join("another group", b)
    assert await probe.expect(Listing) == Listing("group", (a, b))
    registry.deregister("group", a)
    assert await probe.expect(Listing) == Listing("group", (b,))
    registry.subscribe("group", probe.ref)
    assert await probe.expect(Listing) == Listing("group", (b,))
    await b.stop()
    assert await probe.expect(Listing) == Listing("group", ())
    registry.subscribe("name", probe.ref)
    assert await probe.expect(Listing) == Listing("name", ())
    registry.register("name", a)
    assert await probe.expect(Listing) == Listing("name", (a,))
    registry.unsubscribe("name", probe.ref)
    registry.unsubscribe("name", probe.ref)
    registry.deregister("name", a)
    await probe.expect_none()


@pytest.mark.promise("names.subscribers")
async def test_members_of_a_group_may_follow_it_and_are_not_told_of_their_own_end(autojump_clock, system, registry):
    refs = [await system.spawn(temporary(name)) for name in "abc"]
    for ref in refs:
        for key in ("x", "y"):
            registry.join(key, ref)
    for ref in refs:
        registry.subscribe("x", ref)
    registry.subscribe("y", refs[2])
    await settled()
    await kill(refs[0])
    assert (await refs[1].ask(Read()))[-1] == Listing("x", (refs[1], refs[2]))
    assert (await refs[2].ask(Read()))[-2:] == [Listing("x", (refs[1], refs[2])), Listing("y", (refs[1], refs[2]))]
    assert system.dead_letters.count == 0


@pytest.mark.promise("names.subscribers", "bitten.every-drop-counted")
async def test_a_full_subscriber_harms_nobody_and_is_right_again_later(autojump_clock, system, registry):
    full = await system.spawn(narrow("full", 1))
    picky = await system.spawn(narrow("picky", 9, Conflate(lambda listing: listing.nothing)))
    other = await system.spawn(player("other"))
    refs = [await system.spawn(player(name)) for name in "abc"]
    registry.subscribe("group", full)
    await settled()
    await tell(full, Run(sleeping(5.0)))
    full.tell("fills")
    registry.subscribe("group", other)
    with pytest.raises(MailboxFull):
        registry.subscribe("another", full)
    with pytest.raises(AttributeError):
        registry.subscribe("group", picky)
    registry.join("group", refs[0])
    registry.join("group", refs[1])
    assert registry.statistics() == RegistryStatistics(keys=1, entries=2, subscriptions=2, waiting=0, dropped=2)
    lost = [(letter.path, letter.lane, letter.why) for letter in system.dead_letters]
    assert lost == [("/test/full", "normal", "overflow")] * 2
    await trio.sleep(6)
    registry.join("group", refs[2])
    await settled()
    assert (await full.ask(Read()))[-1] == Listing("group", tuple(refs))
    assert len(await other.ask(Read())) == 4


async def test_a_name_can_be_waited_for(autojump_clock, registry, ref):
    async with calls(*[lambda: registry.wait_for("name", timeout_s=60.0)] * 2) as refs:
        await trio.sleep(30)
        assert registry.statistics().waiting == 2
        registry.register("other name", ref)
        await settled()
        assert refs == []
        registry.register("name", ref)
    assert (refs, trio.current_time()) == ([ref, ref], 30)
    with trio.testing.assert_checkpoints():
        assert await registry.wait_for("name", timeout_s=0.0) is ref
    assert registry.statistics().waiting == 0


async def test_a_name_that_nobody_takes_in_time_is_an_error(autojump_clock, system, registry):
    with pytest.raises(NotRegistered, match="no actor registered as 'name' within 5 s"):
        await registry.wait_for("name")
    assert trio.current_time() == 5.0
    with pytest.raises(trio.TooSlowError):
        await registry.wait_for("name", timeout_s=0.0)
    with trio.move_on_after(1) as scope:
        await registry.wait_for("name", timeout_s=60.0)
    assert scope.cancelled_caught
    assert registry.statistics() == EMPTY


async def test_an_actor_may_register_itself_as_it_starts(autojump_clock, system, registry):
    class Service(Actor):
        async def on_start(self, context):
            registry.register("service", context.ref)
            if context.path.endswith("broken"):
                raise OSError("broken")

    with pytest.raises(StartFailed, match="broken"):
        await system.spawn(ChildSpec("broken", Service))
    assert registry.statistics() == EMPTY
    ref = await system.spawn(ChildSpec("works", Service))
    assert await registry.wait_for("service") is ref


async def test_a_registry_of_a_system_that_ended_is_empty(autojump_clock):
    async with ActorSystem("s", on_event=lambda _: None) as system:
        registry, closed = Registry(system), Registry(system)
        ref = await system.spawn(player("a"))
        for table in (registry, closed):
            table.register("name", ref)
            table.subscribe("name", ref)
        closed.close()
        closed.close()
    assert registry.statistics() == EMPTY
    assert closed.statistics().entries == 1
    assert closed.lookup("name") is None


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["register", "join", "deregister", "subscribe", "unsubscribe", "stop", "kill", "start"]),
        st.integers(0, 2),
        st.sampled_from(["x", "y"]),
    ),
    min_size=5,
    max_size=40,
)


@pytest.mark.promise("watch.tables-empty", "names.taken", "names.subscribers")
@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_the_tables_agree_with_a_model(steps):
    async def main():
        async with ActorSystem("s", on_event=lambda _: None) as system:
            registry = Registry(system)
            refs = [await system.spawn(temporary(f"a{number}")) for number in range(3)]
            model, unique, subscribed = {"x": [], "y": []}, {}, set()
            for step, number, key in steps:
                ref = refs[number]
                match step:
                    case "register" | "join":
                        alone = step == "register"
                        same_kind = not model[key] or unique[key] == alone
                        fits = ref.alive and same_kind and not (alone and model[key] not in ([], [ref]))
                        try:
                            (registry.register if alone else registry.join)(key, ref)
                            assert fits
                            unique[key] = alone
                            model[key] += [ref] if ref not in model[key] else []
                        except (NameTaken, ActorDied):
                            assert not fits
                    case "deregister":
                        assert registry.deregister(key, ref) == (ref in model[key])
                        model[key] = [member for member in model[key] if member is not ref]
                    case "subscribe" | "unsubscribe":
                        getattr(registry, step)(key, ref)
                        (subscribed.add if step == "subscribe" and ref.alive else subscribed.discard)((key, ref))
                    case "stop" | "kill":
                        await ref.stop() if step == "stop" else ref.kill()
                        await ref.wait_stopped()
                        model = {key: [other for other in refs if other is not ref] for key, refs in model.items()}
                        subscribed = {pair for pair in subscribed if pair[1] is not ref}
                    case "start" if not ref.alive:
                        refs[number] = await system.spawn(temporary(f"a{number}"))
                assert {key: list(registry.members(key)) for key in model} == model
                statistics = registry.statistics()
                assert statistics.entries == sum(map(len, model.values()))
                assert statistics.subscriptions == len(subscribed)
                assert statistics.keys == sum(map(bool, model.values()))
            for key, ref in subscribed:
                last = [listing for listing in await ref.ask(Read()) if listing.key == key][-1]
                assert list(last.refs) == model[key]
            for ref in refs:
                await ref.stop()
            assert registry.statistics() == EMPTY

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_no_listing_is_made_of_a_group_without_subscribers(autojump_clock, system):
    class Counting(Registry):
        """Counts how often a listing is made."""

        listings = 0

        def members(self, key):
            self.listings += 1
            return super().members(key)

    registry = Counting(system)
    refs = [await system.spawn(temporary(f"p{number}")) for number in range(20)]
    for ref in refs:
        registry.join("group", ref)
    registry.deregister("group", refs[0])
    await refs[1].stop()
    assert (registry.lookup("group"), registry.listings) == (refs[2], 0)
    registry.subscribe("group", refs[0])
    await refs[2].stop()
    assert registry.listings == 2
