"""The command `understudy admin`, in a folder of its own."""

from functools import partial
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result

from tests.rigs.server_pair import SECRET
from understudy.cli.main import main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder, which is the current one, and set the secret of the servers for the command."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("UNDERSTUDY_SECRET", SECRET)
    return folder


async def admin(url: str, *arguments: str) -> Result:
    """Run the command against a server."""
    command = ["admin", "--url", url, *arguments]
    return await trio.to_thread.run_sync(partial(CliRunner().invoke, main, command))


async def lines(url: str, *arguments: str) -> list[str]:
    """Run the command, which has to succeed. Return its lines, each blank single."""
    done = await admin(url, *arguments)
    assert done.exit_code == 0, done.output
    return [" ".join(line.split()) for line in done.stdout.splitlines()]
