"""Context variables that travel with messages."""

from contextvars import ContextVar

import pytest
import trio

from actors import Actor, ActorSystem, Ask, ChildSpec, Lane, MailboxSpec, Overflow, Stash, conflate, enqueued_at
from tests.actors.troupe import settled, tell

request_id: ContextVar[str] = ContextVar("request_id", default="none")
user: ContextVar[str] = ContextVar("user")


class Who(Ask):
    """Asks for the values the actor sees."""


class Seer(Actor):
    """Notes the values it sees with each message; passes on to another."""

    mailbox = MailboxSpec(2)

    def __init__(self, received, other=None):
        self.received = received
        self.other = other

    async def receive(self, message, context):
        self.received.append((message if isinstance(message, str) else "", request_id.get(), user.get("nobody")))
        match message:
            case Who() as ask:
                ask.reply(request_id.get())
            case "timer":
                context.set_timer("t", 1, "fired")
            case "pass on":
                self.other.tell("passed")
            case "crash":
                raise ValueError("boom")
            case "wait":
                await trio.sleep(5)


@pytest.fixture
async def carrying(autojump_clock):
    async with ActorSystem("s", intensity=9, carry=(request_id, user), on_event=lambda _: None) as system:
        yield system


async def test_a_request_brings_values_and_its_answer_none(autojump_clock, carrying):
    ref = await carrying.spawn(ChildSpec("a", lambda: Seer([])))
    request_id.set("mine")
    assert await ref.ask(Who()) == "mine"
    assert request_id.get() == "mine"


async def test_timers_bring_the_values_that_held_when_they_were_set(autojump_clock, carrying):
    received = []
    ref = await carrying.spawn(ChildSpec("a", lambda: Seer(received)))
    request_id.set("r1")
    ref.tell("timer")
    await trio.sleep(2)
    assert received == [("timer", "r1", "nobody"), ("fired", "r1", "nobody")]


async def test_a_sender_that_waits_for_room_gives_its_own_values(autojump_clock, carrying):
    received = []
    ref = await carrying.spawn(ChildSpec("a", lambda: Seer(received)))
    await tell(ref, "wait")
    ref.tell("1")
    ref.tell("2")
    request_id.set("patient")
    await ref.send("3", timeout_s=60)
    await settled()
    assert received[1:] == [("1", "none", "nobody"), ("2", "none", "nobody"), ("3", "patient", "nobody")]


async def test_pushing_a_message_out_leaves_the_senders_values_alone(autojump_clock, carrying):
    class Dropping(Seer):
        mailbox = MailboxSpec(1, Overflow.DROP_OLDEST)

    received = []
    ref = await carrying.spawn(ChildSpec("a", lambda: Dropping(received)))
    ref.tell("wait", lane=Lane.HIGH)
    await settled()
    request_id.set("old")
    ref.tell("old")
    request_id.set("new")
    ref.tell("new")
    assert request_id.get() == "new"
    await trio.sleep(10)
    assert received[1:] == [("new", "new", "nobody")]


async def test_without_variables_to_carry_an_actor_has_a_context_of_its_own(autojump_clock):
    received = []
    request_id.set("r1")
    async with ActorSystem("s") as system:
        ref = await system.spawn(ChildSpec("a", lambda: Seer(received)))
        await tell(ref, "x")
    assert received == [("x", "none", "nobody")]


async def test_a_message_of_a_conflating_lane_brings_nothing(autojump_clock, carrying):
    class Conflating(Seer):
        mailbox = MailboxSpec(9, {Lane.LOW: conflate(lambda _: "one key")})

    received = []
    ref = await carrying.spawn(ChildSpec("a", lambda: Conflating(received)))
    request_id.set("r1")
    ref.tell("one")
    ref.tell("two", lane=Lane.LOW)
    await settled()
    assert received == [("one", "r1", "nobody"), ("two", "none", "nobody")]


async def test_an_interceptor_sees_when_a_message_was_put_into_the_mailbox(autojump_clock):
    waited = {}

    def measuring(ref, receive):
        async def measured(message, context):
            since = enqueued_at.get()
            waited.setdefault(str(message), []).append(None if since is None else trio.current_time() - since)
            await receive(message, context)

        return measured

    class Slow(Actor):
        async def on_start(self, context):
            self.stash = Stash(context)

        async def receive(self, message, context):
            if message == "later" and trio.current_time() < 5:
                self.stash.stash(message)
                context.set_timer("t", 7, "timer")
            elif message == "timer":
                self.stash.unstash_all()
            else:
                await trio.sleep(2)

    async with ActorSystem("s", carry=[enqueued_at]) as system:
        system.intercept(measuring)
        ref = await system.spawn(ChildSpec("slow", Slow))
        for message in ("a", "b", "later"):
            ref.tell(message)
        await trio.sleep(20)
    assert waited == {"a": [0], "b": [2], "later": [4, 11], "timer": [None]}
