"""The first hour of an operator: the page's commands in a shell, as they stand there, from the second step on."""

import os
import re
import sys
from pathlib import Path

import trio

from tests.rigs.doc_tables import DOCS, ROOT
from tests.servers.needed import program

TEXT = (DOCS / "tutorial" / "operator.md").read_text()
START = "set -em; trap 'kill $(jobs -p); wait' EXIT\n"
"""A shell as a person has it, which ends at the first command that fails, and its servers with it."""
WAIT = "until curl -s -o /dev/null $SERVER/healthz; do sleep 0.1; done\n"
"""What the time that a reader takes is for."""
QUESTION = 'echo "What is 15% of 80?" | understudy chat --url $SERVER --token $(cat ada.token)\n'
"""What the reader asks in the page."""


async def free_port() -> int:
    with trio.socket.socket() as socket:
        await socket.bind(("127.0.0.1", 0))
        return int(socket.getsockname()[1])


async def test_the_hour_passes_as_the_page_says(tmp_path: Path) -> None:
    _, *blocks = re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) == 6
    commands = [line[2:] for block in blocks for line in block.splitlines(keepends=True)]
    parts = [line + WAIT if "understudy serve" in line else line for line in commands]
    at = next(index for index, line in enumerate(parts) if line.startswith("understudy admin runs"))
    script = "".join([START, *parts[:at], QUESTION, *parts[at:]])
    port = await free_port()
    (tmp_path / "chat").mkdir()
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{program('curl').parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "UNDERSTUDY_PORT": str(port),
        "SERVER": f"http://127.0.0.1:{port}",
    }
    with trio.fail_after(240):
        done = await trio.run_process(
            ["bash", "-c", script.replace("127.0.0.1:8002", f"127.0.0.1:{port}")],
            cwd=tmp_path / "chat", env=environment, capture_stdout=True, capture_stderr=True, check=False,
        )  # fmt: skip
    output = done.stdout.decode()
    assert done.returncode == 0, done.stderr
    assert '"checks":{"storage":{"status":"ok"}' in output  # the operator's token shows the parts
    assert "15% of 80 = 12\n" in output
    assert output.count("understudy is ready on ") == 3
    assert "chat/data has the database" in output
    assert output.rstrip().splitlines()[-1].startswith("ada")
