import math

import pytest
import trio
import trio.testing
from attrs import define, frozen

from actors import Actor, ActorDied, Ask, AskTimeout, Backoff, ChildSpec, Lane, MailboxSpec
from actors.behaviours.breaker import Breaker, CircuitOpen
from actors.behaviours.breaker_proxy import BreakerProxy
from actors.behaviours.circuit import CircuitSpec, CircuitState, FailureCount
from tests.actors.troupe import Read, Run, player, settled, sleeping

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN
STEADY = Backoff(min_s=10.0, max_s=80.0, jitter=0.0)


def make(limit=1):
    """A breaker that opens after `limit` failures, for 10 s at first."""
    return Breaker("db", CircuitSpec(trip=FailureCount(limit), reset=STEADY))


@frozen
class Add(Ask[int]):
    number: int


@define(slots=False)
class Roomy(Ask[str]):
    word: str


class Plain(Ask[str]):
    __slots__ = ("__private",)
    __match_args__ = ("word",)

    def __init__(self, word):
        self.__private = word

    @property
    def word(self):
        return self.__private


class Bookkeeper(Actor):
    """Adds up; may be told to fail or to hang."""

    mailbox = MailboxSpec(capacity={Lane.NORMAL: 4})

    def __init__(self):
        self.sum = 0
        self.ended = []

    async def receive(self, message, context):
        match message:
            case Add(number) as ask:
                self.sum += number
                ask.reply(self.sum)
            case Roomy(word) | Plain(word) as ask:
                if word == "hang":
                    await trio.sleep_forever()
                ask.fail(ValueError(word)) if word == "fail" else ask.reply(word)
            case Run() as ask:
                try:
                    await ask.act(context)
                finally:
                    self.ended.append("ended")
            case Read() as ask:
                ask.reply(self.ended)
            case str():
                self.ended.append(message)
            case _:
                raise ValueError("unknown")


async def guarded(system, breaker, **options):
    """A bookkeeper and the guard before it."""
    target = await system.spawn(ChildSpec("books", Bookkeeper))
    return target, await system.spawn(ChildSpec("guard", lambda: BreakerProxy(target, breaker, **options)))


@pytest.mark.parametrize("request_", [Roomy("hi"), Plain("hi")])
async def test_requests_pass_a_guard_with_their_answers(autojump_clock, system, request_):
    """Whatever the class is made of."""
    _, guard = await guarded(system, make())
    assert await guard.ask(Add(1)) == 1
    assert await guard.ask(Add(2)) == 3
    assert await guard.ask(request_) == "hi"


async def test_a_guard_fails_requests_at_once_while_the_circuit_is_open(autojump_clock, system):
    """The target hears nothing of them; the error that opened it reached its own caller."""
    target, guard = await guarded(system, make())
    with pytest.raises(ValueError, match="fail"):
        await guard.ask(Roomy("fail"))
    start = trio.current_time()
    with pytest.raises(CircuitOpen):
        await guard.ask(Add(1))
    assert trio.current_time() == start
    assert await target.ask(Add(0)) == 0
    await trio.sleep(10)
    assert await guard.ask(Add(1)) == 1


async def test_a_target_that_does_not_answer_opens_the_circuit_before_its_callers_give_up(autojump_clock, system):
    """4 s, where an ask has 5; the target's own work for that request is cancelled."""
    target, guard = await guarded(system, make(limit=2))
    for _ in range(2):
        with pytest.raises(AskTimeout) as caught:
            await guard.ask(Run(sleeping()))
        assert (caught.value.path, caught.value.timeout_s) == ("/test/books", 4.0)
    with pytest.raises(CircuitOpen):
        await guard.ask(Add(1))
    assert await target.ask(Read()) == ["ended", "ended"]


async def test_a_dead_target_opens_the_circuit(autojump_clock, system):
    """Its callers learn that it died, then are refused."""
    target, guard = await guarded(system, make())
    await target.stop()
    with pytest.raises(ActorDied) as caught:
        await guard.ask(Add(1))
    assert caught.value.path == "/test/books"
    with pytest.raises(CircuitOpen):
        await guard.ask(Add(1))


async def test_a_request_that_hangs_holds_up_no_refusal(autojump_clock, system):
    """Those that came later do not stand in line behind it."""
    breaker = make()
    _, guard = await guarded(system, breaker)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def slow():
            with pytest.raises(AskTimeout):
                await guard.ask(Roomy("hang"))

        await settled()
        breaker.fail()
        start = trio.current_time()
        with pytest.raises(CircuitOpen):
            await guard.ask(Add(1))
        assert trio.current_time() == start


@pytest.mark.promise("bitten.cancelled-ask")
async def test_a_caller_that_goes_cancels_its_request_at_the_target_and_counts_neither_way(autojump_clock, system):
    """Within a quarter of a second; its trial is free again."""
    breaker = make()
    target, guard = await guarded(system, breaker)
    breaker.fail()
    await trio.sleep(10)
    with trio.move_on_after(1):
        await guard.ask(Run(sleeping()))
    await trio.sleep(0.3)
    assert breaker.state is HALF_OPEN
    assert await target.ask(Read()) == ["ended"]
    assert await guard.ask(Add(1)) == 1
    assert breaker.state is CLOSED


async def test_told_messages_pass_a_guard_and_count_neither_way(autojump_clock, system):
    """Also when the circuit is open: nobody waits for what comes of them."""
    breaker = make()
    target, guard = await guarded(system, breaker)
    breaker.fail()
    guard.tell("hello")
    guard.tell(Add(1))
    await settled()
    assert breaker.state is OPEN
    assert await target.ask(Read()) == ["hello"]
    assert await target.ask(Add(0)) == 1


@pytest.mark.promise("bitten.every-drop-counted")
async def test_a_told_message_that_finds_no_room_is_a_dead_letter(autojump_clock, system):
    """And the guard lives on."""
    target, guard = await guarded(system, make())
    target.tell(Run(sleeping()))
    await settled()
    for number in range(6):
        guard.tell(str(number))
    await settled()
    assert [(letter.path, letter.message, letter.why) for letter in system.dead_letters] == [
        ("/test/books", "4", "overflow"),
        ("/test/books", "5", "overflow"),
    ]
    assert guard.alive


@pytest.mark.promise("watch.tables-empty")
async def test_a_guard_that_ends_leaves_nothing_behind(autojump_clock, system):
    """Its callers are told, its calls cancelled, its trial given back, its timer gone."""
    breaker = make()
    target, guard = await guarded(system, breaker)
    breaker.fail()
    await trio.sleep(10)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def caller():
            with pytest.raises(ActorDied):
                await guard.ask(Run(sleeping()), timeout_s=math.inf)

        await settled()
        await guard.stop()
    assert await target.ask(Read()) == ["ended"]
    assert (breaker.state, breaker.statistics().in_work) == (HALF_OPEN, 0)
    await trio.sleep(6)
    assert len(system.timers) == 0


async def test_an_idle_guard_has_no_timer(autojump_clock, system):
    """It looks after its requests only as long as there are some."""
    _, guard = await guarded(system, make())
    await guard.ask(Add(1))
    await trio.sleep(6)
    assert len(system.timers) == 0


async def test_a_guard_that_restarts_keeps_its_breaker(autojump_clock, system):
    """What was learnt of the target is not forgotten."""
    breaker = make()
    target = await system.spawn(player("a"))
    guard = await system.spawn(ChildSpec("guard", lambda: BreakerProxy(target, breaker)))
    breaker.fail()
    guard.kill()
    with pytest.raises(CircuitOpen):
        await guard.ask(Read())
