"""The database fails and comes back: cached reads, refused messages."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.rigs.chat_client import ChatClient, connected
from tests.rigs.http import get, new_token, request
from tests.rigs.scripted_model import Call, Gate, Say, scripted
from tests.rigs.server_pair import SECRET, token_of
from tests.servers.postgresql import Postgres


async def test_reading_goes_on_and_messages_are_refused_until_it_is_back(serve: Any, own_postgres: Postgres) -> None:
    running = await serve(database_url=own_postgres.create())
    token, stranger = await new_token(running), await new_token(running)
    pages = ("/api/threads", "/api/threads/t", "/api/threads/t/messages", "/api/threads/t/events")

    async def read(path: str, token: str = token) -> tuple[int, dict[str, str], Any]:
        return await request(running.address, "GET", path, token=token)

    async with connected(running.address, token) as client:
        await client.ask("What is 2 + 2?", thread_id="t", message_id="m1")
        fresh = {path: (await read(path))[2] for path in pages}
        await trio.to_thread.run_sync(own_postgres.stop)
        for path in pages:
            status, headers, body = await read(path)
            assert (status, body) == (200, fresh[path] | {"stale": True}), path
            assert headers["warning"].startswith("110 ")
            assert int(headers["age"]) < 60
            assert (await read(path, stranger))[0] == 503, "nobody else's"
        assert (await read("/api/threads/t/messages?limit=7"))[0] == 503
        error = await client.ask("And 3 + 3?", thread_id="t", message_id="m2", until="error")
        assert (error["data"]["code"], error["data"]["retryable"]) == ("storage_unavailable", True)
        assert error["data"]["retry_after"] > 0
        _, _, health = await read("/healthz")
        assert health["checks"]["database"]["status"] == "degraded"
        await trio.to_thread.run_sync(own_postgres.start)
        with trio.fail_after(60):
            while (await read("/readyz"))[0] != 200:  # noqa: ASYNC110
                await trio.sleep(0.05)
        await client.ask("And 3 + 3?", thread_id="t", message_id="m2")
        status, headers, body = await read("/api/threads/t/messages")
        assert (status, "stale" in body, "warning" in headers) == (200, False, False)
        assert [message["id"] for message in body["messages"] if message["role"] == "user"] == ["m1", "m2"]
        seqs = [event["seq"] for event in (await read("/api/threads/t/events"))[2]["events"]]
        assert seqs == list(range(1, len(seqs) + 1))
        assert (await read("/healthz"))[2]["checks"]["database"]["status"] == "ok"


async def sign_of_waiting(client: ChatClient) -> dict[str, Any]:
    """Return the next progress event of a message that waits for the database."""
    while True:
        event = await client.read()
        if event["type"] == "agent_progress" and event["data"]["note"] == "Waiting for the database":
            return event


@pytest.mark.promise("wire.database-away")
@pytest.mark.parametrize("gone", ["locked", "stopped"])
async def test_a_lost_database_is_reported_while_it_is_waited_for(
    serve_guest: Any, gone: str, own_postgres: Postgres, tmp_path: Path
) -> None:
    gate = Gate(open_after=1)
    url = own_postgres.create() if gone == "stopped" else ""
    running, token = await serve_guest(
        scripted(Call([("echo", {"text": "a"})]), Say("one two", gate)), database_url=url
    )
    async with connected(running.address, token) as client:
        await client.say("go", agent_type="script", thread_id="t", message_id="m1")
        await gate.reached.wait()
        if gone == "stopped":
            await trio.to_thread.run_sync(own_postgres.stop)
        else:
            lock = sqlite3.connect(tmp_path / "data" / "understudy.db", isolation_level=None, check_same_thread=False)
            lock.execute("BEGIN IMMEDIATE")
        await client.say("go", agent_type="script", thread_id="t2", message_id="m2")
        sign = await sign_of_waiting(client)
        assert (sign["thread_id"], sign["message_id"], sign["agent_type"]) == ("t2", "m2", "script")
        assert "run_id" not in sign
        gate.opened.set()
        worked = await sign_of_waiting(client)
        assert (worked["thread_id"], worked["message_id"]) == ("t", "m1")
        if gone == "stopped":
            await trio.to_thread.run_sync(own_postgres.start)
        else:
            lock.execute("ROLLBACK")
            lock.close()
        assert (await client.until("final_response"))["thread_id"] in {"t", "t2"}


@pytest.mark.promise("wire.database-away")
async def test_no_sign_is_given_where_the_database_answers(serve_client: Any) -> None:
    async with serve_client(scripted(Call([("echo", {"text": "a"})]), Say("one two"))) as client:
        await client.ask("go", agent_type="script")
    assert "agent_progress" not in {event["type"] for event in client.seen}


async def test_a_removed_database_file_is_reported_at_once(serve: Any, tmp_path: Path) -> None:
    running = await serve(secret=SECRET)
    file = tmp_path / "data" / "understudy.db"
    token = token_of("p", roles=["metrics"])

    async def look() -> tuple[int, Any, Any]:
        ready, _, _ = await request(running.address, "GET", "/readyz")
        health = await get(running, "/healthz")
        return ready, health["status"], (await get(running, "/healthz", token))["checks"]["database"]

    assert await look() == (200, "ok", {"status": "ok"})
    file.rename(tmp_path / "elsewhere.db")
    gone = {"status": "failed", "note": "the database file was removed or replaced"}
    assert await look() == (503, "failed", gone)
    file.write_bytes((tmp_path / "elsewhere.db").read_bytes())
    assert await look() == (503, "failed", gone), "another file of that name is not the one that is written to"
    (tmp_path / "elsewhere.db").replace(file)
    assert (await look())[2] == {"status": "ok"}
