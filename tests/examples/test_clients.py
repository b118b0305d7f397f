"""The two clients of docs/how-to/write-a-client.md: complete answers over real sockets, also over failing ones."""

import re
import subprocess
import sys
from pathlib import Path

import playwright
import pytest
import trio

from tests.rigs.cutting_proxy import cutting
from tests.rigs.doc_tables import ROOT
from tests.rigs.documented_server import served, socket_url
from tests.rigs.http import request
from tests.rigs.server_pair import post
from transport.wire.codes import CLOSES
from understudy.app.server import Running
from understudy.storage.limits import Limits

NODE = Path(playwright.__file__).parent / "driver" / "node"  # has WebSocket; the system's may be older
QUESTION = "What is 15% of 80?"
ARC = [
    "1 message_accepted",
    "2 agent_started",
    "3 agent_thinking",
    "4 tool_executing",
    "5 tool_completed",
    "6 agent_completed",
    "7 final_response",
]

python = pytest.param([sys.executable, "examples/client.py", QUESTION, "--url"], id="python")
javascript = pytest.param([str(NODE), "examples/client.mjs", QUESTION], id="javascript")
clients = pytest.mark.parametrize("command", [python, javascript])


async def run(command: list[str], url: str) -> subprocess.CompletedProcess[bytes]:
    """Run a client to its end."""
    with trio.fail_after(60):
        return await trio.run_process([*command, url], cwd=ROOT, capture_stdout=True, capture_stderr=True, check=False)


def arc(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    """Return the numbered events printed by a client."""
    return [" ".join(line.split()[:2]) for line in done.stderr.decode().splitlines() if line[:1].isdigit()]


def port_of(running: Running) -> int:
    """Return the server's port."""
    return int(running.address.rpartition(":")[2])


@clients
async def test_a_question_is_answered(tmp_path: Path, command: list[str]) -> None:
    """The answer is on standard output, and each event came once."""
    async with served(tmp_path) as running:
        done = await run(command, socket_url(running))
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == "15% of 80 = 12\n"
    assert arc(done) == ARC


@clients
@pytest.mark.parametrize("after", [b"agent_thinking", b"final_response"])
async def test_a_cut_connection_is_resumed(tmp_path: Path, command: list[str], after: bytes) -> None:
    async with served(tmp_path) as running, cutting(port_of(running), after) as port:
        done = await run(command, f"ws://127.0.0.1:{port}/ws")
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == "15% of 80 = 12\n"
    assert arc(done) == ARC


@clients
async def test_a_lost_acceptance_is_one_message(tmp_path: Path, command: list[str]) -> None:
    """The message arrives and its acceptance is lost: repeated, it is one run, delivered from its beginning."""
    async with served(tmp_path) as running, cutting(port_of(running), b"message_accepted") as port:
        done = await run(command, f"ws://127.0.0.1:{port}/ws")
        runs = b'understudy_runs_total{outcome="success"} 1.0'
        metrics = await trio.run_process(
            [sys.executable, "-c", f"import urllib.request as u; print(u.urlopen('{running.address}/metrics').read())"],
            capture_stdout=True,
        )
    assert done.returncode == 0, done.stderr
    assert arc(done) == ARC
    assert runs in metrics.stdout


@pytest.mark.proof("timing")
@clients
async def test_what_is_refused_for_the_moment_is_said_again(tmp_path: Path, command: list[str]) -> None:
    async with served(tmp_path, limits=Limits(messages_per_minute=10)) as running:
        _, _, session = await request(running.address, "POST", "/api/sessions")
        for _ in range(10):  # each counts, although the agent is unknown
            await post(running, session["session_token"], "user_message", content="hi", agent_type="nobody")
        done = await run(command, f"{socket_url(running)}?session_token={session['session_token']}")
    assert done.returncode == 0, done.stderr
    assert arc(done) == ARC


@clients
async def test_a_refusal_is_told(tmp_path: Path, command: list[str]) -> None:
    """A client without access prints the refusal and fails."""
    async with served(tmp_path, secret="s" * 32) as running:
        done = await run(command, socket_url(running))
    assert done.returncode == 1
    assert b"closed with 4401" in done.stderr or b"not signed in" in done.stderr


@pytest.mark.parametrize("name", ["client.py", "client.mjs"])
def test_a_client_comes_back_after_the_closes_that_allow_it(name: str) -> None:
    """Its close codes are those of the registry."""
    source = (ROOT / "examples" / name).read_text()
    codes = {int(code) for code in re.findall(r"\d{4}", re.findall(r"COME_BACK = .*", source)[0])}
    assert codes == {code for code, close in CLOSES.items() if close.reconnect} | {1006}
