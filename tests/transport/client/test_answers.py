"""Answers: exchanges to their end, running text, and the routing of events."""

import json
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import wait_all_tasks_blocked

from tests.transport.client.scripted import event, hear, kinds, next_events, of_run, stay, staying, talking
from transport.server.socket import Socket
from transport.wire.errors import SocketClosed
from transport.wire.events import PartialResult
from understudy.client import RunFailed
from understudy.wire.events import FinalResponse


def answering(*ends: bytes) -> Any:
    """A connection that answers each message with these events."""

    async def step(socket: Socket) -> None:
        seq = 0
        while True:
            command = await hear(socket)
            name = command["payload"]["message_id"]
            run_id = f"run-of-{name}"
            accepted = json.loads(event("message_accepted", message_id=name, run_id=run_id))
            frames = []
            for frame in (accepted, *map(json.loads, ends)):
                frame |= {"run_id": run_id, "message_id": name}
                if frame["type"] != "partial_result":
                    seq += 1
                    frame["seq"] = seq
                frames.append(json.dumps(frame).encode())
            await socket.write(frames)

    return step


async def test_the_answer_is_the_text_of_the_final_response() -> None:
    """Two answers at once, without a reader of the other events: each gets its own text."""
    async with talking(answering(event("final_response", message="42"))) as (client, _):
        answers: list[str] = []

        async def ask() -> None:
            answers.append(await client.answer("what?", thread_id="t"))

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                nursery.start_soon(ask)
    assert answers == ["42", "42"]


async def test_many_answers_without_anybody_at_the_other_events() -> None:
    """More than there is room for: the oldest give way, and no answer waits for it."""
    async with talking(answering(*[event("agent_thinking")] * 300, event("final_response"))) as (client, _):
        with trio.fail_after(60):
            for _ in range(12):
                assert await client.answer("what?", thread_id="t") == "the answer"
        late = await next_events(client, 100)
    assert [received.seq for received in late] == list(range(late[0].seq or 0, (late[0].seq or 0) + 100))
    assert (late[0].seq or 0) > 1


BROKEN = {"message": "It broke.", "error_id": "e-1", "retryable": True, "retry_after": 2.5}


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (event("error", code="agent_failed", **BROKEN), "agent_failed"),
        (event("error", code="from_the_future", **BROKEN), "from_the_future"),
        (event("final_response", status="splendid"), "internal"),
    ],
)
async def test_a_run_that_fails(end: bytes, code: str) -> None:
    """The error says why, and leads to the log; an end that cannot be read is an end."""
    async with talking(answering(end)) as (client, _):
        with trio.fail_after(60), pytest.raises(RunFailed) as failed:
            await client.answer("what?", thread_id="t")
    error = failed.value
    assert error.code == code
    if code != "internal":
        assert (error.message, error.error_id, error.retryable, error.retry_after) == ("It broke.", "e-1", True, 2.5)


async def test_a_message_that_is_refused_and_a_log_that_was_trimmed() -> None:
    """Neither waits for an answer that does not come."""

    async def refuse(socket: Socket) -> None:
        name = (await hear(socket))["payload"]["message_id"]
        await socket.write([json.dumps(json.loads(event("error")) | {"message_id": name}).encode()])
        await answering(event("resync", last_seq=2))(socket)

    async with talking(refuse) as (client, _):
        with trio.fail_after(60):
            for code in ("busy", "not_found"):
                with pytest.raises(RunFailed) as failed:
                    await client.answer("what?", thread_id="t")
                assert failed.value.code == code
            arc = client.exchange(await client.say("what?", thread_id="t"))
            assert [received.type async for received in arc] == ["message_accepted", "resync"]
        assert client.unaccepted == []


async def test_the_end_of_the_client_is_the_end_of_waiting() -> None:
    async def leave(socket: Socket) -> None:
        await hear(socket)
        await socket.close(1008, "no")

    async with talking(leave) as (client, _):
        arc = client.exchange("other")
        with trio.fail_after(60):
            with pytest.raises(SocketClosed):
                await client.answer("what?")
            with pytest.raises(SocketClosed):
                await anext(arc)
            with pytest.raises(SocketClosed):
                await anext(client.exchange("later"))
            with pytest.raises(SocketClosed):
                await client.say("more")
    async with talking(stay) as (client, _):
        arc = client.exchange("mine")
    assert [received async for received in arc] == []
    with pytest.raises(RunFailed):
        await arc.answer()


async def test_one_message_is_followed_to_its_end() -> None:
    """Its own events and no others, in order; made after `say` it misses nothing; others get theirs all the same."""
    more = [event("agent_thinking"), event("final_response")]
    async with talking(answering(*more)) as (client, _):
        first = await client.say("one", thread_id="t")
        exchange = client.exchange(first)
        second = client.exchange(await client.say("two", thread_id="t"))
        with trio.fail_after(60):
            arc = ["message_accepted", "agent_thinking", "final_response"]
            assert [received.type async for received in exchange] == arc
            assert [(received.type, received.message_id) async for received in second] == [
                (kind, second.message_id) for kind in arc
            ]
            assert exchange.run_id == f"run-of-{first}"
            assert await kinds(client, 6) == arc * 2
            with pytest.raises(StopAsyncIteration):
                await anext(exchange)


async def test_the_runs_of_a_message_are_told_apart() -> None:
    """A regenerated message has two runs: an exchange follows the first one it receives, or the one it names."""

    async def step(socket: Socket) -> None:
        for run_id in ("r1", "r2"):
            command = await hear(socket)
            extra = {"branch_of": "mine"} if command["type"] == "regenerate" else {}
            await socket.write([of_run(event("message_accepted", int(run_id[1]), run_id=run_id, **extra), run_id)])
        pieces = [
            of_run(event("partial_result", text=text, offset=0), run) for run, text in (("r2", "new"), ("r1", "old"))
        ]
        ends = [of_run(event("final_response", seq, message=run), run) for seq, run in ((3, "r2"), (4, "r1"))]
        await socket.write(pieces)
        await hear(socket)
        await stay(socket, *ends)

    async with talking(step) as (client, _):
        old = client.exchange(await client.say("hi", message_id="mine"))
        await next_events(old, 1)
        await client.regenerate("mine")
        new, named = client.exchange("mine"), client.exchange("mine", run_id="r1")
        assert await kinds(new, 2) == ["message_accepted", "partial_result"]
        assert await kinds(old, 1) == ["partial_result"]
        assert (client.text("mine"), client.text("r1"), client.text("r2")) == ("new", "old", "new")
        assert client.unaccepted == []
        await client.cancel("r1")
        with trio.fail_after(60):
            ended = [(await arc.answer()).event for arc in (new, old, named)]
        assert [received.message for received in ended if isinstance(received, FinalResponse)] == ["r2", "r1", "r1"]


async def test_the_text_grows_without_repeats_across_connections() -> None:
    """Overlaps are cut, the snapshot after a resume goes on where the text was, the final text is the last word."""

    def piece(text: str, offset: int) -> bytes:
        return of_run(event("partial_result", text=text, offset=offset))

    async def first(socket: Socket) -> None:
        await socket.write([of_run(event("message_accepted", 1)), piece("one ", 0), piece("e two ", 2), piece("wo", 5)])
        await socket.close(1013)

    async def second(socket: Socket) -> None:
        await hear(socket)
        await stay(
            socket, piece("one two three ", 0), piece("hole", 99), of_run(event("final_response", 2, message="1 2 3"))
        )

    async with talking(first, second) as (client, _):
        heard = await next_events(client, 5)
        mine = [received.event for received in heard if isinstance(received.event, PartialResult)]
        assert [(shown.offset, shown.text) for shown in mine] == [(0, "one "), (4, "two "), (8, "three ")]
        assert client.text("mine") == client.text("r") == "1 2 3"
        assert client.text("nobody") == ""


async def test_an_iterator_that_is_left_holds_nothing_up() -> None:
    many = [of_run(event("agent_thinking", seq)) for seq in range(1, 1500)]
    async with talking(staying(*many)) as (client, _):
        async for _event in client.exchange("mine"):
            break
        with trio.fail_after(60):
            assert [(await anext(client)).seq for _ in many][-1] == 1499


async def test_two_may_iterate() -> None:
    seqs: list[int | None] = []
    step = staying(*[event("agent_thinking", seq) for seq in range(1, 21)])
    async with talking(step) as (client, _), trio.open_nursery() as nursery:

        async def take() -> None:
            async for received in client:
                seqs.append(received.seq)

        nursery.start_soon(take)
        nursery.start_soon(take)
        with trio.fail_after(60):
            while len(seqs) < 20:
                await trio.lowlevel.checkpoint()
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert sorted(seq or 0 for seq in seqs) == list(range(1, 21))
