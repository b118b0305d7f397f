"""Nodes of two releases at the same time: an upgrade under load, a node that dies in it, and the way back."""

import os
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.rigs.process import Process, command_of, refused, started
from tests.rigs.server_pair import backends_environment, post, read_log, token_of
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis
from understudy.storage import schema

ENDS = ("final_response", "error")


async def answered(node: Process, number: int) -> list[dict[str, Any]]:
    """Send message `number` of a thread by a node, which may be told to send it again. Return the log once the thread
    has as many answers."""
    message: dict[str, Any] = {"thread_id": "t", "message_id": f"m{number}", "agent_type": "guide"}
    with trio.fail_after(60):
        while True:
            status, _ = await post(node.address, token_of(), "user_message", content=f"hello {number}", **message)
            if status != 503:
                break
            await trio.sleep(0.1)
        while True:
            log = await read_log(node.address, "t")
            if sum(event["type"] in ENDS for event in log) == number:
                return log
            await trio.sleep(0.05)


async def migrated(release: int, folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Run `understudy migrate` of a release. Return its exit code and what it says."""
    command = [*command_of(release), "migrate", "--data-dir", str(folder)]
    run = partial(trio.run_process, command, capture_stdout=True, capture_stderr=True, check=False)
    done: subprocess.CompletedProcess[bytes] = await run(env=os.environ | environment)
    return done.returncode, (done.stdout + done.stderr).decode()


@pytest.mark.proof("upgrade")
async def test_an_older_node_that_dies_in_an_upgrade_comes_back(
    tmp_path: Path, postgres: Postgres, own_redis: Redis
) -> None:
    """The next release expands the schema while this one serves; both answer in one thread, and this one starts again
    after it was killed, until the release after that one has taken away what it needs."""
    environment = backends_environment(postgres, own_redis)
    begin = partial(started, tmp_path / "old", **environment)
    async with begin() as old:
        await answered(old, 1)
        assert await migrated(1, tmp_path / "cli", environment) == (
            0,
            f"the database has schema 9001 now; it had {schema.HEAD}\n",
        )
        async with started(tmp_path / "new", release=1, **environment) as new:
            await answered(new, 2)
            await answered(old, 3)
            await old.kill()
            async with begin() as again:
                await answered(again, 4)
                log = await answered(new, 5)
                assert [event["type"] for event in log if event["type"] in ENDS] == ["final_response"] * 5
                assert [event["seq"] for event in log] == list(range(1, len(log) + 1))
                assert await read_log(again.address, "t") == log
                code, says = await migrated(2, tmp_path / "cli", environment)
                assert (code, "used by 1 running servers" in says) == (1, True)
                assert await again.terminate() == 0
            code, says = await migrated(2, tmp_path / "cli", environment)
            assert (code, "schema 9002 now" in says) == (0, True)
            await answered(new, 6)
    done = await trio.to_thread.run_sync(lambda: refused("--data-dir", str(tmp_path / "old"), **environment))
    assert (done.returncode, "can be used by releases that know 9001" in done.stderr) == (1, True)
    async with started(tmp_path / "new", release=1, **environment) as new:
        await answered(new, 7)
