"""A server: calls, casts, and what comes from the runtime."""

from typing import Any

import pytest
import trio
import trio.testing

from actors import (
    ActorDied,
    Ask,
    AskTimeout,
    ChildSpec,
    MessageUnhandled,
    Restart,
    Supervision,
    Terminated,
    UnhandledMessage,
)
from actors.behaviours.server import Server, call, cast
from tests.actors.behaviours.adders import (
    Add,
    Adder,
    AddTwice,
    Answer,
    AskYourself,
    Fail,
    Later,
    Look,
    Total,
    TotalOf,
    Unknown,
)
from tests.actors.troupe import player, settled


@pytest.fixture
async def adder(system):
    """A running adder."""
    return await system.spawn(ChildSpec("adder", Adder))


async def test_a_message_goes_to_the_method_annotated_with_its_type(autojump_clock, adder):
    """What a call returns is the answer."""
    adder.tell(Add(2))
    adder.tell(Add(3))
    assert await adder.ask(Total()) == 5


async def test_the_nearest_class_in_the_ancestry_counts(autojump_clock, adder):
    """A subtype has the method of its nearest kin."""
    adder.tell(AddTwice(2))
    assert await adder.ask(TotalOf("all")) == 4


async def test_an_unknown_message_is_reported_and_the_server_lives_on(autojump_clock, adder, system, events):
    """A request fails, a message is counted."""
    adder.tell("what")
    with pytest.raises(UnhandledMessage, match="/test/adder does not understand Unknown"):
        await adder.ask(Unknown())
    assert await adder.ask(Total()) == 0
    unhandled = [event.message_type for event in events if isinstance(event, MessageUnhandled)]
    assert unhandled == ["str", "Unknown"]
    assert system.unhandled == 2


async def test_a_call_may_answer_later_and_in_any_order(autojump_clock, adder):
    """Many requests can be open; the server goes on meanwhile."""
    answers = []

    async def ask(word):
        answers.append(await adder.ask(Later(word)))

    async with trio.open_nursery() as nursery:
        for word in ("a", "b"):
            nursery.start_soon(ask, word)
            await settled()
        assert await adder.ask(Total()) == 0
        adder.tell(Answer("b"))
        await settled()
        assert answers == ["b!"]
        adder.tell(Answer("a"))
    assert answers == ["b!", "a!"]


async def test_an_answer_that_comes_too_late_is_counted(autojump_clock, adder, system):
    """And nobody gets it."""
    with pytest.raises(AskTimeout):
        await adder.ask(Later("a"), timeout_s=1)
    adder.tell(Answer("a"))
    await settled()
    assert system.late_replies == 1
    assert adder.alive


async def test_a_call_may_answer_with_an_error_and_live_on(autojump_clock, adder):
    """The caller gets the very error."""
    adder.tell(Add(1))
    with pytest.raises(ValueError, match="no"):
        await adder.ask(Fail())
    assert await adder.ask(Total()) == 1


async def test_an_error_in_a_call_crashes_the_server_and_its_caller_hears_of_it(autojump_clock, adder):
    """With the error as the cause; the next incarnation starts afresh."""
    adder.tell(Add(1))
    with pytest.raises(ActorDied) as caught:
        await adder.ask(Fail(crash=True))
    assert isinstance(caught.value.__cause__, KeyError)
    assert await adder.ask(Total()) == 0


async def test_requests_left_open_fail_with_the_server(autojump_clock, adder):
    """None waits for ever for a server that will not answer."""
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def caller():
            with pytest.raises(ActorDied):
                await adder.ask(Later("a"), timeout_s=1e6)

        await settled()
        adder.kill()
    assert await adder.ask(Total()) == 0


async def test_a_request_that_was_told_is_served_and_answered_to_nobody(autojump_clock, adder, system):
    """A call without a caller."""
    adder.tell(Total())
    assert await adder.ask(Total()) == 0
    assert system.late_replies == 0


async def test_a_server_that_calls_itself_is_told_so(autojump_clock, adder):
    """It would wait for ever."""
    assert await adder.ask(AskYourself()) == "/test/adder cannot ask itself"


async def test_none_is_an_answer(autojump_clock, system):
    """And not the lack of one."""
    ref = await system.spawn(ChildSpec("quiet", Quiet))
    assert await ref.ask(Nothing()) is None


class Nothing(Ask[None]):
    """Answered with None."""


class Quiet(Server):
    @call
    async def nothing(self, request: Nothing, context) -> None:
        """Answer with None."""


class Nurse(Server):
    """Watches, sets timers, and writes down what comes of it."""

    supervision = Supervision()

    def __init__(self):
        self.heard = []

    async def on_start(self, context):
        self.patient = await context.spawn(player("patient", restart=Restart.TEMPORARY))
        context.watch(self.patient)
        context.set_timer("tick", 3, "tick")

    @cast
    async def gone(self, notice: Terminated, context) -> None:
        self.heard.append(notice.ref)

    async def on_info(self, message, context):
        if message == "tick":
            self.heard.append(message)
        else:
            await super().on_info(message, context)

    @call
    async def look(self, request: Look, context) -> list[Any]:
        return list(self.heard)


async def test_notices_and_timers_have_methods_too_or_come_to_on_info(autojump_clock, system, events):
    """What `on_info` does not know is unhandled."""
    ref = await system.spawn(ChildSpec("nurse", Nurse))
    patient = ref.children()[0]
    await patient.stop()
    await trio.sleep(5)
    ref.tell("tock")
    assert await ref.ask(Look()) == [patient, "tick"]
    assert [event.message_type for event in events if isinstance(event, MessageUnhandled)] == ["str"]


async def test_requests_never_come_to_on_info(autojump_clock, system):
    """It might swallow them, and their callers would wait in vain."""

    class Swallower(Server):
        async def on_info(self, message, context):
            """Say nothing."""

    ref = await system.spawn(ChildSpec("swallower", Swallower))
    with pytest.raises(UnhandledMessage):
        await ref.ask(Unknown())
