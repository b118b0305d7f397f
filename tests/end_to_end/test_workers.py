"""`serve --workers 2`: several processes behind one port are one server."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import trio

from tests.end_to_end.chat_client import TERMINAL, ChatClient, check_arc, connected
from tests.end_to_end.http import request
from tests.end_to_end.process import Process, started
from tests.end_to_end.server_pair import SECRET, resume, token_of
from tests.servers.postgresql import Postgres

SLOW: Final = "12"
"""Words a second, so that an answer takes a few seconds."""
LONG: Final = "Summarise at length: " + " ".join(f"Sentence {n} tells of the thing numbered {n}." for n in range(60))


def operator() -> str:
    """Return a token that is valid from now: one of the module's import may end before its tests begin."""
    return token_of("op", "s-op", ["operator", "metrics"])


async def workers(address: str) -> list[dict[str, Any]]:
    """Return what any worker says of all."""
    _, _, health = await request(address, "GET", "/healthz", token=operator())
    found: list[dict[str, Any]] = health["workers"]
    return found


async def pids(address: str) -> list[int]:
    return [each["pid"] for each in await workers(address) if each["state"] == "ready"]


def served_by(client: ChatClient, candidates: list[int]) -> int:
    """Return which of these processes has the other end of a socket (proc(5))."""
    stream = client.socket._stream.socket
    local, remote = (f"{port:04X}" for port in (stream.getsockname()[1], stream.getpeername()[1]))
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{remote}") and fields[2].endswith(f":{local}"):
            for pid in candidates:
                if any(f"socket:[{fields[9]}]" == link for link in _links(pid)):
                    return pid
    raise AssertionError("nobody serves that socket")


def _links(pid: int) -> list[str]:
    found = []
    for each in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(os.readlink(each))
        except FileNotFoundError:
            continue
    return found


@asynccontextmanager
async def on_worker(address: str, pid: int, candidates: list[int], token: str) -> AsyncIterator[ChatClient]:
    """A client of this worker: the kernel chooses, so it connects until that is the one."""
    for _ in range(60):
        async with connected(address, token) as client:
            if served_by(client, candidates) == pid:
                yield client
                return
    raise AssertionError("the kernel gives this worker no connection")


async def ends(client: ChatClient, count: int, thread_id: str = "t") -> None:
    """Read until so many runs of a thread have ended."""
    while sum(each["type"] in TERMINAL for each in client.durable() if each["thread_id"] == thread_id) < count:
        await client.read()


def check_log(client: ChatClient) -> None:
    """Check that a client has each event of its threads once and in order, and that every run is an arc.

    A client whose node lost another one is also sent the threads that began shortly before, which it may lack.
    """
    numbers = defaultdict[str, list[int]](list)
    for event in client.durable():
        numbers[event["thread_id"]].append(event["seq"])
    for each in numbers.values():
        assert each == list(range(1, len(each) + 1))
    for run in {event["run_id"] for event in client.durable()}:
        check_arc(client.durable(run))


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def until_pids(address: str, wanted: Any) -> list[int]:
    """Return the processes that are ready, once they are as wanted.

    The kernel resets a connection that a worker has not accepted when it stops; a client connects again.
    """
    with trio.fail_after(120):
        while True:
            with suppress(trio.BrokenResourceError):
                if wanted(found := await pids(address)):
                    return found
            await trio.sleep(0.1)


@asynccontextmanager
async def two_workers(tmp_path: Path, **environment: str) -> AsyncIterator[Process]:
    secret = {"UNDERSTUDY_SECRET": SECRET, "UNDERSTUDY_WORDS_PER_S": SLOW}
    folder, log = tmp_path / "data", tmp_path / "log"
    async with started(folder, "--workers", "2", log=log, loads=True, **secret, **environment) as process:
        yield process


@pytest.mark.proof("operations")
async def test_two_workers_are_one_server(tmp_path: Path) -> None:
    """Two tabs on two workers see the same; limits, health and metrics are those of both; SIGHUP replaces each worker
    while users chat; SIGTERM ends all of it."""
    limits = {"UNDERSTUDY_LIMITS_CONNECTIONS_PER_USER": "2", "UNDERSTUDY_LIMITS_RUNS_PER_USER": "1"}
    async with two_workers(tmp_path, **limits) as process:
        address, token = process.address, token_of()
        one, other = await pids(address)
        async with (
            on_worker(address, one, [one, other], token) as first,
            on_worker(address, other, [one, other], token) as second,
        ):
            await first.say("What is 17 * 23? Use your calculator.", thread_id="t", message_id="m1")
            await first.until("message_accepted")
            await resume(second)
            await ends(first, 1)
            await second.say("And 2 * 21? Use your calculator.", thread_id="t", message_id="m2")
            await ends(first, 2)
            await ends(second, 2)
            assert first.durable() == second.durable()
            check_log(first)

            # a limit of one run at a time, in two threads that are on two workers
            await first.say(LONG, thread_id="long", message_id="m3")
            await first.until("agent_started")
            await second.say("hello", thread_id="short", message_id="m4")
            while "Waiting for a free place" not in (await second.until("agent_progress"))["data"]["note"]:
                pass
            await first.send({"type": "cancel", "payload": {"thread_id": "long"}})
            for thread_id in ("long", "short"):
                await ends(second, 1, thread_id)

            # a limit of two connections, whichever worker gets the third
            async with connected(address, token, welcome=False) as third:
                assert await third.until_closed() == 4429
                assert "connections_per_user" in third.seen[-1]["message"]

        _, _, text = await request(address, "GET", "/metrics", token=operator())
        figures = [line for line in text.splitlines() if line.startswith("understudy_actors{")]
        assert {line.split('worker="')[1][0] for line in figures} == {"1", "2"}
        assert [each["restarts"] for each in await workers(address)] == [0, 0]
        status, _, ready = await request(address, "GET", "/readyz")
        assert (status, ready["status"]) == (200, "ready")

        async with connected(address, token) as client:
            await client.say(LONG, thread_id="t", message_id="m5")
            await client.until("agent_started")
            process.process.send_signal(signal.SIGHUP)
            assert await client.until_closed() == 1001
            assert "drain" in [event["type"] for event in client.seen]
        now = await until_pids(address, lambda found: len(found) == 2 and not {*found} & {one, other})
        async with connected(address, token) as again:
            await resume(again)
            await ends(again, 3)
            check_log(again)
            await again.say("And 3 * 21? Use your calculator.", thread_id="t", message_id="m6")
            await ends(again, 4)
            check_log(again)
        assert await process.terminate() == 0
        assert not [pid for pid in (*now, one, other) if alive(pid)]
        log = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
        assert {each.get("worker") for each in log if each["event"] == "node.joined"} == {1, 2}


@pytest.mark.parametrize(
    "database",
    ["sqlite", pytest.param("postgresql", marks=[pytest.mark.needs("postgresql"), pytest.mark.proof("chaos")])],
)
async def test_a_run_goes_on_in_another_worker_when_its_own_is_killed(
    tmp_path: Path, request: pytest.FixtureRequest, database: str
) -> None:
    """A tab on the other worker follows it to its one end without losing an event, and another worker is started."""
    more = {}
    if database == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        more = {"UNDERSTUDY_DATABASE_URL": postgres.create(request.getfixturevalue("template"))}
    async with two_workers(tmp_path, **more) as process:
        address, token = process.address, token_of()
        one, other = await pids(address)
        async with on_worker(address, other, [one, other], token) as tab:
            async with on_worker(address, one, [one, other], token) as author:
                await author.say(LONG, thread_id="t", message_id="m1")
                await author.until("message_accepted")
                await resume(tab)
                await tab.until("partial_result")
                os.kill(one, signal.SIGKILL)
            await ends(tab, 1)
            check_log(tab)
            assert tab.durable()[-1]["type"] == "final_response"
            found = await until_pids(address, lambda found: len(found) == 2 and one not in found)
            assert other in found
            await tab.say("And 2 * 21? Use your calculator.", thread_id="t", message_id="m2")
            await ends(tab, 2)
            check_log(tab)
        assert sum(each["restarts"] for each in await workers(address)) == 1


async def test_no_worker_outlives_its_parent(tmp_path: Path) -> None:
    """They stop in order when it is killed."""
    async with two_workers(tmp_path) as process:
        found = await pids(process.address)
        await process.kill()
        with trio.fail_after(60):
            while any(map(alive, found)):  # noqa: ASYNC110
                await trio.sleep(0.05)
        with pytest.raises(OSError, match="failed"):
            await trio.open_tcp_stream("127.0.0.1", urlsplit(process.address).port or 0)


def test_a_port_in_use_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        command = [sys.executable, "-m", "understudy", "serve", "--workers", "2", "--port", port]
        found = subprocess.run(
            [*command, "--data-dir", str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, "UNDERSTUDY_LOG_FORMAT": "console"},
        )
    assert found.returncode == 1
    assert found.stderr == f"understudy cannot serve: 127.0.0.1, port {port}: Address already in use\n"
