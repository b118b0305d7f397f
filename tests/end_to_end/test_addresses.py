"""Passwords in the addresses of PostgreSQL and Redis appear in no output of the server, also on errors."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
import trio

from tests.rigs.chat_client import connected
from tests.rigs.http import request
from tests.rigs.process import started
from tests.rigs.server_pair import SECRET, token_of
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis

PASSWORD = "hunter2 is/not:a@password"
"""Has characters that are percent-encoded in an address: neither form may appear."""
TRACES = (PASSWORD, quote(PASSWORD, safe=""), "hunter2")


def clean(*texts: str) -> bool:
    """Return whether no text contains the password."""
    return not [trace for trace in TRACES for text in texts if trace in text]


@pytest.fixture
def locked(postgres: Postgres) -> str:
    """Return the address of a database whose user must authenticate."""
    address = postgres.create()
    name = postgres.add_user(PASSWORD)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"GRANT ALL ON SCHEMA public TO {name}")
    return address.replace("//understudy@", f"//{name}:{quote(PASSWORD, safe='')}@")


@pytest.fixture
def locked_redis(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path / "redis", password="hunter2-of-redis")
    server.start()
    yield server
    server.kill()


# The commands run in this process, as most of a start is its imports.
COMMANDS = """
import json, os, sys
from understudy.cli.main import main
for number, (words, address) in enumerate(json.load(sys.stdin)):
    os.environ["UNDERSTUDY_DATABASE_URL"] = address
    try:
        main(words, standalone_mode=True)
    except SystemExit as end:
        print(f"\\nended {number} with {end.code}", flush=True)
"""


def test_a_failed_start_tells_no_password(locked: str, tmp_path: Path) -> None:
    wrong = quote("hunter2 but another", safe="")
    port = locked.rpartition(":")[2].partition("/")[0]
    serve = ["serve", "--port", "0"]
    cases = {
        locked.replace(quote(PASSWORD, safe=""), wrong): (serve, "password authentication failed"),
        f"postgresql://me:{wrong}@no-such-host.invalid/chat": (["migrate"], "no-such-host.invalid/chat"),
        f"postgresql://me:{wrong}@127.0.0.1:1/chat": (serve, "127.0.0.1/chat"),
        f"postgresql://me:{wrong}@127.0.0.1:{port}/nowhere": (["doctor"], "the database at 127.0.0.1/nowhere"),
        f"postgresql://me:{wrong}@[/chat": (serve, "cannot use the database at"),
        f"mysql://me:{wrong}@127.0.0.1/chat": (serve, "'mysql'"),
    }
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS],
        cwd=tmp_path,
        input=json.dumps([(words, address) for address, (words, _) in cases.items()]),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        env=os.environ | {"UNDERSTUDY_LOG_LEVEL": "debug", "COLUMNS": "1000", "PYTHONUNBUFFERED": "1"},
        check=True,
    )
    outputs = done.stdout.split("\nended ")
    for number, (words, text) in enumerate(cases.values()):
        assert outputs[number + 1].splitlines()[0] in (f"{number} with 1", f"{number} with 2"), (words, done.stdout)
        assert text in outputs[number], (words, done.stdout)
    assert clean(done.stdout)


async def test_a_server_whose_database_and_redis_fail_tells_no_password(
    locked: str, postgres: Postgres, locked_redis: Redis, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    name = locked.rpartition("/")[2]
    settings = {
        "UNDERSTUDY_DATABASE_URL": locked,
        "UNDERSTUDY_NODES_REDIS_URL": locked_redis.url,
        "UNDERSTUDY_LOG_LEVEL": "debug",
        "UNDERSTUDY_SECRET": SECRET,
    }
    async with started(tmp_path / "data", log=log, loads=True, **settings) as server:
        heard = []
        async with connected(server.address, token=token_of()) as client:
            await trio.to_thread.run_sync(_throw_out, postgres, name)
            await trio.to_thread.run_sync(locked_redis.change_password, "another")
            await client.say("What is 2 + 2?")
            with trio.fail_after(60):
                while "redis.away" not in (text := log.read_text()) or "storage.commit_failed" not in text:  # noqa: ASYNC110
                    await trio.sleep(0.05)
                heard.append(json.dumps(await client.read()))
        for path in ("/healthz", "/readyz", "/metrics"):
            heard.append(str(await request(server.address, "GET", path, token=token_of(roles=["metrics"]))))
        command = await trio.Path(f"/proc/{server.process.pid}/cmdline").read_text()
        await server.terminate()
    assert clean(log.read_text(), command, *heard)


def _throw_out(postgres: Postgres, name: str) -> None:
    """Close the server's connections and refuse new ones."""
    with psycopg.connect(postgres.address("postgres"), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
