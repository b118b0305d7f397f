"""Processes for untrusted text are confined, and bounded in number and memory."""

import ast
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import understudy
from understudy.sandbox import spawner
from understudy.sandbox.spawner import LARGEST, MIB, PROBE, PROCESSES, ConfinementReport, ProcessLimiter, Program, probe

SECRET = "a-secret-of-thirty-two-characters"


async def test_a_process_reaches_neither_the_database_nor_the_secret_nor_a_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The probe tries files of the data folder, the server's environment and memory, sockets, programs and signals."""
    monkeypatch.setenv("UNDERSTUDY_SECRET", SECRET)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    database = tmp_path / "understudy.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE users (name)")
    connection.close()
    own = f"/proc/{os.getpid()}"
    files = [str(database), "/etc/passwd", *(f"{own}/{name}" for name in ("environ", "mem", "maps", "cmdline"))]
    files += ["/proc/self/environ", sys.executable, str(Path.home() / ".bashrc")]
    report = await probe(files, [str(database), str(tmp_path / "new"), "/tmp/understudy-probe"])
    assert report.missing == ""
    assert (report.read, report.made, report.sockets) == ((), (), ())
    assert [report.processes, report.programs, report.signals] == [False] * 3
    assert set(report.environment) <= {"LC_CTYPE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"}


async def test_without_the_sandbox_the_same_attempts_succeed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unconfined probe reports every attempt as successful."""
    monkeypatch.setattr(spawner, "command", lambda: [sys.executable, "-c", UNCONFINED])
    monkeypatch.setattr(spawner, "environment", lambda: dict(os.environ))
    monkeypatch.setenv("UNDERSTUDY_SECRET", SECRET)
    file = tmp_path / "file"
    file.write_text("words")
    report = await probe([str(file)], [str(tmp_path / "new")])
    assert (report.read, report.made) == ((str(file),), (str(tmp_path / "new"),))
    assert "AF_INET" in report.sockets
    assert report.processes
    assert report.signals
    assert "UNDERSTUDY_SECRET" in report.environment
    assert "Landlock" in report.missing
    assert "seccomp" in report.missing


UNCONFINED = """
import os, sys
from understudy.sandbox import probe
sys.stdin.buffer.readline()
os.execv = lambda *_: None  # it would be the end of the report
probe.main()
"""


async def test_files_that_are_handed_in_can_be_used(tmp_path: Path) -> None:
    """One file can be read and one folder written; the file beside them cannot be read."""
    mine, other, folder = tmp_path / "mine", tmp_path / "other", tmp_path / "folder"
    mine.write_text("mine")
    other.write_text("other")
    folder.mkdir()
    attempts = {
        "files": [str(mine), str(other)],
        "made": [str(folder / "a"), str(mine)],
        "program": "/bin/false",
        "process": 1,
    }
    ended = await spawner.run(
        Program(PROBE.module, PROBE.memory, file_bytes=MIB),
        json.dumps(attempts).encode(),
        read=[str(mine), str(tmp_path / "nothing there")],
        write=[str(folder)],
    )
    assert f'"read": ["{mine}"], "made": ["{folder / "a"}"]' in ended.stdout.decode()
    assert mine.read_text() == "mine"


async def test_a_probe_that_cannot_start_counts_as_not_confined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawner, "command", lambda: ["/bin/false"])
    assert await probe() == ConfinementReport()
    assert ConfinementReport().missing


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (ConfinementReport(True, files=True, calls=True), []),
        (ConfinementReport(True, files=False, calls=True), ["Landlock"]),
        (ConfinementReport(True, files=True, calls=True, read=("/etc/passwd",)), ["Landlock"]),
        (ConfinementReport(True, files=True, calls=False), ["seccomp"]),
        (ConfinementReport(), ["Landlock", "seccomp"]),
    ],
)
async def test_missing_confinement_is_logged_once(
    report: ConfinementReport, words: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning comes at the first server of a process, and only if a means is missing."""

    async def found() -> ConfinementReport:
        return report

    monkeypatch.setattr(spawner, "probe", found)
    monkeypatch.setattr(spawner, "warned", [])
    await spawner.warn_if_open()
    await spawner.warn_if_open()
    assert [record.message for record in caplog.records] == ["sandbox.open"] * bool(words)
    missing = "".join(record.__dict__["missing"] for record in caplog.records)
    assert [word for word in ("Landlock", "seccomp") if word in missing] == words


async def test_memory_is_bounded() -> None:
    """A process that exceeds its bound ends by itself."""
    ended = await spawner.run(Program(PROBE.module, 8 * MIB), b"{}")
    assert ended.returncode != 0


def test_a_process_with_threads_is_not_confined_by_halves() -> None:
    """Confinement raises, because Landlock would not cover the other threads."""
    code = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start();"
    code += "from understudy.sandbox.confine import confine; confine([], [])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert b"before it has threads" in ended.stderr


def test_nothing_else_of_the_server_starts_processes() -> None:
    """Only the sandbox calls functions that start processes."""
    starts = {"run_process", "open_process", "Popen", "system", "fork", "posix_spawn", "check_output"}
    found = {
        str(path.relative_to(Path(understudy.__file__).parent))
        for path in Path(understudy.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in starts
        if isinstance(node.func.value, ast.Name) and node.func.value.id in {"trio", "subprocess", "os", "lowlevel"}
    }
    assert found == {"sandbox/spawner.py", "sandbox/probe.py"}


async def test_processes_are_bounded_by_number_and_bytes() -> None:
    """Number and bytes are bounded, calls are served in order, and a cancelled call leaves the queue."""
    places, begun = ProcessLimiter(processes=2, memory=10), list[int]()
    free = [trio.Event() for _ in range(5)]

    async def use(number: int, memory: int) -> None:
        async with places.permit(memory):
            begun.append(number)
            await free[number].wait()

    async with trio.open_nursery() as nursery:
        impatient = trio.CancelScope()

        async def wait_in_vain() -> None:
            with impatient:
                await use(2, 1)

        for number, memory in ((0, 6), (1, 6)):
            nursery.start_soon(use, number, memory)
            await wait_all_tasks_blocked()
        nursery.start_soon(wait_in_vain)
        await wait_all_tasks_blocked()
        nursery.start_soon(use, 3, 1)
        await wait_all_tasks_blocked()
        assert begun == [0]  # two fit by number, but not by bytes, and calls keep their order
        impatient.cancel()
        await wait_all_tasks_blocked()
        free[0].set()
        await wait_all_tasks_blocked()
        assert sorted(begun) == [0, 1, 3]
        nursery.start_soon(use, 4, 1)
        await wait_all_tasks_blocked()
        assert len(begun) == 3
        free[1].set()
        await wait_all_tasks_blocked()
        assert begun[3:] == [4]
        nursery.cancel_scope.cancel()
    with pytest.raises(ValueError, match="more than all processes"):
        async with places.permit(11):
            pass


def test_every_program_fits() -> None:
    """All programs fit on a small machine, and the number of processes is bounded."""
    assert ProcessLimiter().processes == PROCESSES
    assert LARGEST <= ProcessLimiter().memory <= PROCESSES * LARGEST


async def test_a_cancelled_call_has_ended_its_process_when_it_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[trio.Process] = []
    kill = spawner._kill

    async def note(process: trio.Process) -> None:
        killed.append(process)
        await kill(process)

    monkeypatch.setattr(spawner, "_kill", note)
    monkeypatch.setattr(spawner, "command", lambda: [sys.executable, "-c", "import time; time.sleep(60)"])
    with trio.move_on_after(0.1):
        await spawner.run(PROBE, b"{}")
    assert [process.returncode for process in killed] == [-signal.SIGKILL]
