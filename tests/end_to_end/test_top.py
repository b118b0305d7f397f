"""`understudy top` against a real server: through a pipe, with the server's own secret, and what it refuses."""

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from rich.console import Console

from tests.end_to_end.chat_client import connected
from tests.end_to_end.scripted_model import Gate, Say, scripted
from understudy.app.server import Running
from understudy.app.settings import Settings
from understudy.cli.chat import ServerAddress
from understudy.cli.top import own_token, picture, span

SECRET = "s" * 32


async def shown(running: Running, settings: Settings) -> str:
    """Return the picture as text."""
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(await picture(ServerAddress.parse(running.address), own_token(settings), 40))
    return console.export_text()


async def test_a_run_at_work_is_listed_and_then_among_the_ended(serve: Any, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, secret=SECRET)
    gate = Gate()
    running = await serve(scripted(Say("one two", gate)), secret=SECRET)
    mine = own_token(settings)
    async with connected(running.address, mine) as client:
        await client.say("secret words", agent_type="script", thread_id="t1")
        await gate.reached.wait()
        before = await shown(running, settings)
        gate.opened.set()
        run_id = (await client.until("final_response"))["run_id"]
    after = await shown(running, settings)
    assert "Open runs (1)" in before
    assert f"{run_id[:12]}  top   script  model script" in before
    assert "Connections (1)" in before
    assert "Open runs (0)" in after
    assert f"{run_id[:12]}  top   success" in after
    assert "secret words" not in before + after


async def run(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "understudy", "top", *arguments]
    return await trio.to_thread.run_sync(
        lambda: subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    )


@pytest.mark.proof("operations")
async def test_a_pipe_gets_one_picture_and_mistakes_a_sentence(serve: Any, tmp_path: Path) -> None:
    running: Running = await serve(data_dir=tmp_path / "data")
    done = await run("--url", running.address, "--data-dir", str(tmp_path / "data"), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Open runs (0)" in done.stdout
    assert "\x1b" not in done.stdout
    done = await run("--url", running.address, "--token", "nonsense", cwd=tmp_path)
    assert done.returncode == 1
    assert "valid session token" in done.stderr
    done = await run("--url", "http://127.0.0.1:9", "--token", "x", cwd=tmp_path)
    assert (done.returncode, "there is no server" in done.stderr) == (1, True)
    done = await run("--url", running.address, "--data-dir", str(tmp_path / "none"), cwd=tmp_path)
    assert (done.returncode, "there is no secret in" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.21, "4.2 s"), (185, "3 min 5 s"), (7800, "2 h 10 min"), (442_800, "5 d 3 h")]
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert span(seconds) == text
