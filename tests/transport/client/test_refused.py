"""Temporarily refused commands are sent again, under the same id, within limits."""

import json
from itertools import pairwise
from typing import Any

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock

from tests.transport.client.scripted import QUICK, event, hear, of_run, stay, staying, talking
from transport.server.socket import Socket
from understudy.client import Reconnect, RunFailed

HOW = Reconnect(first_s=1.0, max_s=8.0, retry_s=60.0, ping_s=1000.0, connect_s=5.0)
WELCOME = event("welcome", thread_id=None)


def refusal(message_id: str | None, **data: Any) -> bytes:
    fields = {"code": "busy", "retryable": True} | data
    return json.dumps(json.loads(event("error", thread_id=None, **fields)) | {"message_id": message_id}).encode()


def answer(message_id: str, seq: int = 1, thread_id: str = "t") -> list[bytes]:
    accepted = event("message_accepted", seq, thread_id, message_id=message_id, run_id=f"r-{message_id}")
    end = event("final_response", seq + 1, thread_id)
    return [of_run(sent, f"r-{message_id}", message_id) for sent in (accepted, end)]


@pytest.mark.parametrize("code", ["busy", "storage_unavailable", "rate_limited", "internal", "from_the_future"])
async def test_a_message_refused_for_now_is_said_again(code: str, autojump_clock: MockClock) -> None:
    """Under the same name, not sooner than the server asks, a little later each time; its caller sees the answer."""
    heard: list[tuple[float, str]] = []

    async def step(socket: Socket) -> None:
        await socket.write([WELCOME])
        for _ in range(4):
            command = await hear(socket)
            heard.append((trio.current_time(), command["payload"]["message_id"]))
            if len(heard) < 4:
                await socket.write([refusal("mine", code=code, retry_after=2.0)])
        await stay(socket, *answer("mine"))

    async with talking(step, reconnect=HOW, chance=lambda: 0.5) as (client, script):
        exchange = client.exchange("mine")
        with trio.fail_after(100):
            assert await client.answer("what?", message_id="mine", thread_id="t") == "the answer"
            events = [(received.type, received.repeated) async for received in exchange]
        assert client.unaccepted == []
    assert events == [("error", True)] * 3 + [("message_accepted", False), ("final_response", False)]
    assert {name for _, name in heard} == {"mine"}
    times = [when for when, _ in heard]
    waits = [later - sooner for sooner, later in pairwise(times)]
    assert waits == [pytest.approx(2.5, abs=0.3), pytest.approx(3.0, abs=0.3), pytest.approx(4.0, abs=0.3)]
    assert len(script.came) == 1


@pytest.mark.parametrize("retry_after", [None, 2.0])
async def test_it_is_not_said_for_ever(retry_after: float | None, autojump_clock: MockClock) -> None:
    count = 0

    async def step(socket: Socket) -> None:
        nonlocal count
        await socket.write([WELCOME])
        while True:
            await hear(socket)
            count += 1
            await socket.write([refusal("mine", retry_after=retry_after)])

    async with talking(step, reconnect=HOW) as (client, _):
        began = trio.current_time()
        with trio.fail_after(100), pytest.raises(RunFailed) as failed:
            await client.answer("what?", message_id="mine")
        assert 30 < trio.current_time() - began <= 60
        assert (failed.value.code, failed.value.retryable, failed.value.retry_after) == ("busy", True, retry_after)
        assert client.unaccepted == []
        assert 5 < count < 25


@pytest.mark.parametrize(("data", "how"), [({"retry_after": 100.0}, HOW), ({}, evolve(HOW, retry_s=0.0))])
async def test_a_command_that_would_be_too_late_is_refused_at_once(
    data: dict[str, Any], how: Reconnect, autojump_clock: MockClock
) -> None:
    async def step(socket: Socket) -> None:
        await hear(socket)
        await stay(socket, WELCOME, refusal("mine", **data))

    async with talking(step, reconnect=how) as (client, _):
        with trio.fail_after(1), pytest.raises(RunFailed):
            await client.answer("what?", message_id="mine")


async def test_later_messages_of_its_thread_wait_for_it(autojump_clock: MockClock) -> None:
    """Those of other threads do not."""
    received: list[str] = []

    async def step(socket: Socket) -> None:
        await socket.write([WELCOME])
        received.append((await hear(socket))["payload"]["message_id"])
        await socket.write([refusal("a1", retry_after=5.0), event("pong", thread_id=None)])
        received.extend([(await hear(socket))["payload"]["message_id"] for _ in range(3)])
        await stay(socket, event("pong", thread_id=None))

    async with talking(step, reconnect=HOW) as (client, _):
        events = aiter(client)
        await client.say("one", message_id="a1", thread_id="a")
        with trio.fail_after(100):
            while (await anext(events)).type != "pong":
                pass
            await client.say("two", message_id="a2", thread_id="a")
            await client.say("three", message_id="b1", thread_id="b")
            while (await anext(events)).type != "pong":
                pass
    assert received == ["a1", "b1", "a1", "a2"]


async def test_other_commands_are_said_again_too(autojump_clock: MockClock) -> None:
    """A refusal without an id, then one that names an answer: the commands are sent again, then the feedback only."""
    heard: list[Any] = []

    async def step(socket: Socket) -> None:
        await socket.write([WELCOME])
        heard.extend([await hear(socket) for _ in range(3)])
        await socket.write([refusal(None, code="rate_limited", retry_after=1.0)])
        heard.extend([await hear(socket) for _ in range(3)])
        await socket.write([refusal("answer-r", code="rate_limited", retry_after=1.0)])
        heard.append(await hear(socket))
        await stay(socket, event("pong", thread_id=None))

    async with talking(step, reconnect=HOW) as (client, _):
        await client.approve("c1")
        await client.cancel("r")
        await client.feedback("answer-r", None)
        with trio.fail_after(100):
            async for received in client:
                if received.type == "pong":
                    break
    assert [command["type"] for command in heard] == ["approve", "cancel", "feedback"] * 2 + ["feedback"]


async def test_an_edit_and_another_answer_are_said_again(autojump_clock: MockClock) -> None:
    """A refusal of the latter names the message."""
    heard: list[Any] = []

    async def step(socket: Socket) -> None:
        await socket.write([WELCOME])
        for _ in range(2):
            heard.extend([await hear(socket), await hear(socket)])
            if len(heard) == 2:
                await socket.write([refusal("new"), refusal("m1")])
        await stay(socket, event("pong", thread_id=None))

    async with talking(step, reconnect=HOW) as (client, _):
        await client.edit("old", "words", new_message_id="new")
        await client.regenerate("m1", request_id="q")
        with trio.fail_after(100):
            async for received in client:
                assert not received.refusal
                if received.type == "pong":
                    break
    assert heard[:2] == heard[2:]


async def test_a_new_connection_begins_the_count_anew(autojump_clock: MockClock) -> None:
    """A command refused on one connection is sent on the next, with a new `retry_s`."""
    count = 0

    async def step(socket: Socket) -> None:
        nonlocal count
        await socket.write([WELCOME])
        while True:
            await hear(socket)
            count += 1
            if count == 3:
                await socket.close(1011)
                return
            await socket.write([refusal("mine", retry_after=25.0)] if count < 6 else answer("mine"))

    async with talking(step, reconnect=HOW) as (client, _):
        with trio.fail_after(1000):
            assert await client.answer("what?", message_id="mine", thread_id="t") == "the answer"


async def test_a_message_that_waits_to_be_sent_again_can_be_taken_back(autojump_clock: MockClock) -> None:
    async def step(socket: Socket) -> None:
        await socket.write([WELCOME])
        await hear(socket)
        assert not await client.withdraw("mine")
        await stay(socket, refusal("mine", retry_after=20.0))

    async with talking(step, reconnect=HOW) as (client, _):
        arc = client.exchange(await client.say("what?", message_id="mine"))
        with trio.fail_after(5):
            assert (await anext(arc)).repeated
            assert await client.withdraw("mine")
            with pytest.raises(RunFailed) as failed:
                await arc.answer()
        assert failed.value.code == "run_cancelled"
        assert client.unaccepted == []


# A newer token that is refused


def tokens() -> Any:
    count = iter(range(100))
    return lambda: f"token-{next(count)}"


@pytest.mark.parametrize("code", ["forbidden", "unauthenticated", "token_expired"])
async def test_a_refused_refresh_makes_a_new_connection(code: str, autojump_clock: MockClock) -> None:
    """With yet another token; nothing that was said is lost, and the caller hears nothing of it."""
    received: list[str] = []

    async def first(socket: Socket) -> None:
        await socket.write([WELCOME])
        received.append((await hear(socket))["type"])
        expired = {"code": "token_expired", "retryable": False}
        await socket.write([refusal("mine", **expired)])
        received.append((await hear(socket))["type"])
        await stay(socket, refusal(None, code=code, retryable=False), refusal("mine", **expired))

    async def second(socket: Socket) -> None:
        await socket.write([WELCOME])
        received.append((await hear(socket))["type"])
        await stay(socket, *answer("mine"))

    async with talking(first, second, token=tokens(), reconnect=HOW) as (client, script):
        await trio.sleep(10)
        with trio.fail_after(20):
            assert await client.answer("what?", message_id="mine", thread_id="t") == "the answer"
    assert received == ["user_message", "refresh", "user_message"]
    shown = [upgrade.headers["authorization"] for upgrade in script.upgrades]
    assert shown == ["Bearer token-0", "Bearer token-2"]


async def test_messages_on_the_way_while_the_token_is_renewed_are_said_again(autojump_clock: MockClock) -> None:
    """Refusals of commands that were sent with the old token do not count against the new one."""
    received: list[str] = []

    async def step(socket: Socket) -> None:
        await socket.write([WELCOME])
        received.extend([(await hear(socket))["payload"]["message_id"] for _ in range(2)])
        expired = {"code": "token_expired", "retryable": False}
        await socket.write([refusal("m1", **expired)])
        received.append((await hear(socket))["type"])
        await socket.write([refusal("m2", **expired)])
        received.extend([(await hear(socket))["payload"]["message_id"] for _ in range(2)])
        await stay(socket, *answer("m1"), *answer("m2", 3))

    async with talking(step, token=tokens(), reconnect=HOW) as (client, script):
        await trio.sleep(60)
        arcs = [client.exchange(name) for name in ("m1", "m2")]
        for name in ("m1", "m2"):
            await client.say("what?", message_id=name, thread_id="t")
        with trio.fail_after(20):
            assert [(await arc.answer()).message_id for arc in arcs] == ["m1", "m2"]
        assert len(script.came) == 1
    assert received == ["m1", "m2", "refresh", "m1", "m2"]


async def test_a_token_given_by_hand_that_is_refused_is_shown_once_more(autojump_clock: MockClock) -> None:
    """By a new connection: the server may take it there, as it belongs to another session."""

    async def first(socket: Socket) -> None:
        await socket.write([WELCOME])
        assert (await hear(socket))["type"] == "refresh"
        await stay(socket, refusal(None, code="forbidden", retryable=False))

    async with talking(first, staying(WELCOME), token="old", reconnect=QUICK) as (client, script):
        events = aiter(client)
        with trio.fail_after(20):
            await anext(events)
            client.refresh("new")
            assert (await anext(events)).type == "welcome"
    assert script.upgrades[1].headers["authorization"] == "Bearer new"
