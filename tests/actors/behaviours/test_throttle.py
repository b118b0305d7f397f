import contextvars
import math

import pytest
import trio
import trio.lowlevel
import trio.testing
from attrs import frozen

from actors import (
    ActorCrashed,
    ActorDied,
    ActorSystem,
    Ask,
    AskTimeout,
    ChildSpec,
    InvalidSpec,
    Killed,
    MailboxFull,
    Overflow,
    Restart,
    Shutdown,
    StopMode,
    UnhandledMessage,
)
from actors.behaviours.bucket import Buckets, Rate
from actors.behaviours.throttle import AcquirePermit, ReadThrottle, Throttle
from tests.actors.troupe import calls, during, failing, settled, tell


@frozen
class Send(Ask[str]):
    """A request to be answered with its own word, after some seconds."""

    word: str
    takes_s: float = 0.0


@frozen
class Commit(Send):
    must_finish = True


class Post:
    """Work that keeps a diary of what was started, ended and cut off, with the times."""

    def __init__(self):
        self.diary = []

    def note(self, event, word):
        self.diary.append((event, word, trio.current_time()))

    async def work(self, message):
        word = message.word if isinstance(message, Send) else message
        self.note("start", word)
        if word.startswith("bad"):
            raise ValueError(word)
        try:
            await trio.sleep(message.takes_s if isinstance(message, Send) else 5 * word.startswith("slow"))
        except trio.Cancelled:
            self.note("cut", word)
            raise
        self.note("end", word)
        return word.upper()

    def times(self, event="start"):
        return [(word, at) for happened, word, at in self.diary if happened == event]


@pytest.fixture
def post():
    return Post()


async def spawn(system, post, rate=None, *, spec=None, max_keys=1024, **options):
    buckets = Buckets(rate or Rate(1.0), max_keys=max_keys)
    return await system.spawn(ChildSpec("t", lambda: Throttle(post.work, buckets, **options), **(spec or {})))


@pytest.fixture
async def ref(system, post):
    return await spawn(system, post)


async def test_told_messages_are_delayed_to_the_rate_and_keep_their_order(autojump_clock, system, post, ref):
    await tell(ref, *"abc")
    await trio.sleep(10)
    assert post.times() == [("a", 0.0), ("b", 1.0), ("c", 2.0)]
    assert system.dead_letters.count == 0


async def test_requests_are_delayed_too_and_get_what_the_work_returns(autojump_clock, ref):
    assert await ref.ask(Send("a")) == "A"
    with pytest.raises(ValueError, match="bad"):
        await ref.ask(Send("bad"))
    assert await ref.ask(Send("c")) == "C"
    assert trio.current_time() == 2.0


async def test_no_more_than_so_many_are_in_work_at_once(autojump_clock, system, post):
    ref = await spawn(system, post, Rate(1000.0, burst=10), at_once=2)
    await tell(ref, "slow1", "slow2", "slow3", "d")
    await trio.sleep(20)
    assert post.times() == [("slow1", 0.0), ("slow2", 0.0), ("slow3", 5.0), ("d", 5.0)]


@pytest.mark.promise("bitten.cancelled-ask")
async def test_the_time_of_a_request_goes_on_while_it_waits(autojump_clock, system, post):
    ref = await spawn(system, post, Rate(0.1))
    ref.tell("first")
    with pytest.raises(AskTimeout) as caught:
        await ref.ask(Send("late"), timeout_s=5.0)
    assert caught.value.path == "/test/t"
    with trio.move_on_after(1):
        await ref.ask(Send("cancelled"), timeout_s=math.inf)
    ref.tell("last")
    await trio.sleep(30)
    assert post.times() == [("first", 0.0), ("last", 10.0)]


@pytest.mark.promise("bitten.cancelled-ask")
async def test_work_that_nobody_waits_for_any_more_is_cancelled(autojump_clock, system, post):
    ref = await spawn(system, post, Rate(1000.0, burst=10), at_once=3)
    ref.tell("slow")
    with trio.move_on_after(1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ref.ask, Send("cut", 4.0))
            nursery.start_soon(ref.ask, Commit("kept", 4.0))
    await trio.sleep(10)
    ((word, at),) = post.times("cut")
    assert word == "cut"
    assert 1.0 <= at <= 1.25
    assert post.times("end") == [("kept", 4.0), ("slow", 5.0)]


@pytest.mark.promise("bitten.every-drop-counted", "mailbox.policies")
@pytest.mark.parametrize(
    ("overflow", "done", "lost"),
    [(Overflow.DROP_NEWEST, ["a", "b", "c"], "d"), (Overflow.DROP_OLDEST, ["a", "c", "d"], "b")],
)
async def test_a_full_backlog_drops_by_its_policy(autojump_clock, system, post, overflow, done, lost):
    ref = await spawn(system, post, backlog=2, overflow=overflow)
    for word in "abcd":
        await tell(ref, word)
    await trio.sleep(10)
    assert [word for word, _ in post.times()] == done
    assert [(letter.lane, letter.message, letter.why) for letter in system.dead_letters] == [
        ("backlog", lost, "overflow")
    ]
    assert (await ref.ask(ReadThrottle())).refused == 1


async def test_a_request_that_finds_no_room_fails_at_once(autojump_clock, system, post):
    ref = await spawn(system, post, backlog=1)
    await tell(ref, "a")
    ref.tell("b")
    with pytest.raises(MailboxFull) as caught:
        await ref.ask(Send("c"))
    assert (caught.value.lane, caught.value.capacity) == ("backlog", 1)
    assert trio.current_time() == 0.0
    assert system.dead_letters.count == 0


@pytest.mark.parametrize("overflow", [Overflow.DROP_NEWEST, Overflow.DROP_OLDEST])
async def test_the_places_of_requests_given_up_are_free_again(autojump_clock, system, post, overflow):
    ref = await spawn(system, post, Rate(0.01), backlog=1, overflow=overflow)
    await tell(ref, "a")
    with trio.move_on_after(1.1):
        await ref.ask(Send("b"))
    ref.tell("c")
    numbers = await ref.ask(ReadThrottle())
    assert (numbers.waiting, numbers.refused, system.late_replies) == (1, 0, 0)


@pytest.mark.promise("peers.restart-gap")
async def test_an_error_over_a_told_message_crashes_the_actor_and_the_backlog_survives(autojump_clock, system, post):
    ref = await spawn(system, post, Rate(1.0, burst=2))
    await tell(ref, "a", "bad", "c")
    async with calls(lambda: ref.ask(Send("d"), timeout_s=100)) as answers:
        await trio.sleep(5)
        ref.tell("e")
    assert post.times() == [("a", 0.0), ("bad", 0.0), ("c", 1.0), ("d", 2.0)]
    assert answers == ["D"]
    await trio.sleep(1)
    assert post.times()[-1] == ("e", 5.0)
    assert system.dead_letters.count == 0


async def test_work_beside_one_that_crashes_is_finished(autojump_clock, system, post):
    ref = await spawn(system, post, Rate(1000.0, burst=9), at_once=2, spec={"restart": Restart.TEMPORARY}, finish_s=9.0)
    ref.tell("slow")
    ref.tell("bad")
    assert isinstance((await ref.wait_stopped()).error, ValueError)
    assert post.times("end") == [("slow", 5.0)]


@pytest.mark.promise("bitten.three-stops", "stop.queue")
@pytest.mark.parametrize("mode", [StopMode.NOW, StopMode.AFTER_MESSAGE])
async def test_a_stop_leaves_what_waits(autojump_clock, system, post, ref, mode):
    async with calls(lambda: ref.ask(Send("a", 3.0)), lambda: ref.ask(Send("c"), timeout_s=math.inf)) as outcomes:
        ref.tell("b")
        await settled()
        assert await ref.stop(mode) == Shutdown()
        assert trio.current_time() == 3.0
    assert [type(outcome) for outcome in outcomes] == [str, ActorDied]
    assert post.times() == [("a", 0.0)]
    assert [(letter.message, letter.why) for letter in system.dead_letters] == [("b", "stopped")]


@pytest.mark.promise("bitten.every-drop-counted")
async def test_work_that_does_not_finish_in_time_is_cut_off_and_counted(autojump_clock, system, post):
    ref = await spawn(system, post, Rate(1000.0, burst=9), at_once=2)
    async with during(failing, ActorDied, lambda: ref.ask(Send("long", 100.0), timeout_s=math.inf)):
        await tell(ref, "slow")
        assert await ref.stop() == Shutdown()
    assert sorted(post.times("cut")) == [("long", 4.0), ("slow", 4.0)]
    assert [(letter.lane, letter.message, letter.why) for letter in system.dead_letters] == [
        ("work", "slow", "stopped")
    ]


@pytest.mark.promise("bitten.three-stops")
async def test_a_stop_after_draining_works_off_what_waits_at_its_rate(autojump_clock, system, post):
    ref = await spawn(system, post, spec={"shutdown_s": 100.0})
    await tell(ref, *"abc")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ref.stop, StopMode.AFTER_DRAIN)
        await trio.sleep(1.5)
        with pytest.raises(ActorDied):
            await ref.ask(Send("d", 1.0))
    assert post.times() == [("a", 0.0), ("b", 1.0), ("c", 2.0)]
    assert trio.current_time() == 2.0
    assert await ref.wait_stopped() == Shutdown()
    assert system.dead_letters.count == 0


@pytest.mark.promise("stop.grace-overrun")
async def test_draining_ends_with_the_grace(autojump_clock, system, post):
    ref = await spawn(system, post, spec={"shutdown_s": 2.5})
    await tell(ref, *"abcde")
    assert await ref.stop(StopMode.AFTER_DRAIN) == Killed()
    assert trio.current_time() == 2.5
    assert [word for word, _ in post.times()] == ["a", "b", "c"]
    assert [letter.message for letter in system.dead_letters] == ["d", "e"]


@pytest.mark.promise("watch.tables-empty")
async def test_nothing_is_left_behind(autojump_clock, system, ref):
    await settled()
    tasks = trio.lowlevel.current_statistics().tasks_living
    assert await ref.ask(Send("a")) == "A"
    await trio.sleep(6)
    assert len(system.timers) == 0
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    await tell(ref, "slow")
    await ref.stop()
    assert trio.lowlevel.current_statistics().tasks_living < tasks
    assert len(system.timers) == 0


@pytest.mark.parametrize(
    ("options", "wrong"),
    [({"at_once": 0}, "at_once"), ({"backlog": 0}, "backlog"), ({"overflow": Overflow.WAIT}, "overflow")],
)
def test_arguments_that_make_no_sense_are_refused(options, wrong):
    with pytest.raises(InvalidSpec, match=f"^{wrong}: "):
        Throttle(Post().work, Buckets(Rate(1.0)), **options)


async def test_work_that_ends_in_the_moment_of_a_stop_starts_no_other(autojump_clock, system):
    for _ in range(20):
        gate, started = trio.Event(), []

        async def work(word, gate=gate, started=started):
            started.append(word)
            await gate.wait()

        buckets = Buckets(Rate(1000.0, burst=5))
        ref = await system.spawn(ChildSpec("t", lambda work=work, buckets=buckets: Throttle(work, buckets)))
        await tell(ref, "a", "b")
        gate.set()
        assert await ref.stop() == Shutdown()
        assert started == ["a"]
    assert system.dead_letters.count == 20


async def test_the_context_variables_of_a_message_hold_in_its_work(autojump_clock):
    trace = contextvars.ContextVar("trace", default="none")
    values = []

    async def work(word):
        values.append((word, trace.get()))
        if word == "bad":
            raise ValueError

    buckets = Buckets(Rate(1.0))
    async with ActorSystem("s", carry=[trace], on_event=lambda _: None) as system:
        ref = await system.spawn(ChildSpec("t", lambda: Throttle(work, buckets)))
        for word in ("a", "bad", "c", "d"):
            trace.set(f"of {word}")
            ref.tell(word)
        await trio.sleep(5)
    assert values == [(word, f"of {word}") for word in ("a", "bad", "c", "d")]


class Counted(Throttle):
    """Notes how much waited when it ended: in its own backlog, and in its mailbox."""

    def __init__(self, ends, *args, **options):
        super().__init__(*args, **options)
        self.ends = ends

    async def on_stop(self, context, reason):
        depth = sum(lane.depth for lane in context.ref.statistics().values())
        self.ends.append((len(self._backlog), depth))
        await super().on_stop(context, reason)


@pytest.mark.promise("peers.restart-gap", "bitten.every-drop-counted")
async def test_all_that_waits_outlives_a_crash_however_much_there_is_room_for(autojump_clock, system):
    done, gate = [], trio.Event()

    async def work(message):
        if message == "bad":
            await gate.wait()
            raise ValueError
        done.append(message)

    buckets = Buckets(Rate(1000.0))
    ref = await system.spawn(ChildSpec("t", lambda: Throttle(work, buckets, backlog=3000)))
    ref.tell("bad")
    for number in range(2000):
        await ref.send(number)
    await settled()
    gate.set()
    await trio.sleep(10)
    assert done == list(range(2000))
    assert system.dead_letters.count == 0


@pytest.mark.promise("bitten.every-drop-counted")
async def test_room_is_made_by_those_who_leave_and_by_nobody_else(autojump_clock, system, post):
    ref = await spawn(system, post, Rate(0.01), backlog=3)
    await tell(ref, "first")
    ref.tell("a")
    with trio.move_on_after(1):
        await ref.ask(Send("left"))
    for word in "bcd":
        ref.tell(word)
    numbers = await ref.ask(ReadThrottle())
    assert (numbers.waiting, numbers.refused) == (3, 1)
    await ref.stop()
    assert [(letter.message, letter.why) for letter in system.dead_letters] == [
        ("d", "overflow"),
        *((word, "stopped") for word in "abc"),
    ]


async def test_a_request_that_somebody_else_answers_makes_room_too(autojump_clock, system, post, events):
    ref = await spawn(system, post, Rate(0.01), backlog=1)
    await tell(ref, "first")
    request = Send("a")
    async with calls(lambda: ref.ask(request)) as answers:
        request.reply("from elsewhere")
    ref.tell("b")
    numbers = await ref.ask(ReadThrottle())
    assert answers == ["from elsewhere"]
    assert (numbers.waiting, numbers.refused) == (1, 0)
    assert not any(isinstance(event, ActorCrashed) for event in events)


async def turns(system, rate, **options):
    buckets = Buckets(rate)
    return await system.spawn(ChildSpec("t", lambda: Throttle(None, buckets, **options)))


async def test_turns_are_given_at_the_rate_of_each_key(autojump_clock, system):
    ref, times = await turns(system, Rate(1.0)), []

    async def visit(key):
        await ref.ask(AcquirePermit(key))
        times.append((key, trio.current_time()))
        await trio.sleep(10)

    async with trio.open_nursery() as nursery:
        for key in ("x", "x", "y", "x", None):
            nursery.start_soon(visit, key)
            await settled()
    assert times == [("x", 0.0), ("y", 0.0), (None, 0.0), ("x", 1.0), ("x", 2.0)]


async def test_a_throttle_without_work_leaves_other_requests_unhandled(autojump_clock, system):
    ref = await turns(system, Rate(1.0))
    with pytest.raises(UnhandledMessage):
        await ref.ask(Send("a"))
    assert system.unhandled == 1
