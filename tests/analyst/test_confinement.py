"""Processes that read tables reach nothing but the table, and what does not confine them is logged."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from analyst import confinement
from analyst.confinement import PROBE, ConfinementReport, probe, warn_if_open
from analyst.queries import Answer
from analyst.table_worker import ANSWERED, GIVEN
from analyst.tables import TABLE, ask_table
from understudy import ToolContext
from understudy.sandbox import MIB, Program, spawner

SECRET = "a-secret-of-thirty-two-characters"


async def test_a_process_reaches_neither_the_database_nor_the_secret_nor_a_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


async def test_without_confinement_the_same_attempts_succeed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
from analyst import probe
sys.stdin.buffer.readline()
os.execv = lambda *_: None  # it would be the end of the report
probe.main()
"""


async def test_files_that_are_handed_in_can_be_used(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("handed", [True, False])
async def test_a_table_is_read_only_if_it_is_handed_in(tmp_path: Path, handed: bool) -> None:
    table, folder = tmp_path / "table", tmp_path / "folder"
    table.write_text("a,b\n1,2\n")
    folder.mkdir()
    (folder / GIVEN).symlink_to(table)
    request = {"name": "a.csv", "folder": str(folder), "operation": "query", "arguments": ("FROM data", 10)}
    read = [str(table)] if handed else []
    ended = await spawner.run(TABLE, json.dumps(request).encode(), read=read, write=[str(folder)])
    assert (ended.returncode == ANSWERED) == handed


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
def test_missing_confinement_is_named(report: ConfinementReport, words: list[str]) -> None:
    assert [word for word in ("Landlock", "seccomp") if word in report.missing] == words


@pytest.mark.parametrize("report", [ConfinementReport(), ConfinementReport(True, files=True, calls=True)])
async def test_the_first_table_alone_warns_of_missing_confinement(
    report: ConfinementReport,
    attach: Callable[..., ToolContext],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def found() -> ConfinementReport:
        return report

    monkeypatch.setattr(confinement, "probe", found)
    monkeypatch.setattr(confinement, "probed", [])
    file = await attach("a.csv", "a,b\n1,2\n").files.get("f")
    for _ in range(2):
        await ask_table(file, "ada", "query", ("FROM data", 10), Answer)
    expected = [("table.not_confined", report.missing)] if report.missing else []
    assert [(record.message, record.__dict__["missing"]) for record in caplog.records] == expected


async def test_after_a_cancelled_probe_the_next_call_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confinement, "probed", [])
    with trio.CancelScope() as scope:
        scope.cancel()
        await warn_if_open()
    assert confinement.probed == []
    await warn_if_open()
    assert confinement.probed == [True]


def test_a_process_with_threads_is_not_confined_by_halves() -> None:
    """Confinement raises, because Landlock would not cover the other threads."""
    code = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start();"
    code += "from analyst.confine import confine; confine([], [])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert b"before it has threads" in ended.stderr
