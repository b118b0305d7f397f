"""The database fails and comes back: cached reads, refused messages, waiting messages."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.end_to_end.chat_client import ChatClient, connected
from tests.end_to_end.http import new_token, request
from tests.end_to_end.scripted_model import Call, Gate, Say, scripted
from tests.end_to_end.server_pair import SECRET, eventually, token_of
from tests.servers.postgresql import Postgres


async def test_reading_goes_on_and_messages_are_refused_until_it_is_back(serve: Any, own_postgres: Postgres) -> None:
    """Cached reads are answered and marked; messages are not acknowledged, and repeated later they are one message."""
    running = await serve(database_url=own_postgres.create())
    token, stranger = await new_token(running), await new_token(running)
    pages = ("/api/threads", "/api/threads/t", "/api/threads/t/messages", "/api/threads/t/events")

    async def read(path: str, token: str = token) -> tuple[int, dict[str, str], Any]:
        return await request(running.address, "GET", path, token=token)

    async with connected(running.address, token) as client:
        await client.say("What is 2 + 2?", thread_id="t", message_id="m1")
        await client.until_end()
        fresh = {path: (await read(path))[2] for path in pages}
        await trio.to_thread.run_sync(own_postgres.stop)
        for path in pages:
            status, headers, body = await read(path)
            assert (status, body) == (200, fresh[path] | {"stale": True}), path
            assert headers["warning"].startswith("110 ")
            assert int(headers["age"]) < 60
            assert (await read(path, stranger))[0] == 503, "nobody else's"
        assert (await read("/api/threads/t/messages?limit=7"))[0] == 503
        await client.say("And 3 + 3?", thread_id="t", message_id="m2")
        error = await client.until("error")
        assert (error["data"]["code"], error["data"]["retryable"]) == ("storage_unavailable", True)
        assert error["data"]["retry_after"] > 0
        _, _, health = await read("/healthz")
        assert health["checks"]["database"]["status"] == "degraded"
        await trio.to_thread.run_sync(own_postgres.start)
        with trio.fail_after(60):
            while (await read("/readyz"))[0] != 200:  # noqa: ASYNC110
                await trio.sleep(0.05)
        await client.say("And 3 + 3?", thread_id="t", message_id="m2")
        await client.until_end()
        status, headers, body = await read("/api/threads/t/messages")
        assert (status, "stale" in body, "warning" in headers) == (200, False, False)
        assert [each["id"] for each in body["messages"] if each["role"] == "user"] == ["m1", "m2"]
        seqs = [each["seq"] for each in (await read("/api/threads/t/events"))[2]["events"]]
        assert seqs == list(range(1, len(seqs) + 1))
        assert (await read("/healthz"))[2]["checks"]["database"]["status"] == "ok"


async def test_a_message_may_wait_for_a_database_that_is_locked(
    serve: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is acknowledged when it is stored, not before, and once; of those that wait one too many is refused."""
    running = await serve(storage_wait_s=30.0, storage_waiting=1)
    running.store.deadline_s = 0.2  # messages that do not wait are refused soon
    token = await new_token(running)
    lock = sqlite3.connect(tmp_path / "data" / "understudy.db", isolation_level=None, check_same_thread=False)
    async with connected(running.address, token) as client:
        await client.say("Hello", thread_id="t")
        await client.until_end()
        lock.execute("BEGIN IMMEDIATE")
        seen = len(client.seen)
        await client.say("What is 2 + 2?", thread_id="t")
        await eventually(lambda: "storage.commit_failed" in [each.message for each in caplog.records])  # it waits
        async with connected(running.address, await new_token(running)) as other:
            await other.say("Hello")
            assert (await other.until("error"))["data"]["code"] == "storage_unavailable"
        with trio.move_on_after(0.3):
            while True:
                assert (await client.read())["type"] not in {"message_accepted", "error"}
        lock.execute("ROLLBACK")
        await client.until_end()
        accepted = [each for each in client.seen[seen:] if each["type"] == "message_accepted"]
        # The acceptance is repeated: the first attempt was stored once the lock was released.
        assert len({(each["seq"], each["run_id"], each["message_id"]) for each in accepted}) == 1
        assert sum(each["type"] == "final_response" for each in client.seen[seen:]) == 1
    _, _, history = await request(running.address, "GET", "/api/threads/t/messages", token=token)
    assert [each["role"] for each in history["messages"]] == ["user", "assistant"] * 2
    lock.close()


async def sign_of_waiting(client: ChatClient) -> dict[str, Any]:
    """Return the next progress event of a message that waits for the database."""
    while True:
        event = await client.read()
        if event["type"] == "agent_progress" and event["data"]["note"] == "Waiting for the database":
            return event


@pytest.mark.promise("wire.database-away")
@pytest.mark.parametrize("gone", ["locked", "stopped"])
async def test_a_lost_database_is_reported_while_it_is_waited_for(
    serve: Any, gone: str, own_postgres: Postgres, tmp_path: Path
) -> None:
    """To a client whose message is not stored yet, and to one whose run cannot go on."""
    gate = Gate(open_after=1)
    url = own_postgres.create() if gone == "stopped" else ""
    running = await serve(scripted(Call([("echo", {"text": "a"})]), Say("one two", gate)), database_url=url)
    token = await new_token(running)
    async with connected(running.address, token) as client:
        await client.say("go", agent_type="script", thread_id="t", message_id="m1")
        await gate.reached.wait()
        if gone == "stopped":
            await trio.to_thread.run_sync(own_postgres.stop)
        else:
            lock = sqlite3.connect(tmp_path / "data" / "understudy.db", isolation_level=None, check_same_thread=False)
            lock.execute("BEGIN IMMEDIATE")
        await client.say("go", agent_type="script", thread_id="t2", message_id="m2")
        said = await sign_of_waiting(client)
        assert (said["thread_id"], said["message_id"], said["agent_type"]) == ("t2", "m2", "script")
        assert "run_id" not in said
        gate.opened.set()
        worked = await sign_of_waiting(client)
        assert (worked["thread_id"], worked["message_id"]) == ("t", "m1")
        if gone == "stopped":
            await trio.to_thread.run_sync(own_postgres.start)
        else:
            lock.execute("ROLLBACK")
            lock.close()
        final = await client.until("final_response")
        assert final["thread_id"] in {"t", "t2"}


@pytest.mark.promise("wire.database-away")
async def test_no_sign_is_given_where_the_database_answers(serve: Any) -> None:
    running = await serve(scripted(Call([("echo", {"text": "a"})]), Say("one two")))
    async with connected(running.address) as client:
        await client.say("go", agent_type="script")
        await client.until_end()
    assert "agent_progress" not in {event["type"] for event in client.seen}


async def test_a_removed_database_file_is_reported_at_once(serve: Any, tmp_path: Path) -> None:
    """A file removed a moment after a good check: not ready, and `/healthz` names the database; without a token it says
    only that it failed.
    """
    running = await serve(secret=SECRET)
    file = tmp_path / "data" / "understudy.db"
    token = token_of("p", roles=["metrics"])

    async def look() -> tuple[int, Any, Any]:
        ready, _, _ = await request(running.address, "GET", "/readyz")
        _, _, told = await request(running.address, "GET", "/healthz")
        _, _, whole = await request(running.address, "GET", "/healthz", token=token)
        return ready, told["status"], whole["checks"]["database"]

    assert await look() == (200, "ok", {"status": "ok"})
    file.rename(tmp_path / "elsewhere.db")
    gone = {"status": "failed", "note": "the database file was removed or replaced"}
    assert await look() == (503, "failed", gone)
    file.write_bytes((tmp_path / "elsewhere.db").read_bytes())
    assert await look() == (503, "failed", gone), "another file of that name is not the one that is written to"
    (tmp_path / "elsewhere.db").replace(file)
    assert (await look())[2] == {"status": "ok"}
