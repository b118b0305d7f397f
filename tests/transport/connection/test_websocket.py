"""The actor of a socket: commands, refusals, tokens, and the ends of a connection."""

import json
import logging
import time
from typing import Any

import pytest
import trio
from attrs import evolve
from trio.testing import wait_all_tasks_blocked
from websockets.frames import Opcode

from tests.transport.connection_rig import ANN, Server, greeted, open_rig
from transport.connection.callbacks import ConnectionLimits
from transport.connection.heartbeat import Heartbeat
from transport.wire.errors import CommandRejected
from transport.wire.messages import Close
from understudy.wire.commands import Cancel, Say


async def test_welcome_comes_first_and_a_message_goes_through() -> None:
    """The whole path of a message: welcome, say, the first event of the answer."""
    async with open_rig() as rig:
        welcome = await rig.event()
        assert (welcome["type"], welcome["data"]["user"]) == ("welcome", "ann")
        await rig.send({"type": "user_message", "payload": {"content": "hi", "thread_id": "t"}})
        assert (await rig.event())["data"]["thought"] == "hi"
        await rig.send({"type": "cancel", "payload": {"run_id": "r"}})
        await wait_all_tasks_blocked()
        assert [(user, type(command)) for user, command in rig.server.commands] == [("ann", Say), ("ann", Cancel)]
        assert rig.server.counts.received == ["say", "cancel"]
        assert rig.server.counts.connections == [1]


async def test_faulty_frames_are_answered_and_the_connection_lives_on() -> None:
    """Every refusal has a code, a sentence and an error_id; the next good frame works."""
    async with greeted() as rig:
        await rig.send("{", [], {"type": "nonsense"}, {"type": "message", "content": " "}, '"' + "x" * 270_000 + '"')
        errors = [(await rig.event())["data"] for _ in range(5)]
        codes = ["bad_json", "invalid_command", "unknown_type", "empty_message", "message_too_large"]
        assert [error["code"] for error in errors] == codes
        assert all(error["error_id"] and error["message"] and error["retryable"] is False for error in errors)
        assert rig.server.counts.errors == codes
        await rig.send({"type": "ping", "nonce": "n"})
        assert (await rig.event())["data"] == {"nonce": "n"}


@pytest.mark.promise("wire.error-no-insides", "owasp.logging")
async def test_a_refusal_can_be_found_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """One log line has the client's error_id and the code, and nothing of the frame."""
    caplog.set_level(logging.INFO, "transport.connection.websocket")
    async with greeted() as rig:
        await rig.send("my secret {")
        refusals = [(await rig.event())["data"]]
        for code in ("busy", "storage_unavailable", "not_found"):
            rig.server.fault = CommandRejected(code, "No.")
            await rig.send({"type": "message", "content": "my secret"})
            refusals.append((await rig.event())["data"])
        connection = rig.server.connection_ids[0]
    lines = [record for record in caplog.records if record.name == "transport.connection.websocket"]
    assert [record.getMessage() for record in lines] == ["command.refused"] * 4
    logged = [(record.__dict__["code"], record.__dict__["error_id"]) for record in lines]
    assert logged == [(data["code"], data["error_id"]) for data in refusals]
    assert {record.__dict__["connection_id"] for record in lines} == {connection}
    assert [record.levelname for record in lines] == ["INFO", "WARNING", "WARNING", "INFO"]
    assert "secret" not in str([record.__dict__ for record in lines])


async def test_a_command_can_be_refused() -> None:
    async with greeted() as rig:
        rig.server.fault = CommandRejected("unknown_agent_type", "Unknown agent_type: X")
        await rig.send({"type": "message", "content": "hi"})
        assert (await rig.event())["message"] == "Unknown agent_type: X"
        rig.server.fault, rig.server.retry_after = None, 4.5
        await rig.send({"type": "message", "content": "hi"}, {"type": "ping"})
        error = (await rig.event())["data"]
        assert (error["code"], error["retryable"], error["retry_after"]) == ("rate_limited", True, 4.5)
        assert await rig.events(1) == ["pong"]


@pytest.mark.promise("wire.refused-by-name")
async def test_a_refusal_names_the_message_it_is_about() -> None:
    """By the client's own names for it, as far as they can be read; the refusal of anything else names nothing."""
    names = {"message_id": "m", "thread_id": "t", "conversation_id": "c"}
    async with greeted() as rig:
        for payload in ({"message_id": "m"}, names, {}):
            rig.server.fault = CommandRejected("busy", "Wait.", 1.0)
            await rig.send({"type": "user_message", "payload": {"content": "hi", **payload}})
            assert {name: value for name, value in (await rig.event()).items() if name in names} == payload
        await rig.send({"type": "cancel", "payload": {"run_id": "r"}})
        assert names.keys().isdisjoint(await rig.event())
        for bad in ({"content": ""}, {"content": 7}, {"content": "x", "pillar": 1}):
            await rig.send({"type": "user_message", "payload": bad | names})
            assert {name: value for name, value in (await rig.event()).items() if name in names} == names
        await rig.send({"type": "user_message", "payload": {"content": "", "message_id": 7, "thread_id": " "}})
        assert names.keys().isdisjoint(await rig.event())
        rig.server.fault = CommandRejected("not_found", "There is no message of that name.")
        await rig.send({"type": "edit", "payload": {"message_id": "m", "content": "x", "new_message_id": "n"}})
        assert (await rig.event())["message_id"] == "n"
        await rig.send({"type": "regenerate", "payload": {"message_id": "m"}})
        assert (await rig.event())["message_id"] == "m"
        rig.server.retry_after, rig.server.fault = 4.5, None
        await rig.send({"type": "user_message", "payload": {"content": "hi", **names}})
        limited = await rig.event()
        assert (limited["data"]["code"], limited["message_id"], limited["thread_id"]) == ("rate_limited", "m", "t")


@pytest.mark.promise("wire.close-1011", "wire.error-internal", "wire.error-no-insides", "owasp.errors")
async def test_a_fault_of_the_server_is_1011_with_an_error_id(caplog: pytest.LogCaptureFixture) -> None:
    """The client gets an id and no more; the log record with the same id has the traceback."""
    async with greeted() as rig:
        rig.server.fault = RuntimeError("a secret")
        await rig.send({"type": "message", "content": "hi"})
        error = await rig.event()
        assert error["data"]["code"] == "internal"
        assert "secret" not in json.dumps(error)
        code, reason = await rig.closed()
        assert code == 1011
        assert error["data"]["error_id"] in reason
        assert rig.server.counts.closed == [1011]
        assert rig.server.counts.connections == [1, -1]
    (record,) = [record for record in caplog.records if record.getMessage() == "connection.failed"]
    assert record.__dict__["error_id"] == error["data"]["error_id"]
    assert record.exc_info is not None


async def test_a_client_that_leaves_ends_the_connection() -> None:
    async with open_rig() as rig:
        rig.client.protocol.send_close(4001, "bye")
        await rig.client.flush()
        with trio.fail_after(60):
            await rig.connection.wait_stopped()
        assert rig.server.counts.closed == [4001]


async def test_stopping_the_actor_is_1001_and_close_is_what_it_says() -> None:
    async with open_rig() as rig, trio.open_nursery() as nursery:
        await rig.event()
        nursery.start_soon(rig.connection.stop)
        assert (await rig.closed())[0] == 1001
    async with greeted() as rig:
        rig.connection.tell(Close(4403))
        assert await rig.closed() == (4403, "forbidden")


@pytest.mark.promise("wire.close-4403")
async def test_a_user_can_be_turned_away() -> None:
    for refusal, code in (("rate_limited", 4429), ("forbidden", 4403), ("storage_unavailable", 1013)):
        server = Server()
        server.refusal = refusal
        async with open_rig(server=server) as rig:
            assert (await rig.event())["data"]["code"] == refusal
            assert (await rig.closed())[0] == code


@pytest.mark.promise("wire.token-bad-message", "wire.close-4400")
@pytest.mark.parametrize(
    ("first", "error", "code"),
    [
        ("{", "bad_json", 4400),
        ({"type": "message", "content": "hi"}, "unauthenticated", 4401),
        ({"type": "message", "content": "hi", "session_token": "no"}, "unauthenticated", 4401),
    ],
)
async def test_a_bad_first_message_is_the_end(first: Any, error: str, code: int) -> None:
    """A socket without identity gets one try."""
    async with open_rig(None) as rig:
        await rig.send(first, {"type": "ping"})
        assert (await rig.event())["data"]["code"] == error
        assert (await rig.closed())[0] == code
        assert rig.server.joined == []


async def test_a_first_message_that_does_not_come_is_4408(autojump_clock: trio.testing.MockClock) -> None:
    """A socket without identity does not wait for ever."""
    async with open_rig(None) as rig:
        started = trio.current_time()
        assert (await rig.closed())[0] == 4408
        assert trio.current_time() - started == pytest.approx(10, abs=1)


async def test_a_provisional_identity_gives_way_to_a_token() -> None:
    """An anonymous session: the first message's token replaces it, later ones are ignored, an invalid one is 4401."""
    async with open_rig(ANN, given_token="given") as rig:
        token = rig.server.tokens.issue("bob", "s2", ttl_s=600)
        other = rig.server.tokens.issue("eve", "s3", ttl_s=600)
        await rig.send({"type": "message", "content": "1", "session_token": token})
        assert await rig.events(3) == ["welcome", "welcome", "agent_thinking"]
        await rig.send({"type": "message", "content": "2", "session_token": other}, {"type": "ping"})
        assert sorted(await rig.events(2)) == ["agent_thinking", "pong"]
        assert (rig.server.joined, {user for user, _ in rig.server.commands}) == (["ann", "bob"], {"bob"})
    async with open_rig(ANN, given_token="given") as rig:
        await rig.send({"type": "message", "content": "1", "session_token": "bad"})
        assert await rig.events(2) == ["welcome", "error"]
        assert (await rig.closed())[0] == 4401


@pytest.mark.promise(
    "wire.token-renewed", "wire.token-expired", "wire.error-forbidden", "owasp.session-expiry", "owasp.token-refresh"
)
async def test_a_token_can_be_renewed_in_place(autojump_clock: trio.testing.MockClock) -> None:
    """The token expires: commands are refused until a refresh. Without a refresh: 4401 after a minute."""
    server = Server()
    soon = evolve(ANN, expires_at=server.clock() + 100)
    async with greeted(soon, server=server) as rig:
        started = trio.current_time()
        assert (await rig.event())["data"]["code"] == "token_expired"
        assert trio.current_time() - started == pytest.approx(100, abs=1)
        await rig.send({"type": "message", "content": "hi"})
        assert (await rig.event())["data"]["code"] == "token_expired"
        another = server.tokens.issue("ann", "s9", ttl_s=600)
        await rig.send({"type": "refresh", "payload": {"session_token": another}})
        assert (await rig.event())["data"]["code"] == "forbidden"
        await rig.send({"type": "refresh", "payload": {"session_token": "bad"}})
        assert (await rig.event())["data"]["code"] == "unauthenticated"
        fresh = server.tokens.issue("ann", "s1", ttl_s=200)
        await rig.send({"type": "refresh", "payload": {"session_token": fresh}}, {"type": "message", "content": "hi"})
        assert await rig.events(1) == ["agent_thinking"]
        assert (await rig.event())["data"]["code"] == "token_expired"
        started = trio.current_time()
        assert await rig.closed() == (4401, "token expired")
        assert trio.current_time() - started == pytest.approx(60, abs=1)


@pytest.mark.promise("wire.close-4403")
@pytest.mark.parametrize(("user", "tenant"), [("bob", None), ("ann", "other")])
async def test_a_token_of_another_user_ends_the_connection(
    autojump_clock: trio.testing.MockClock, user: str, tenant: str | None
) -> None:
    """A socket of ann without a tenant is renewed with a token of bob, or of a tenant's ann: an error, then 4403."""
    async with greeted(ANN) as rig:
        another = rig.server.tokens.issue(user, "s1", tenant=tenant, ttl_s=600)
        await rig.send({"type": "refresh", "payload": {"session_token": another}})
        with trio.fail_after(60):
            assert (await rig.event())["data"]["code"] == "forbidden"
            assert (await rig.closed())[0] == 4403


@pytest.mark.promise("wire.limit-heartbeat")
async def test_only_a_silent_client_times_out(autojump_clock: trio.testing.MockClock) -> None:
    """A client answers eight pings, and each round trip is counted; it answers no further one: closed with 4408."""
    async with greeted(limits=ConnectionLimits(heartbeat=Heartbeat(25.0, 60.0))) as rig:
        started = trio.current_time()
        for _ in range(8):
            frame = await rig.client.frame()
            assert frame.opcode is Opcode.PING
            await rig.client.flush()
        alive_s = trio.current_time() - started
        assert alive_s > 180
        while (await rig.client.frame()).opcode is Opcode.PING:
            pass  # and no pong
        assert rig.client.protocol.close_rcvd is not None
        assert rig.client.protocol.close_rcvd.code == 4408
        assert trio.current_time() - started - alive_s == pytest.approx(60, abs=2)
        assert rig.server.counts.rtts == pytest.approx([0.0] * 8, abs=0.1)


@pytest.mark.promise("wire.bad-flood", "owasp.backpressure")
async def test_a_flood_of_frames_does_not_hold_up_others() -> None:
    """A client that sends thousands of frames at once is served in turn with another one."""
    async with open_rig() as busy, open_rig() as calm:
        await busy.event()
        await calm.event()
        await busy.send(*({"type": "ping"} for _ in range(2000)))
        await calm.send({"type": "ping"})
        started = time.thread_time()
        assert await calm.events(1) == ["pong"]
        assert time.thread_time() - started < 1.0


def resume(threads: dict[str, int]) -> dict[str, Any]:
    return {"type": "resume", "payload": {"threads": threads}}


async def test_a_connection_comes_back_once_however_many_threads_it_resumes() -> None:
    """The first `resume` of a connection decides: one without a position is a new client's that opens a thread."""
    async with greeted() as rig:
        await rig.send(resume({"t": 3}), resume({"u": 4, "v": 0}))
        await wait_all_tasks_blocked()
        assert len(rig.server.commands) == 2
        assert rig.server.counts.returned == 1
    async with greeted() as rig:
        await rig.send(resume({"t": 0}), resume({"u": 4}))
        await wait_all_tasks_blocked()
        assert len(rig.server.commands) == 2
        assert rig.server.counts.returned == 0
