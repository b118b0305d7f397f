"""Tables are processed in processes that are bounded, killed in time, and leave nothing behind."""

import json
import os
import resource
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from understudy.sandbox import spawner
from understudy.sandbox.limiters import FairLimiter
from understudy.tools import StoredFile, ToolContext, ToolError
from understudy.tools.queries import Answer
from understudy.tools.table_process import TABLE, ask_table, table_limiter
from understudy.tools.table_worker import GIVEN

Attach = Callable[..., ToolContext]

ENDLESS = "SELECT count(*) FROM range(1000000000000)"
MIB = 1024 * 1024


@pytest.fixture
async def file(attach: Attach) -> StoredFile:
    """A table of two rows."""
    return await attach("a.csv", "a,b\n1,2\n3,4\n").files.get("f")


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Collect the processes killed while running; at the end, none is left."""
    pids: list[int] = []
    kill = spawner._kill

    async def note(process: trio.Process) -> None:
        if process.poll() is None:
            pids.append(process.pid)
        await kill(process)

    monkeypatch.setattr(spawner, "_kill", note)
    yield pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def query(file: StoredFile, sql: str, owner: str = "ada", **limits: Any) -> Any:
    """Run a query for at most ten rows."""
    return ask_table(file, owner, "query", (sql, 10), Answer, **limits)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT length(replace(repeat(repeat('a',10000),8),'a',repeat('b',10000))) FROM data LIMIT 1",
        "SELECT length(replace(replace(repeat('a',10000),'a',repeat('b',10000)),'b',repeat('c',10000)))",
        "SELECT string_agg(replace(repeat('a',1000),'a',repeat('b',1000)), '') FROM range(100000)",
    ],
)
async def test_a_query_that_eats_memory_is_refused_and_the_server_does_not_grow(file: StoredFile, sql: str) -> None:
    """The process's limit covers strings within an expression, which DuckDB's own limit does not."""
    before, children = (resource.getrusage(each).ru_maxrss for each in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    started = time.perf_counter()
    with pytest.raises(ToolError, match="more memory than a query may use") as caught:
        await query(file, sql, memory=300 * MIB)
    assert caught.value.code == "query_failed"
    assert time.perf_counter() - started < 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024
    # A child begins as a copy of this process, and counts as that until it is another program.
    copied = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss <= max(children, copied, 450 * 1024)


async def test_a_late_query_is_killed(file: StoredFile, killed: list[int]) -> None:
    """The process is killed, and the error is `tool_timeout`."""
    with trio.fail_after(5), pytest.raises(ToolError, match=r"longer than 0\.5 seconds") as caught:
        await query(file, ENDLESS, limit_s=0.5)
    assert caught.value.code == "tool_timeout"
    assert len(killed) == 1


async def test_a_function_that_nothing_interrupts_is_killed(file: StoredFile, killed: list[int]) -> None:
    """A single long step of DuckDB, which ignores interrupts, is killed."""
    first, second = (f"replace(repeat('a', 200), 'a', repeat('{letter}', 1000))" for letter in "bc")
    started = time.perf_counter()
    with pytest.raises(ToolError, match="longer than"):
        await query(file, f"SELECT levenshtein({first}, {second})", limit_s=0.5)
    assert time.perf_counter() - started < 1.5
    assert len(killed) == 1


async def test_a_process_without_its_server_ends(file: StoredFile, tmp_path: Path) -> None:
    """The system ends a process whose server has died by its limit of processor time."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / GIVEN).symlink_to(file.path)
    request = {"name": file.name, "folder": str(folder), "operation": "query", "arguments": (ENDLESS, 10)}
    with trio.fail_after(10):
        ended = await spawner.run(TABLE, json.dumps(request).encode(), read=[str(file.path)], cpu_s=1)
    assert ended.returncode == -signal.SIGXCPU


async def test_a_cancelled_query_has_ended_when_the_call_returns(
    file: StoredFile, killed: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process has ended, and its temporary folder is removed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = os.listdir(tmp_path)
    started = time.perf_counter()
    with trio.move_on_after(0.5) as scope:
        await query(file, ENDLESS)
    assert scope.cancelled_caught
    assert time.perf_counter() - started < 1.5
    assert len(killed) == 1
    assert os.listdir(tmp_path) == before


async def test_a_call_that_is_cancelled_at_once_returns(file: StoredFile) -> None:
    """The call is cancelled before it has a process."""
    with trio.fail_after(5):
        with trio.CancelScope() as scope:
            scope.cancel()
            await query(file, ENDLESS)
        assert scope.cancelled_caught


async def test_endless_queries_of_one_user_do_not_delay_another(file: StoredFile, killed: list[int]) -> None:
    """With ten endless queries of one user, eight wait, and another user is answered at once."""
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(query, file, ENDLESS)
        await wait_all_tasks_blocked()
        with trio.fail_after(5):
            answer = await query(file, "SELECT count(*) FROM data", "bob")
        assert answer.rows == [[2]]
        assert table_limiter().queued("ada") == 8
        nursery.cancel_scope.cancel()
    assert len(killed) == 2


async def test_a_user_with_too_many_waiting_calls_is_refused(file: StoredFile) -> None:
    """A full queue is reported as `busy`, with a sentence for the user."""
    limiter = table_limiter()
    table_limiter.set(FairLimiter(max_queued=0))
    with pytest.raises(ToolError, match="too many tables and charts") as caught:
        await query(file, "SELECT 1")
    assert caught.value.code == "busy"
    table_limiter.set(limiter)


async def test_waiting_for_a_place_is_not_time_of_the_query(file: StoredFile) -> None:
    """Three queries of one user each time out by themselves: the third's time starts with its permit."""
    ended_at: list[float] = []
    begun = time.perf_counter()

    async def ask() -> None:
        with pytest.raises(ToolError, match="longer than"):
            await query(file, ENDLESS, limit_s=0.4)
        ended_at.append(time.perf_counter() - begun)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask)
    assert ended_at[2] >= 0.8


async def test_an_unexpected_fault_is_logged_and_reported(file: StoredFile, caplog: pytest.LogCaptureFixture) -> None:
    """The user learns that the call failed; the log has the reason."""
    with pytest.raises(ToolError, match="could not be worked on") as caught:
        await ask_table(file, "ada", "nothing", (), Answer)
    assert caught.value.code == "tool_failed"
    (record,) = caplog.records
    assert "KeyError" in record.__dict__["reason"]


async def test_the_process_does_not_have_the_servers_environment(
    file: StoredFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys of model providers in the server's environment are not passed on."""
    seen: list[bytes] = []

    async def look(process: trio.Process) -> None:
        seen.append(await trio.Path(f"/proc/{process.pid}/environ").read_bytes())
        process.kill()

    monkeypatch.setattr(spawner, "_kill", look)
    monkeypatch.setenv("UNDERSTUDY_TEST_KEY", "secret")
    with pytest.raises(ToolError, match="longer than"):
        await query(file, ENDLESS, limit_s=0.4)
    assert b"UNDERSTUDY" not in seen[0]
