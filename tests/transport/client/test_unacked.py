"""Unacknowledged commands: stored, bounded, in order, also across restarts of the program."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.transport.client.scripted import event, hear, kinds, of_run, stay, talking
from transport.client.decoder import read_event
from transport.client.unacked import MAX_BYTES, MAX_COMMANDS, TRIES, UnackedCommands, encode_command
from transport.server.socket import Socket
from understudy.client import FileOutbox, Reconnect, RunFailed, open_client
from understudy.client.unacked import UnackedChatCommand
from understudy.wire.commands import Rating
from understudy.wire.vocabulary import VOCABULARY

NOWHERE = "ws://127.0.0.1:9/ws"  # nobody listens there
PATIENT = Reconnect(first_s=1.0)


def settled(command: dict[str, Any], *frames: bytes) -> list[bool]:
    unsent = UnackedCommands(UnackedChatCommand)
    unsent.add(command, encode_command(command))
    return [bool(unsent.remove_acked(read_event(json.loads(frame), VOCABULARY.events))) for frame in frames]


def of(kind: str, **payload: Any) -> dict[str, Any]:
    return {"type": kind, "payload": payload}


def test_a_message_is_settled_by_its_acceptance_or_a_refusal_that_names_it() -> None:
    other, mine = event("message_accepted", 1, message_id="other"), event("message_accepted", 1, message_id="mine")
    refusal = json.dumps(json.loads(event("error")) | {"message_id": "mine"}).encode()
    say = of("user_message", content="hi", message_id="mine")
    assert settled(say, other, of_run(event("error", 2)), event("error"), mine) == [False, False, False, True]
    assert settled(say, refusal) == [True]
    edit = of("edit", content="hi", message_id="old", new_message_id="mine")
    assert settled(edit, event("message_accepted", 1, message_id="old"), mine) == [False, True]
    assert settled(edit, refusal) == [True]


def test_another_answer_is_settled_by_the_branch_that_it_begins() -> None:
    """Named by the message or by its answer; of two requests, one at a time."""
    again = event("message_accepted", 1, message_id="mine", run_id="r2", branch_of="mine")
    first = event("message_accepted", 1, message_id="mine", run_id="r1")
    assert settled(of("regenerate", message_id="mine", request_id="q"), first, again) == [False, True]
    assert settled(of("regenerate", message_id="answer-r1", request_id="q"), first, again) == [False, True]
    unsent = UnackedCommands(UnackedChatCommand)
    for request_id in ("q1", "q2"):
        command = of("regenerate", message_id="mine", request_id=request_id)
        unsent.add(command, encode_command(command))
    assert [sent.message_id for sent in unsent.remove_acked(read_event(json.loads(again), VOCABULARY.events))] == ["q1"]


def test_a_continuation_is_settled_by_the_run_that_goes_on() -> None:
    """Another answer to the message is not it, nor is it an answer to a regeneration."""
    again = event("message_accepted", 1, message_id="mine", run_id="r2", branch_of="mine")
    goes_on = event("message_accepted", 1, message_id="mine", run_id="r3", branch_of="mine", continues="r1")
    assert settled(of("continue", run_id="r1", request_id="q"), again, goes_on) == [False, True]
    assert settled(of("continue", run_id="r1", request_id="q"), event("error", message_id="q")) == [True]
    assert settled(of("regenerate", message_id="mine", request_id="q"), goes_on, again) == [False, True]


def test_other_commands_are_settled_by_what_they_bring_about() -> None:
    """A decision by the decision or the end of the call, a cancellation by the end of the run, thumbs by thumbs."""
    decided = event("approval_decided", 1, call_id="c", decision="allow")
    approve = of("approve", call_id="c", decision="allow")
    assert settled(approve, event("approval_decided", 1, call_id="d", decision="allow"), decided) == [False, True]
    cancel = of("cancel", run_id="r")
    assert settled(cancel, of_run(event("final_response", 2), "s"), of_run(event("final_response", 2))) == [False, True]
    feedback = of("feedback", message_id="answer-r", rating="up")
    assert settled(feedback, event("feedback", message_id="answer-r", rating="up")) == [True]


def test_a_command_of_which_nothing_comes_is_given_up() -> None:
    unsent = UnackedCommands(UnackedChatCommand)
    for command in (of("cancel", run_id="r"), of("user_message", content="hi", message_id="m")):
        unsent.add(command, encode_command(command)).tries = TRIES
    unsent.reset_for_connection()
    assert [command["type"] for command in unsent.commands] == ["user_message"]


def test_the_outbox_is_bounded() -> None:
    unsent = UnackedCommands(UnackedChatCommand)
    for number in range(MAX_COMMANDS):
        command = of("user_message", content="hi", message_id=str(number % (MAX_COMMANDS - 1)))
        assert unsent.fits(encode_command(command))
        unsent.add(command, encode_command(command))
    assert len(unsent) == MAX_COMMANDS - 1
    assert not unsent.fits(b"x" * (MAX_BYTES - 100))
    with pytest.raises(ValueError, match="at most"):
        unsent.fits(b"x" * (MAX_BYTES + 1))
    unsent.add(of("cancel", run_id="r"), b"x")
    assert not unsent.fits(b"x")


async def test_a_command_that_json_has_not_is_refused_and_half_characters_are_mended() -> None:
    async with open_client(NOWHERE, reconnect=PATIENT) as client:
        with pytest.raises(TypeError):
            await client.say("hi", context={"a": object()})
        with pytest.raises(ValueError, match="at most"):
            await client.say("x" * MAX_BYTES)
        assert client.unaccepted == []
    assert json.loads(encode_command(of("user_message", content="a\ud800b", references=["\udc00"])))["payload"] == {
        "content": "a?b",
        "references": ["?"],
    }


async def test_offline_commands_are_sent_in_order() -> None:
    heard: list[list[str]] = []

    async def listen(socket: Socket) -> None:
        heard.append([(await hear(socket))["payload"]["content"] for _ in range(5)])
        await socket.write([event("message_accepted", 1, f"t{number}", message_id=f"m{number}") for number in (0, 1)])
        await socket.close(1013)

    async def rest(socket: Socket) -> None:
        assert (await hear(socket))["type"] == "resume"
        heard.append([(await hear(socket))["payload"]["content"] for _ in range(3)])
        await stay(socket, event("pong", thread_id=None))

    async with talking(listen, rest) as (client, _):
        for number in range(5):
            await client.say(str(number), message_id=f"m{number}", thread_id=f"t{number % 2}")
        assert await kinds(client, 3) == ["message_accepted", "message_accepted", "pong"]
        assert client.unaccepted == ["m2", "m3", "m4"]
    assert heard == [["0", "1", "2", "3", "4"], ["2", "3", "4"]]


async def test_a_thread_of_which_nothing_was_heard_is_resumed_from_where_it_was() -> None:
    """The acceptance is lost: the thread is resumed from its head in the welcome, so the acceptance comes again."""
    heard: list[Any] = []

    async def lose(socket: Socket) -> None:
        await socket.write([event("welcome", thread_id=None, threads={"t": 7, "other": 3})])
        await hear(socket)
        await socket.close(1011)

    async def replay(socket: Socket) -> None:
        heard.extend([await hear(socket), await hear(socket)])
        story = [event("message_accepted", 8), *[event("agent_thinking", seq) for seq in (9, 10)]]
        await stay(socket, event("agent_thinking", 11), *story, event("agent_thinking", 11))

    async with talking(lose, replay) as (client, _):
        await client.say("hi", message_id="mine", thread_id="t")
        assert await kinds(client, 5) == ["welcome", "message_accepted", *["agent_thinking"] * 3]
        assert client.last_seq == {"t": 11}
    assert heard[0] == {"type": "resume", "payload": {"threads": {"t": 7}}}
    assert heard[1]["payload"]["message_id"] == "mine"


async def test_messages_wait_while_the_server_goes_away() -> None:
    """After `drain` messages wait for the next connection; other commands are sent."""
    heard: list[Any] = []

    async def drain(socket: Socket) -> None:
        heard.append((await hear(socket))["payload"])
        refused = json.loads(event("error", retryable=True)) | {"message_id": "m1"}
        frames = [event("drain", thread_id=None, reconnect_after_s=0.0, closes_in_s=5.0), json.dumps(refused).encode()]
        await socket.write([*frames, event("pong", thread_id=None)])
        heard.append((await hear(socket))["payload"])
        await socket.close(1001)

    async def take(socket: Socket) -> None:
        heard.extend([(await hear(socket))["payload"] for _ in range(3)])
        await stay(socket, event("pong", thread_id=None))

    async with talking(drain, take) as (client, _):
        await client.say("one", message_id="m1")
        assert await kinds(client, 2) == ["drain", "pong"]
        await client.say("two", message_id="m2")
        await client.cancel("r")
        assert await kinds(client, 1) == ["pong"]
    names = [command.get("message_id") or command["run_id"] for command in heard]
    assert names == ["m1", "r", "m1", "m2", "r"]


async def test_the_other_commands_go_out_as_the_protocol_has_them() -> None:
    heard: list[Any] = []

    async def listen(socket: Socket) -> None:
        await socket.write([event("pong", thread_id=None)])
        heard.extend([await hear(socket) for _ in range(9)])
        await stay(socket, event("pong", thread_id=None))

    async with talking(listen) as (client, _):
        await kinds(client, 1)
        new = await client.edit("m1", "better")
        request = await client.regenerate("answer-r1")
        await client.approve("c1", note="fine")
        await client.approve("c2", False)
        await client.feedback("answer-r1", Rating.UP, note="good")
        await client.feedback("answer-r2", None)
        await client.cancel("r1")
        client.typing("t")
        client.ack("t", 5)
        await kinds(client, 1)
    expected = [
        of("edit", message_id="m1", content="better", new_message_id=new),
        of("regenerate", message_id="answer-r1", request_id=request),
        of("approve", call_id="c1", decision="allow", note="fine"),
        of("approve", call_id="c2", decision="deny"),
        of("feedback", message_id="answer-r1", rating="up", note="good"),
        of("feedback", message_id="answer-r2"),
        of("cancel", run_id="r1"),
    ]
    assert [command for command in heard if command["type"] not in ("typing", "ack")] == expected
    assert [command for command in heard if command["type"] in ("typing", "ack")] == [
        of("typing", thread_id="t"),
        of("ack", thread_id="t", seq=5),
    ]


async def test_events_that_the_caller_took_are_acknowledged(autojump_clock: trio.testing.MockClock) -> None:
    """The last taken seq of each thread, once, at most once a second, also for exchanges."""
    heard: list[Any] = []

    async def listen(socket: Socket) -> None:
        await socket.write([event("agent_thinking", seq, name) for seq in (1, 2, 3) for name in ("t", "u")])
        heard.extend([await hear(socket), await hear(socket)])
        await socket.write([of_run(event("agent_thinking", 4, "u"))])
        heard.append(await hear(socket))
        acked.set()
        await stay(socket)

    acked = trio.Event()
    async with talking(listen, ack=True) as (client, _):
        arc = client.exchange("mine")
        assert await kinds(client, 6) == ["agent_thinking"] * 6
        assert await kinds(arc, 1) == ["agent_thinking"]
        with trio.fail_after(30):
            await acked.wait()
    assert heard == [of("ack", thread_id="t", seq=3), of("ack", thread_id="u", seq=3), of("ack", thread_id="u", seq=4)]


async def test_a_message_can_be_taken_back_before_it_is_sent() -> None:
    """Its exchange gets the refusal."""
    async with open_client(NOWHERE, reconnect=PATIENT) as client:
        failed: list[RunFailed] = []

        async def ask() -> None:
            with pytest.raises(RunFailed) as failure:
                await client.answer("hi", message_id="mine")
            failed.append(failure.value)

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                await trio.testing.wait_all_tasks_blocked()
                assert await client.withdraw("mine")
            assert not await client.withdraw("mine")
        assert client.unaccepted == []
        assert failed[0].code == "run_cancelled"


# In a file


async def test_a_program_that_is_started_again_has_lost_nothing(tmp_path: Path) -> None:
    path = tmp_path / "outbox.json"
    async with open_client(NOWHERE, store=FileOutbox(path), reconnect=PATIENT) as client:
        await client.say("one", message_id="m1", thread_id="t")
        await client.say("two", message_id="m2", thread_id="t")
        await client.say("three", message_id="m3", thread_id="t")
        assert await client.withdraw("m3")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    heard: list[Any] = []

    async def take_one(socket: Socket) -> None:
        heard.extend([await hear(socket), await hear(socket)])
        await stay(socket, event("message_accepted", 1, message_id="m1"))

    async with talking(take_one, store=FileOutbox(path)) as (client, _):
        assert client.unaccepted == ["m1", "m2"]
        assert await kinds(client, 1) == ["message_accepted"]
        with trio.fail_after(60):
            while len(await FileOutbox(path).load()) > 1:
                await trio.lowlevel.checkpoint()
    assert [command["payload"]["content"] for command in heard] == ["one", "two"]
    assert [command["payload"]["message_id"] for command in await FileOutbox(path).load()] == ["m2"]
    assert os.listdir(tmp_path) == ["outbox.json"]


async def test_a_command_that_is_not_on_the_disk_is_not_kept(tmp_path: Path) -> None:
    async with open_client(
        NOWHERE, store=FileOutbox(tmp_path / "nowhere" / "outbox.json"), reconnect=PATIENT
    ) as client:
        with pytest.raises(FileNotFoundError):
            await client.say("hi")
        assert client.unaccepted == []


@pytest.mark.parametrize("body", ["", "{", "[]", "5", '{"commands": 5}', '{"commands": [{"type": "x"}]}'])
async def test_a_file_that_is_no_outbox_is_left_alone(tmp_path: Path, body: str) -> None:
    """It is an error to open it, not a reason to write over it."""
    path = tmp_path / "notes.json"
    path.write_text(body)
    with pytest.raises(ValueError, match="is not an outbox"):
        async with open_client(NOWHERE, store=FileOutbox(path)):
            pass
    assert path.read_text() == body


async def test_a_store_that_fails_later_ends_the_block(tmp_path: Path) -> None:
    class Full:
        async def load(self) -> list[Any]:
            return [of("user_message", content="hi", message_id="mine")]

        async def save(self, commands: Any) -> None:
            raise OSError("no room")

    async def take(socket: Socket) -> None:
        await hear(socket)
        await stay(socket, event("message_accepted", 1))

    async def wait() -> None:
        async with talking(take, store=Full()):
            with trio.fail_after(60):
                await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as group:
        await wait()
    assert group.group_contains(OSError)
