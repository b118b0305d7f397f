import copy
import dataclasses
import pickle
from functools import partial

import pytest
import trio
import trio.testing
from attrs import define, frozen

from actors import (
    Actor,
    ActorDied,
    ActorError,
    Ask,
    AskTimeout,
    ChildSpec,
    IncarnationDied,
    Lane,
    MailboxFull,
    MailboxSpec,
    Overflow,
    Unanswered,
)
from actors.ask import call_of
from actors.behaviours.job import Job
from actors.behaviours.pool import PoolRef
from tests.actors.troupe import Run, calls, during, failing, held, settled, tell


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
    return await system.spawn(ChildSpec("doubler", Doubler))


@pytest.mark.promise("ask.many")
async def test_answers_may_come_later_and_in_any_order(autojump_clock, doubler):
    async def ask(number):
        return number, await doubler.ask(Plain(number))

    async with calls(*(partial(ask, number) for number in range(5))) as answers:
        doubler.tell("answer all")
    assert sorted(answers) == [(0, 0), (1, 2), (2, 4), (3, 6), (4, 8)]


@pytest.mark.promise("ask.timeout", "ask.error-names", "ask.late-reply")
async def test_an_ask_that_nobody_answers_ends_in_time(autojump_clock, system, doubler):
    with pytest.raises(trio.TooSlowError, match=r"^/test/doubler did not answer Plain within 5 s$") as caught:
        await doubler.ask(Plain(1))
    assert trio.current_time() == pytest.approx(5.0, abs=0.02)
    assert (caught.value.path, caught.value.message_type, caught.value.timeout_s) == ("/test/doubler", "Plain", 5.0)
    await tell(doubler, "answer late")
    assert system.late_replies == 1
    assert await doubler.ask(Frozen(1)) == 2


@pytest.mark.promise("bitten.cancelled-ask", "ask.cancel-scope")
@pytest.mark.parametrize("how", ["cancel", "timeout"])
async def test_a_request_whose_caller_leaves_is_taken_back(autojump_clock, ref, how):
    gate = trio.Event()
    effects = []
    async with during(lambda: ref.ask(Run(lambda _: gate.wait()), timeout_s=1000)):
        if how == "cancel":
            with trio.move_on_after(1.0) as scope:
                await ref.ask(Run(effects.append), timeout_s=100)
            assert scope.cancelled_caught
        else:
            with pytest.raises(AskTimeout):
                await ref.ask(Run(effects.append), timeout_s=1.0)
        gate.set()
    await settled()
    assert effects == []
    assert held(ref) == {}


@pytest.mark.promise("ask.late-reply")
async def test_an_answer_after_the_crash_is_late(autojump_clock, system):
    """A reply from a task of the old incarnation, after the crash failed the call, is late and counted."""
    ref = await system.spawn(ChildSpec("doubler", Doubler))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(failing, ActorDied, lambda: ref.ask(request))
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


async def test_a_copy_of_a_reference_is_the_reference(autojump_clock, ref):
    assert copy.copy(ref) is ref
    assert copy.deepcopy([ref]) == [ref]
    assert dataclasses.asdict(Letter(ref)) == {"reply_to": ref}


async def test_a_message_that_holds_a_request_in_work_can_be_copied(autojump_clock, system):
    class Copying(Actor):
        async def receive(self, message, context):
            (twin,) = dataclasses.asdict(Letter([message]))["reply_to"]
            message.reply((type(twin), call_of(twin) is call_of(message)))

    ref = await system.spawn(ChildSpec("copying", Copying))
    assert await ref.ask(Plain(1)) == (Plain, True)


@pytest.mark.parametrize("make", [PoolRef, lambda: Job(lambda: None)], ids=["pool", "job"])
def test_copies_of_what_stands_for_something_live_are_the_same(make):
    handle = make()
    assert copy.copy(handle) is handle
    assert copy.deepcopy({"work": handle}) == {"work": handle}


async def test_a_reference_that_is_to_leave_its_process_says_what_to_do(autojump_clock, ref):
    with pytest.raises(TypeError, match="cannot leave its process: send the path"):
        pickle.dumps(ref)


@pytest.mark.parametrize("policy", [Overflow.WAIT, Overflow.REJECT])
async def test_try_tell_returns_false_if_the_lane_is_full(system, policy):
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
        "a": 2, "b": 3, "c": 4, "crashed": IncarnationDied, "unanswered": Unanswered, "d": 5, "no room": MailboxFull,
        "no time": AskTimeout, "cancelled": trio.Cancelled, "e": 9, "f": ActorDied, "g": ActorDied,
        "buried": ActorDied,
    }  # fmt: skip
    assert not store._cell.inbox.calls


async def test_try_tell_to_a_dead_actor_leaves_a_dead_letter(system, ref):
    await ref.stop()
    assert ref.try_tell("late")
    assert [letter.message for letter in system.dead_letters] == ["late"]
