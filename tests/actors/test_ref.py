import copy
import dataclasses
import pickle

import pytest
import trio
import trio.testing
from attrs import define, frozen

from actors import (
    Actor,
    ActorCrashed,
    ActorDied,
    ActorError,
    ActorUnavailable,
    Ask,
    AskTimeout,
    Backoff,
    ChildSpec,
    Crashed,
    Killed,
    Lane,
    MailboxFull,
    MailboxSpec,
    Overflow,
    Restart,
    SelfCall,
    Shutdown,
    StopMode,
    Terminated,
    Unanswered,
    UnhandledMessage,
)
from actors.ask import call_of
from actors.behaviours.job import Job
from actors.behaviours.pool import PoolRef
from tests.actors.troupe import Boom, Hang, Read, Run, held, player, settled, sleeping


@frozen
class Frozen(Ask[int]):
    number: int


@define
class Defined(Ask[int]):
    number: int


class Plain(Ask[int]):
    def __init__(self, number):
        self.number = number


class Doubler(Actor):
    def __init__(self):
        self.kept = []

    async def receive(self, message, context):
        match message:
            case Frozen(number) as ask:
                ask.reply(number * 2)
            case Defined() as ask:
                ask.fail(ValueError(ask.number))
            case Plain() as ask:
                self.kept.append(ask)
            case "answer all":
                for ask in reversed(self.kept):
                    ask.reply(ask.number * 2)
            case "answer late":
                self.kept[0].reply(0)
            case _:
                await super().receive(message, context)


@pytest.fixture
async def doubler(system):
    """An actor that doubles numbers."""
    return await system.spawn(ChildSpec("doubler", Doubler))


async def test_ask_returns_the_answer(autojump_clock, doubler):
    """A frozen, slotted attrs class is a fine request."""
    assert await doubler.ask(Frozen(21)) == 42


async def test_ask_raises_what_the_actor_failed_it_with(autojump_clock, doubler):
    """The actor lives on."""
    with pytest.raises(ValueError, match="3"):
        await doubler.ask(Defined(3))
    assert await doubler.ask(Frozen(1)) == 2


@pytest.mark.promise("ask.many")
async def test_answers_may_come_later_and_in_any_order(autojump_clock, doubler):
    """Many asks are outstanding; each gets its own answer."""
    answers = {}

    async def caller(number):
        answers[number] = await doubler.ask(Plain(number))

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(caller, number)
            await settled()
        doubler.tell("answer all")
    assert answers == {0: 0, 1: 2, 2: 4, 3: 6, 4: 8}


@pytest.mark.promise("ask.timeout", "ask.error-names", "ask.late-reply")
async def test_an_ask_that_nobody_answers_ends_in_time(autojump_clock, system, doubler):
    """5 s by default; the error names target, message type and time. The late answer is dropped and counted."""
    start = trio.current_time()
    with pytest.raises(AskTimeout) as caught:
        await doubler.ask(Plain(1))
    assert trio.current_time() - start == pytest.approx(5.0, abs=0.02)
    assert (caught.value.path, caught.value.message_type, caught.value.timeout_s) == ("/test/doubler", "Plain", 5.0)
    doubler.tell("answer late")
    await settled()
    assert system.late_replies == 1
    assert await doubler.ask(Frozen(1)) == 2


@pytest.mark.promise("bitten.cancelled-ask")
async def test_a_request_that_timed_out_in_the_queue_is_taken_back(autojump_clock, system):
    """It is not handled later, when nobody wants it any more."""
    ref = await system.spawn(player("a"))
    gate = trio.Event()
    effects = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: ref.ask(Run(lambda _: gate.wait()), timeout_s=1000))
        await settled()
        with pytest.raises(AskTimeout):
            await ref.ask(Run(effects.append), timeout_s=1.0)
        gate.set()
    await settled()
    assert effects == []


@pytest.mark.promise("bitten.cancelled-ask", "ask.cancel-scope")
async def test_cancelling_an_ask_takes_its_request_back(autojump_clock, system):
    """The caller's cancel scope is honoured, and leaves nothing in any table."""
    ref = await system.spawn(player("a"))
    gate = trio.Event()
    effects = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: ref.ask(Run(lambda _: gate.wait()), timeout_s=1000))
        await settled()
        with trio.move_on_after(1.0) as scope:
            await ref.ask(Run(effects.append), timeout_s=100)
        assert scope.cancelled_caught
        gate.set()
    await settled()
    assert effects == []
    assert held(ref) == {}


async def test_a_request_knows_whether_somebody_waits(autojump_clock, system):
    """So that an actor that must finish can leave undone what nobody wants."""
    waiting = []

    class Lasting(Ask):
        must_finish = True

    class Slow(Actor):
        async def receive(self, message, context):
            waiting.append(message.waiting)
            await trio.sleep(10)
            waiting.append(message.waiting)

    ref = await system.spawn(ChildSpec("slow", Slow))
    with pytest.raises(AskTimeout):
        await ref.ask(Lasting(), timeout_s=1)
    await trio.sleep(10)
    assert waiting == [True, False]


@pytest.mark.promise("ask.dead-fails-at-once")
async def test_an_ask_to_a_dead_actor_fails_at_once(autojump_clock, system):
    """No timeout runs, and no dead letter is written: the caller knows."""
    ref = await system.spawn(player("a"))
    await ref.stop()
    start = trio.current_time()
    with pytest.raises(ActorDied) as caught:
        await ref.ask(Read())
    assert caught.value.reason == Shutdown()
    assert trio.current_time() == start
    assert system.dead_letters.count == 0


@pytest.mark.promise("ask.death-during-call", "peers.ask-after-crash")
async def test_an_actor_that_crashes_during_an_ask_fails_it_at_once(autojump_clock, system):
    """Also without any deadline; the cause is the crash. The restarted actor answers the next."""
    ref = await system.spawn(player("a"))
    with pytest.raises(ActorDied) as caught:
        await ref.ask(Run(lambda _: 1 / 0), timeout_s=float("inf"))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert await ref.ask(Read()) == []


@pytest.mark.promise("restart.backoff-messages-wait", "bitten.ask-restarting")
async def test_an_ask_that_still_waits_outlives_a_restart(autojump_clock, system):
    """The request was not in work: the next incarnation answers it."""
    ref = await system.spawn(player("a", backoff=Backoff(min_s=1.0)))
    ref.tell(Boom())
    assert await ref.ask(Read(), timeout_s=4.0) == []
    assert system.explain(ref.path).incarnation == 2


@pytest.mark.promise("bitten.ask-restarting")
async def test_an_ask_may_prefer_to_fail_while_the_actor_restarts(autojump_clock, system):
    """Unavailable is not dead."""
    ref = await system.spawn(player("a", backoff=Backoff(min_s=1.0)))
    ref.tell(Boom())
    await settled()
    with pytest.raises(ActorUnavailable, match="backing_off"):
        await ref.ask(Read(), fail_fast=True)
    assert ref.alive


@pytest.mark.promise("ask.self", "stop.oneself", "peers.ask-self")
async def test_asking_oneself_is_an_error_and_not_a_deadlock(autojump_clock, system):
    """As is stopping oneself and waiting for it."""
    ref = await system.spawn(player("a"))

    async def all_of_them(context):
        for call in (lambda: context.ref.ask(Read()), context.ref.stop, context.ref.wait_stopped):
            with pytest.raises(SelfCall):
                await call()
        return "alive"

    assert await ref.ask(Run(all_of_them)) == "alive"


async def test_a_request_can_be_asked_once(autojump_clock, doubler):
    """Its answer would have two owners."""
    request = Frozen(1)
    await doubler.ask(request)
    with pytest.raises(ActorError, match="asked before"):
        await doubler.ask(request)


@pytest.mark.promise("mailbox.unexpected")
async def test_an_unknown_request_fails_and_the_actor_lives_on(autojump_clock, system, doubler):
    """It is counted; an unknown message is too."""
    with pytest.raises(UnhandledMessage):
        await doubler.ask(Read())
    doubler.tell("what?")
    assert await doubler.ask(Frozen(2)) == 4
    assert system.unhandled == 2


async def test_a_told_request_needs_no_answer(autojump_clock, doubler):
    """Replying to it is harmless."""
    doubler.tell(Frozen(2))
    assert await doubler.ask(Frozen(3)) == 6


@pytest.mark.promise("tell.dead-letter", "bad.to-the-dead")
async def test_telling_a_dead_actor_makes_a_dead_letter(autojump_clock, system):
    """And never raises."""
    ref = await system.spawn(player("a"))
    await ref.stop()
    ref.tell("hello")
    await ref.send("hello again")
    assert [(letter.path, letter.why) for letter in system.dead_letters] == [("/test/a", "dead")] * 2
    assert "hello" not in repr(list(system.dead_letters))


@pytest.mark.promise("bitten.no-forged-death")
async def test_death_notices_cannot_be_forged(autojump_clock, doubler):
    """Only the runtime sends them."""
    with pytest.raises(TypeError):
        doubler.tell(Terminated(doubler, Shutdown()))


@pytest.mark.promise("bitten.three-stops")
async def test_a_stop_now_cancels_the_message_in_work(autojump_clock, system):
    """The stop hook runs all the same."""
    diary = []
    ref = await system.spawn(player("a", diary))
    ref.tell(Hang())
    await settled()
    assert await ref.stop(StopMode.NOW) == Shutdown()
    assert diary == ["start a", "stop a (shutdown)"]


@pytest.mark.promise("bitten.three-stops", "stop.queue")
async def test_a_stop_after_the_message_lets_it_finish_and_no_other(autojump_clock, system):
    """What is queued becomes dead letters."""
    ref = await system.spawn(player("a"))
    done = []

    async def work(_):
        await trio.sleep(2)
        done.append("work")

    ref.tell(Run(work))
    await settled()
    ref.tell("queued")
    assert await ref.stop(StopMode.AFTER_MESSAGE) == Shutdown()
    assert done == ["work"]
    assert [letter.message for letter in system.dead_letters] == ["queued"]


@pytest.mark.promise("bitten.three-stops")
async def test_a_stop_after_draining_finishes_what_is_queued(autojump_clock, system):
    """Nothing is lost."""
    done = []
    ref = await system.spawn(player("a"))
    for number in range(3):
        ref.tell(Run(lambda _, number=number: done.append(number)))
    assert await ref.stop(StopMode.AFTER_DRAIN) == Shutdown()
    assert done == [0, 1, 2]


@pytest.mark.promise("bitten.three-stops")
async def test_a_stop_that_waits_can_be_hurried(autojump_clock, system):
    """NOW after AFTER_DRAIN does not wait any more."""
    ref = await system.spawn(player("a", shutdown_s=100.0))
    ref.tell(Hang())
    await settled()
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ref.stop, StopMode.AFTER_DRAIN)
        await settled()
        await ref.stop(StopMode.NOW)
    assert trio.current_time() == start


@pytest.mark.promise("stop.dead-is-harmless")
async def test_stopping_a_dead_actor_is_harmless(autojump_clock, system):
    """Every caller gets its exit."""
    ref = await system.spawn(player("a", restart=Restart.TEMPORARY))
    ref.kill()
    assert await ref.wait_stopped() == Killed()
    assert await ref.stop() == Killed()
    ref.kill()


@pytest.mark.promise("watch.new-incarnation-is-not-old")
async def test_a_reference_outlives_restarts_but_not_the_end(autojump_clock, system):
    """A new actor under an old path is another one."""
    ref = await system.spawn(player("a"))
    ref.kill()
    await settled()
    assert ref.alive
    assert system.find("/test/a") == ref
    await ref.stop()
    other = await system.spawn(player("a"))
    assert other != ref
    assert other.path == ref.path
    assert (ref.alive, other.alive) == (False, True)


@pytest.mark.promise("report.crash-once")
async def test_a_crash_of_a_temporary_actor_is_its_exit(autojump_clock, system, events):
    """And is told once, without the message's text."""
    ref = await system.spawn(player("a", restart=Restart.TEMPORARY))
    ref.tell(Boom(ValueError("no secret here")))
    exit_ = await ref.wait_stopped()
    assert isinstance(exit_, Crashed)
    assert exit_.abnormal
    (crash,) = [event for event in events if isinstance(event, ActorCrashed)]
    assert (crash.path, crash.incarnation, crash.message_type, crash.decision.value) == ("/test/a", 1, "Boom", "stop")
    assert "in receive" in crash.traceback


@pytest.mark.promise("stop.grace-overrun", "start.defaults", "bad.stop-hook")
async def test_a_hanging_stop_hook_is_killed_at_the_end_of_the_grace(autojump_clock, system):
    """5 s for an actor without children; the exit says killed."""
    ref = await system.spawn(player("a", stopping=sleeping()))
    start = trio.current_time()
    assert await ref.stop() == Killed()
    assert trio.current_time() - start == 5.0


@pytest.mark.promise("ask.late-reply")
async def test_an_answer_after_the_crash_is_late(autojump_clock, system):
    """A reply from a task of the old incarnation, after the crash failed the call, is late and counted."""
    ref = await system.spawn(ChildSpec("doubler", Doubler))
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def caller():
            with pytest.raises(ActorDied):
                await ref.ask(request)

        request = Plain(1)
        await settled()
        ref.kill()
    request.reply(2)
    assert system.late_replies == 1


# Copies


@dataclasses.dataclass
class Letter:
    """A message that says where the answer goes."""

    reply_to: object


async def test_a_copy_of_a_reference_is_the_reference(autojump_clock, system):
    """So that messages that hold one can be copied, and read as plain data."""
    ref = await system.spawn(player("a"))
    assert copy.copy(ref) is ref
    assert copy.deepcopy([ref]) == [ref]
    assert dataclasses.asdict(Letter(ref)) == {"reply_to": ref}


async def test_a_message_that_holds_a_request_in_work_can_be_copied(autojump_clock, system):
    """Nothing of the runtime is copied with it."""

    class Copying(Actor):
        async def receive(self, message, context):
            (twin,) = dataclasses.asdict(Letter([message]))["reply_to"]
            message.reply((type(twin), call_of(twin) is call_of(message)))

    ref = await system.spawn(ChildSpec("copying", Copying))
    assert await ref.ask(Plain(1)) == (Plain, True)


@pytest.mark.parametrize("make", [PoolRef, lambda: Job(lambda: None)], ids=["pool", "job"])
def test_copies_of_what_stands_for_something_live_are_the_same(make):
    """A pool and a job, like a reference."""
    handle = make()
    assert copy.copy(handle) is handle
    assert copy.deepcopy({"work": handle}) == {"work": handle}


async def test_a_reference_that_is_to_leave_its_process_says_what_to_do(autojump_clock, system):
    """Its path can leave."""
    ref = await system.spawn(player("a"))
    with pytest.raises(TypeError, match="cannot leave its process: send the path"):
        pickle.dumps(ref)


@pytest.mark.parametrize("policy", [Overflow.WAIT, Overflow.REJECT])
async def test_try_tell_returns_false_if_the_lane_is_full(system, policy):
    """The message is dropped, is no dead letter, and is counted as rejected."""

    class Small(Doubler):
        mailbox = MailboxSpec(capacity=1, overflow=policy)

    ref = await system.spawn(ChildSpec("small", Small))
    assert ref.try_tell("first")
    assert not ref.try_tell("second")
    (lane,) = ref.statistics().values()
    assert (lane.depth, lane.rejected, list(system.dead_letters)) == (1, 1, [])


class Store(Actor):
    """Takes a second for each request, with room for two."""

    mailbox = MailboxSpec(capacity=2)

    async def receive(self, message, context):
        await trio.sleep(1)
        match message:
            case Frozen(0):
                raise RuntimeError("crashed at it")
            case Frozen(1):
                pass  # released without an answer
            case Frozen(number) as ask:
                ask.reply(number)


async def test_asks_wait_for_room_in_turn_and_all_are_answered(autojump_clock, system):
    """As sends do, where the mailbox's policy says so."""
    store, answers = await system.spawn(ChildSpec("store", Store)), []

    async def save(number):
        answers.append(await store.ask(Frozen(number), timeout_s=400))

    async with trio.open_nursery() as nursery:
        for number in range(2, 302):
            nursery.start_soon(save, number)
    assert sorted(answers) == list(range(2, 302))
    assert trio.current_time() == 300
    assert store.statistics()[Lane.NORMAL].rejected == 0


async def test_an_ask_that_waited_for_room_ends_as_any_other(autojump_clock, system):
    """A crash, no answer, its time, a cancelled caller and the end of the actor, which finishes its message."""
    store, ends = await system.spawn(ChildSpec("store", Store)), {}

    async def save(name, number, timeout_s=60.0):
        try:
            ends[name] = await store.ask(Frozen(number), timeout_s=timeout_s)
        except (ActorError, trio.Cancelled) as error:
            ends[name] = type(error)
            if isinstance(error, trio.Cancelled):
                raise

    async with trio.open_nursery() as nursery:
        for name, number in (("a", 2), ("b", 3), ("c", 4), ("crashed", 0), ("unanswered", 1), ("d", 5)):
            nursery.start_soon(save, name, number)
            await settled()
        nursery.start_soon(save, "no room", 6, 0.5)
        nursery.start_soon(save, "no time", 7, 6.5)
        await settled()
        with trio.move_on_after(2):
            await save("cancelled", 8)
        await trio.sleep(6)
        for name in ("e", "f", "g", "buried"):
            nursery.start_soon(save, name, 9)
            await settled()
        await store.stop()
    assert ends == {
        "a": 2, "b": 3, "c": 4, "crashed": ActorDied, "unanswered": Unanswered, "d": 5, "no room": MailboxFull,
        "no time": AskTimeout, "cancelled": trio.Cancelled, "e": 9, "f": ActorDied, "g": ActorDied,
        "buried": ActorDied,
    }  # fmt: skip
    assert not store._cell.calls


async def test_try_tell_to_a_dead_actor_leaves_a_dead_letter(system):
    """As `tell` does: the result is True, since the mailbox was not full."""
    ref = await system.spawn(player("a"))
    await ref.stop()
    assert ref.try_tell("late")
    assert [letter.message for letter in system.dead_letters] == ["late"]
