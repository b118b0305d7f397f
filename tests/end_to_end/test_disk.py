"""A full disk, and a database locked by another process: refusals and recovery."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.rigs.chat_client import ChatClient, connected
from tests.rigs.http import get, new_token, request, upload
from tests.rigs.process import Process, started
from tests.servers.postgresql import Postgres

TABLE = b"a,b\n" + b"1,2\n" * 10_000
HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


def limit_files(server: Process, size: int) -> None:
    """Limit the size of the process's files, to act as a full disk; -1 removes the limit."""
    _, most = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, most))


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Have another process hold the write lock of a database. It is killed while holding it."""
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield
        holder.kill()


async def refused(client: ChatClient, **payload: Any) -> None:
    error = await client.ask("And 3 + 3?", thread_id="t", until="error", **payload)
    assert (error["data"]["code"], error["data"]["retryable"]) == ("storage_unavailable", True)


async def answered(client: ChatClient, **payload: Any) -> None:
    assert (await client.ask("And 3 + 3?", thread_id="t", **payload))["type"] == "final_response"


async def is_ready(server: Process, wanted: int) -> None:
    with trio.fail_after(60):
        while (await request(server.address, "GET", "/readyz"))[0] != wanted:  # noqa: ASYNC110 - it is another process
            await trio.sleep(0.05)


async def check_log(server: Process, token: str) -> None:
    """Check that each message is stored once and that the log has no gap. Refused messages may have been stored."""
    history = await get(server, "/api/threads/t/messages", token)
    assert [message["id"] for message in history["messages"] if message["role"] == "user"] == ["m1", "m2"]
    body = await get(server, "/api/threads/t/events", token)
    assert [event["seq"] for event in body["events"]] == list(range(1, body["last_seq"] + 1))


@pytest.mark.promise("wire.error-storage-unavailable")
async def test_a_full_disk_takes_nothing_in_and_loses_nothing(tmp_path: Path) -> None:
    async with started(tmp_path / "data") as server:
        token = await new_token(server)
        async with connected(server.address, token) as client:
            await answered(client, message_id="m1")
            limit_files(server, 4096)
            await refused(client, message_id="m2")
            status, body = await upload(server, token, content=TABLE)
            assert (status, body["error"]["code"]) == (503, "storage_unavailable")
            await is_ready(server, 503)
            status, _, history = await request(server.address, "GET", "/api/threads/t/messages", token=token)
            assert (status, len(history["messages"])) == (200, 2)
            limit_files(server, -1)
            await is_ready(server, 200)
            await answered(client, message_id="m2")
            assert (await upload(server, token, content=TABLE))[0] == 201
            await check_log(server, token)
    assert len(list((tmp_path / "data" / "files").iterdir())) == 1


async def test_a_full_disk_of_a_node_costs_uploads_only(tmp_path: Path, postgres: Postgres, template: str) -> None:
    async with started(tmp_path / "data", "--database-url", postgres.create(template)) as server:
        token = await new_token(server)
        async with connected(server.address, token) as client:
            await answered(client)
            limit_files(server, 4096)
            status, body = await upload(server, token, content=TABLE)
            assert (status, body["error"]["code"]) == (503, "storage_unavailable")
            await answered(client)
            assert (await request(server.address, "GET", "/readyz"))[0] == 200
            limit_files(server, -1)
            assert (await upload(server, token, content=TABLE))[0] == 201
    assert len(list((tmp_path / "data" / "copies").iterdir())) == 1


@pytest.mark.proof("timing")
async def test_a_database_that_another_process_holds(tmp_path: Path) -> None:
    path = tmp_path / "data" / "understudy.db"
    async with started(tmp_path / "data") as server:
        token = await new_token(server)
        async with connected(server.address, token) as client:
            await answered(client, message_id="m1")
            with held(path):
                await refused(client, message_id="m2")
                await is_ready(server, 503)
            await is_ready(server, 200)
            await answered(client, message_id="m2")
            await check_log(server, token)
