"""An operator reads the audit log from a shell, and what operators do there is in it, with and without a server."""

import json
import os
import pwd
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import trio

from tests.rigs.command import refusal, said, understudy
from tests.rigs.process import started
from tests.rigs.stored_threads import address
from understudy.storage.sqlite import FILE_NAME

__all__ = ["address"]

ME = pwd.getpwuid(os.getuid()).pw_name


def lines(*arguments: str) -> list[dict[str, Any]]:
    result = understudy("audit", *arguments)
    assert result.exit_code == 0, result.output
    return [entry for line in result.stdout.splitlines() if (entry := json.loads(line))["action"] != "audit.read"]


def test_what_is_done_at_the_command_line_is_in_the_log(address: list[str], tmp_path: Path) -> None:
    """Entries have the operating system's user, newest first; filters select, and reading has an entry."""
    said("users", "export", "ann", "--tenant", "acme", *address)
    said("threads", "export", "--owner", "ann", "--thread", "t1", *address)
    said("users", "sign-out", "ann", *address)
    said("users", "delete", "--tenant", "globex", "--yes", *address)
    entries = lines(*address)
    assert [(entry["action"], entry["target"], entry["tenant"]) for entry in entries] == [
        ("user.erased", "ann", "globex"),
        ("sessions.ended", "ann", None),
        ("user.exported", "ann", None),
        ("user.exported", "ann", "acme"),
    ]
    assert {(entry["user"], entry["way"], entry["role"]) for entry in entries} == {(ME, "command line", None)}
    assert [entry["detail"]["thread"] for entry in entries[2:]] == [True, False]
    assert lines("--tenant", "acme", *address) == entries[3:]
    assert lines("--user", "ann", "--action", "sessions.ended", *address) == entries[1:2]
    assert lines("--until", "2001-01-01", *address) == lines("--since", "2999-01-01T00:00:00+0100", *address) == []
    newest = json.loads(said("audit", "--action", "audit.read", *address).splitlines()[0])
    assert (newest["user"], newest["way"]) == (ME, "command line")
    assert "user.erased" in refusal("audit", "--action", "user.forgotten", *address, code=2)


async def test_what_is_done_beside_a_server_is_in_its_log(tmp_path: Path) -> None:
    async with started(tmp_path):
        options = ["--data-dir", str(tmp_path)]
        result = await trio.to_thread.run_sync(understudy, "users", "sign-out", "ann", *options)
        assert result.exit_code == 0, result.output
        assert [entry["action"] for entry in await trio.to_thread.run_sync(lines, *options)] == ["sessions.ended"]


def test_nothing_is_exported_that_cannot_be_audited(tmp_path: Path, migrated: Path) -> None:
    shutil.copytree(migrated, tmp_path / "data")
    with closing(sqlite3.connect(tmp_path / "data" / FILE_NAME)) as connection:
        connection.execute("INSERT INTO users (id, created_at) VALUES ('ann', 1)")
        connection.execute("CREATE TRIGGER refuse BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no'); END")
        connection.commit()
    options, output = ["--data-dir", str(tmp_path / "data")], tmp_path / "out.json"
    for command in (
        ["users", "export", "ann", "--output", str(output)], ["users", "delete", "ann", "--yes"],
        ["users", "sign-out", "ann"], ["audit"],
    ):  # fmt: skip
        assert "storage is not available: " in refusal(*command, *options)
    assert not output.exists()
    with closing(sqlite3.connect(tmp_path / "data" / FILE_NAME)) as connection:
        assert connection.execute("SELECT count(*) FROM ended_sessions").fetchone() == (0,)
    assert said("users", "list", *options).startswith("ann\t")
