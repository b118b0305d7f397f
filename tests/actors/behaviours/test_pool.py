"""Pools of workers: who gets work, and what becomes of it when workers fail."""

import math
from collections import Counter
from contextlib import suppress

import pytest
import trio
import trio.lowlevel
import trio.testing
from attrs import define, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import (
    ActorDied,
    ActorError,
    ActorSystem,
    Ask,
    Backoff,
    ChildSpec,
    InvalidSpec,
    Lane,
    MailboxFull,
    MailboxSpec,
    Restart,
    SelfCall,
    StartFailed,
    State,
    StopMode,
    Supervision,
)
from actors.behaviours.pool import AskedPool, NoWorkers, Pool, PoolRef, Resize
from actors.behaviours.routing import Broadcast, ConsistentHash, LeastLoaded
from tests.actors.troupe import Boom, Hang, Player, Read, Run, calls, during, kill, player, settled, sleeping, tell

SLOW = Backoff(min_s=10.0, max_s=10.0, jitter=0.0)


@frozen
class Who(Ask[str]):
    """Answer with the worker's name, after a while."""

    after_s: float = 0.0
    key: str = ""


class Worker(Player):
    """A player that says who it is."""

    async def receive(self, message, context):
        if isinstance(message, Who):
            await trio.sleep(message.after_s)
            message.reply(name(context.ref))
        else:
            await super().receive(message, context)


def name(ref):
    return ref.path.rsplit("/", 1)[-1]


def worker(**options):
    """The spec of a worker with a mailbox of its own size, and options of `ChildSpec`."""
    mine = {key: options.pop(key) for key in ("starting", "stopping", "supervision") if key in options}
    mine["mailbox"] = MailboxSpec(capacity=options.pop("capacity", 100))
    return ChildSpec("w", lambda: Worker(**mine), **{"backoff": SLOW, **options})


async def open_pool(system, size=3, routing=None, **options):
    pool = PoolRef(routing)
    await system.spawn(ChildSpec("pool", lambda: Pool(pool, worker(**options), size)))
    return pool


async def names(pool, count):
    return [await pool.ask(Who()) for _ in range(count)]


async def heard(pool):
    return {name(ref): await ref.ask(Read()) for ref in pool.workers}


async def fail(ref):
    await tell(ref, Boom())


def losses(system):
    return [(letter.path, letter.message, letter.why) for letter in system.dead_letters]


@pytest.fixture
def listeners(system, monkeypatch):
    """Those who listen to the system's events at the moment."""
    listening, listen = [], system.listen

    def listen_and_note(listener):
        forget = listen(listener)
        listening.append(forget)

        def forget_and_note():
            forget()
            listening.remove(forget)

        return forget_and_note

    monkeypatch.setattr(system, "listen", listen_and_note)
    return listening


@pytest.fixture
async def pool(system):
    return await open_pool(system)


@pytest.mark.promise("pool.routing")
async def test_workers_take_turns(autojump_clock, pool):
    assert await names(pool, 6) == ["w-1", "w-2", "w-3", "w-1", "w-2", "w-3"]
    for number in range(6):
        pool.tell(number)
    assert await heard(pool) == {"w-1": [0, 3], "w-2": [1, 4], "w-3": [2, 5]}


@pytest.mark.promise("pool.routing")
async def test_the_least_loaded_worker_is_asked(autojump_clock, system):
    pool = await open_pool(system, routing=LeastLoaded())
    first, second, third = pool.workers
    async with during(lambda: pool.ask(Who(after_s=3.0))):
        (busy,) = [worker for worker in pool.statistics().workers if worker.unanswered]
        assert busy.depth == 0
        assert Counter(await names(pool, 20)) == {name(ref): 10 for ref in pool.workers if ref.path != busy.path}
    for ref in (first, second):
        ref.tell(Hang())
    await settled()
    for ref in (first, second):
        ref.tell("waits")
    assert await names(pool, 3) == [name(third)] * 3


@pytest.mark.promise("pool.routing")
async def test_a_key_stays_with_its_worker_and_comes_back_to_it(autojump_clock, system):
    pool = await open_pool(system, size=4, routing=ConsistentHash(lambda request: request.key))

    async def owners():
        return {f"room {number}": await pool.ask(Who(key=f"room {number}")) for number in range(40)}

    before = await owners()
    assert before == await owners()
    assert set(before.values()) == {"w-1", "w-2", "w-3", "w-4"}
    await fail(pool.workers[0])
    meanwhile = await owners()
    assert "w-1" not in meanwhile.values()
    assert {key for key, who in meanwhile.items() if before[key] != who} == {
        key for key, who in before.items() if who == "w-1"
    }
    await trio.sleep(11)
    assert await owners() == before


@pytest.mark.promise("pool.routing")
async def test_a_broadcast_reaches_every_worker_once(autojump_clock, system):
    pool = await open_pool(system, capacity=2)
    pool.tell(Broadcast("one"))
    await tell(pool.ref, Broadcast("two"))
    assert set(map(tuple, (await heard(pool)).values())) == {("one", "two")}
    stuck = pool.workers[1]
    await tell(stuck, Hang())
    stuck.tell(1)
    stuck.tell(2)
    pool.tell(Broadcast("three"))
    assert losses(system) == [("/test/pool/w-2", "three", "overflow")]
    assert (await pool.workers[0].ask(Read()))[-1] == (await pool.workers[2].ask(Read()))[-1] == "three"


@pytest.mark.promise("pool.remaining-workers")
async def test_the_pool_goes_on_with_the_remaining_workers(autojump_clock, pool):
    await fail(pool.workers[1])
    assert set(await names(pool, 10)) == {"w-1", "w-3"}
    for number in range(10):
        pool.tell(number)
    assert trio.current_time() == 0
    assert pool.statistics().running == 2
    await trio.sleep(11)
    assert set(await names(pool, 10)) == {"w-1", "w-2", "w-3"}
    assert pool.workers[1] in pool.workers
    assert await pool.workers[1].ask(Read()) == []


@pytest.mark.promise("pool.remaining-workers")
@pytest.mark.parametrize("restart", [Restart.TEMPORARY, Restart.TRANSIENT])
async def test_a_worker_that_ended_for_good_leaves_the_pool(autojump_clock, system, restart):
    pool = await open_pool(system, restart=restart)
    gone = pool.workers[0]
    if restart is Restart.TEMPORARY:
        await fail(gone)
    else:
        await gone.ask(Run(lambda context: context.stop()))
        await gone.wait_stopped()
    assert [name(ref) for ref in pool.workers] == ["w-2", "w-3"]
    assert set(await names(pool, 4)) == {"w-2", "w-3"}
    assert await pool.resize(3) == 3
    assert sorted(map(name, pool.workers)) == ["w-1", "w-2", "w-3"]
    assert not gone.alive
    assert set(await names(pool, 6)) == {"w-1", "w-2", "w-3"}


@pytest.mark.promise("pool.remaining-workers", "watch.tables-empty")
async def test_without_any_worker_asks_fail_at_once_and_tells_are_dead_letters(autojump_clock, system):
    pool = await open_pool(system, restart=Restart.TEMPORARY)
    for ref in pool.workers:
        await fail(ref)
    with pytest.raises(NoWorkers, match="/test/pool has no workers"):
        await pool.ask(Who(), timeout_s=math.inf)
    pool.tell("lost")
    pool.tell(Broadcast("lost too"), lane=Lane.LOW)
    await pool.send("also lost")
    assert trio.current_time() == 0
    assert losses(system) == [("/test/pool", text, "no workers") for text in ("lost", "lost too", "also lost")]
    assert pool.statistics().workers == ()
    assert pool.statistics().undelivered == 3
    await pool.resize(1)
    assert await names(pool, 1) == ["w-1"]


@pytest.mark.promise("pool.remaining-workers", "ask.death-during-call", "peers.ask-after-crash")
@pytest.mark.parametrize("end", ["crash", "kill", "stop"])
async def test_a_worker_that_dies_with_a_request_fails_it_at_once(autojump_clock, pool, end):
    request = Run(lambda _: 1 / 0) if end == "crash" else Run(sleeping())
    async with calls(lambda: pool.ask(request, timeout_s=math.inf)) as outcomes:
        if end != "crash":
            await pool.workers[0].stop(StopMode.NOW) if end == "stop" else pool.workers[0].kill()
    (error,) = outcomes
    assert isinstance(error, ActorDied)
    assert (error.path, trio.current_time()) == ("/test/pool/w-1", 0)
    assert await pool.ask(Who()) in ("w-2", "w-3")
    assert all(row.unanswered == 0 for row in pool.statistics().workers)


async def test_a_slow_worker_does_not_delay_the_others(autojump_clock, system):
    pool = await open_pool(system, capacity=5)
    slow = pool.workers[0]
    await tell(slow, Hang())
    for number in range(60):
        await tell(pool, number)
    assert slow.statistics()[Lane.NORMAL].depth == 5
    received = [await ref.ask(Read()) for ref in pool.workers[1:]]
    assert sum(map(len, received)) == 55
    for ref in pool.workers[1:]:
        ref.tell(Hang())
    await settled()
    for number in range(10):
        pool.tell(number)
    with pytest.raises(MailboxFull):
        pool.tell("too much")
    with pytest.raises(MailboxFull):
        await pool.ask(Who())
    with pytest.raises(MailboxFull):
        await pool.send("too much", timeout_s=1.0)
    pool.tell("another lane", lane=Lane.HIGH)


@pytest.mark.promise("ask.self")
async def test_a_worker_that_asks_its_own_pool_never_waits_for_itself(autojump_clock, system):
    pool = await open_pool(system, size=2)
    assert await pool.ask(Run(lambda _: pool.ask(Who()))) == "w-2"
    await pool.resize(1)
    with pytest.raises(ActorDied) as caught:
        await pool.ask(Run(lambda _: pool.ask(Who())), timeout_s=math.inf)
    assert isinstance(caught.value.__cause__, SelfCall)


async def test_a_pool_grows_and_shrinks(autojump_clock, system):
    pool = await open_pool(system, size=2)
    assert await pool.resize(4) == 4
    assert [name(ref) for ref in pool.workers] == ["w-1", "w-2", "w-3", "w-4"]
    leaving = pool.workers[3]
    async with calls(lambda: leaving.ask(Who(after_s=2.0)), lambda: leaving.ask(Read())) as answers:
        leaving.tell("queued")
        assert await pool.resize(2) == 2
        assert set(await names(pool, 4)) == {"w-1", "w-2"}
        assert await pool.resize(4) == 4
        assert [name(ref) for ref in pool.workers] == ["w-1", "w-2", "w-3", "w-5"]
    assert answers == ["w-4", []]
    assert not leaving.alive
    assert [letter.message for letter in system.dead_letters] == []


async def test_other_actors_of_the_system_are_no_workers(autojump_clock, system):
    pool = await open_pool(system, size=2, supervision=Supervision())
    spec = player("w-2", restart=Restart.TEMPORARY)
    neighbour = await system.spawn(spec)
    grandchild = await pool.workers[0].ask(Run(lambda context: context.spawn(spec)))
    for ref in (neighbour, grandchild):
        assert await names(pool, 2) == ["w-1", "w-2"]
        await fail(ref)
        assert [worker.path for worker in pool.workers] == ["/test/pool/w-1", "/test/pool/w-2"]


async def test_a_resize_that_fails_says_why(autojump_clock, system):
    starts = []

    def refuse_the_third(_):
        starts.append(None)
        if len(starts) > 2:
            raise OSError("no seat")

    pool = await open_pool(system, size=2, starting=refuse_the_third)
    with pytest.raises(StartFailed, match="/test/pool/w-3 did not start: OSError: no seat"):
        await pool.resize(3)
    for size in (0, -1, True, 1.5):
        with pytest.raises(InvalidSpec, match="size"):
            await pool.ref.ask(Resize(size))
    assert await names(pool, 3) == ["w-1", "w-2", "w-1"]


async def test_a_resize_whose_caller_leaves_starts_nobody(autojump_clock, system):
    delays = iter([0, 60])

    async def start_slowly(_):
        await trio.sleep(next(delays))

    pool = await open_pool(system, size=1, starting=start_slowly, start_timeout_s=100)
    with trio.move_on_after(1):
        await pool.resize(2)
    await settled()
    assert await names(pool, 2) == ["w-1", "w-1"]
    assert len(pool.ref.children()) == 1


async def test_a_pool_whose_worker_does_not_start_does_not_start(autojump_clock, system, listeners):
    with pytest.raises(StartFailed, match="no seat"):
        await open_pool(system, starting=lambda _: (_ for _ in ()).throw(OSError("no seat")))
    pool = PoolRef()
    with pytest.raises(StartFailed, match="size: must be a whole number above zero"):
        await system.spawn(ChildSpec("pool", lambda: Pool(pool, worker(), 0)))
    assert system.find("/test/pool") is None
    assert not listeners


async def test_a_pool_that_restarts_is_the_same_to_its_callers(autojump_clock, system):
    pool = PoolRef()
    spec = ChildSpec("pool", lambda: Pool(pool, worker(), 2), backoff=SLOW)
    ref = await system.spawn(spec)
    await pool.resize(3)
    await kill(ref)
    with pytest.raises(NoWorkers):
        await pool.ask(Who())
    await trio.sleep(11)
    assert await names(pool, 3) == ["w-1", "w-2", "w-1"]
    assert pool.ref is ref


@pytest.mark.promise("watch.tables-empty")
async def test_a_pool_that_is_dead_is_said_to_be(autojump_clock, system, pool, listeners):
    workers = pool.workers
    pool.tell("gone")
    await pool.ref.stop()
    with pytest.raises(ActorDied, match="/test/pool"):
        await pool.ask(Who())
    with pytest.raises(ActorDied):
        await pool.resize(1)
    pool.tell("late")
    assert losses(system)[-1] == ("/test/pool", "late", "dead")
    assert pool.workers == ()
    assert not any(ref.alive for ref in workers)
    assert not listeners
    await system.spawn(ChildSpec("pool", lambda: Pool(pool, worker(), 1)))
    assert await names(pool, 1) == ["w-1"]


async def test_a_pool_that_was_never_started_has_no_workers(autojump_clock):
    pool = PoolRef()
    with pytest.raises(NoWorkers, match="a pool that was not started has no workers"):
        await pool.ask(Who())
    with pytest.raises(NoWorkers):
        pool.tell("lost")
    with pytest.raises(NoWorkers):
        await pool.resize(1)
    assert pool.ref is None
    assert pool.workers == ()


async def test_a_pool_ref_serves_one_pool(autojump_clock, system, pool, listeners):
    with pytest.raises(StartFailed, match="its PoolRef belongs to /test/pool"):
        await system.spawn(ChildSpec("other", lambda: Pool(pool, worker(), 1)))
    assert await names(pool, 3) == ["w-1", "w-2", "w-3"]
    assert len(listeners) == 1


async def test_messages_told_to_the_pools_actor_are_passed_on(autojump_clock, system):
    pool = await open_pool(system, size=2)
    pool.ref.tell("one")
    pool.ref.tell("two")
    pool.ref.tell(Read())
    with pytest.raises(AskedPool, match="ask Who through its PoolRef"):
        await pool.ref.ask(Who())
    assert await heard(pool) == {"w-1": ["one"], "w-2": ["two"]}


async def test_a_message_that_the_pools_actor_cannot_pass_on_harms_no_worker(autojump_clock, system):
    pool = await open_pool(system, size=1, routing=ConsistentHash(lambda message: message), capacity=1)
    await tell(pool, "first")
    await pool.workers[0].ask(Read())
    await tell(pool.workers[0], Hang())
    await tell(pool.ref, "second", "third", 1.5)
    assert losses(system) == [("/test/pool/w-1", "third", "overflow")]
    assert system.unhandled == 1
    assert pool.statistics().running == 1


async def test_a_worker_that_fails_for_ever_does_not_take_the_pool_down(autojump_clock, system):
    pool = PoolRef()
    faulty = []

    def fail_on_the_first(context):
        if faulty and name(context.ref) == "w-1":
            raise OSError("broken")

    await system.spawn(ChildSpec("pool", lambda: Pool(pool, worker(starting=fail_on_the_first, backoff=None), 3)))
    faulty.append(True)
    await fail(pool.workers[0])
    await trio.sleep(3600)
    assert set(await names(pool, 6)) == {"w-2", "w-3"}
    node = next(node for node in system.tree().walk() if node.path == "/test/pool/w-1")
    assert node.state in (State.BACKING_OFF, State.STARTING)
    assert 100 < node.restarts < 200


@define
class Outcome:
    """How many calls were begun and how many ended."""

    begun: int = 0
    ended: int = 0


FAULTS = st.lists(
    st.tuples(st.sampled_from(["crash", "kill", "stop", "resize", "ask", "tell", "wait"]), st.integers(0, 9)),
    max_size=25,
)
ROUTINGS = st.sampled_from([None, LeastLoaded, lambda: ConsistentHash(lambda _: "key")])


@pytest.mark.promise("pool.remaining-workers")
@settings(max_examples=40, deadline=None)
@given(FAULTS, ROUTINGS)
def test_every_call_ends_and_the_pool_answers_again_after_any_faults(faults, routing):
    async def main():
        outcome = Outcome()
        pool = PoolRef(routing() if routing else None)

        async def call(after_s):
            outcome.begun += 1
            with suppress(ActorError):
                await pool.ask(Who(after_s), timeout_s=math.inf)
            outcome.ended += 1

        async def do(fault, number):
            ref = pool.workers[number % len(pool.workers)] if pool.workers else pool.ref
            match fault:
                case "ask":
                    for after_s in range(number):
                        nursery.start_soon(call, after_s)
                case "tell":
                    pool.tell(number)
                case "resize":
                    await pool.resize(number % 4 + 1)
                case "crash" if pool.workers:
                    ref.tell(Boom())
                case "kill":
                    ref.kill()
                case "stop" if pool.workers:
                    await ref.stop()
                case _:
                    await trio.sleep(number)

        async with (
            ActorSystem("s", intensity=1000, on_event=lambda _: None, seed=1) as system,
            trio.open_nursery() as nursery,
        ):
            await system.spawn(ChildSpec("pool", lambda: Pool(pool, worker(backoff=None), 3)))
            for fault, number in faults:
                await do(fault, number)
                await trio.lowlevel.checkpoint()
            await trio.sleep(2000)
            await pool.resize(2)
            await settled()
            assert outcome.begun == outcome.ended
            assert await pool.ask(Who()) in map(name, pool.ref.children())
            assert set(pool.workers) == set(pool.ref.children())
            assert all(row.unanswered == 0 and row.running for row in pool.statistics().workers)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_the_workers_are_stopped_all_at_once(autojump_clock, system):
    pool = await open_pool(system, size=20, stopping=sleeping(1.0))
    await pool.ref.stop()
    assert trio.current_time() == 1.0
