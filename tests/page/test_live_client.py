"""The JavaScript client in Node, against the real server."""

import subprocess
import sys
from pathlib import Path

from tests.servers.needed import program


def test_client_against_the_real_server() -> None:
    """Messages, cuts, parts, agents, reloads, tabs, refusals, branches, approval and a restart, over real sockets."""
    node = program("node")
    story = Path(__file__).with_name("live.mjs")
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": sys.executable}
    done = subprocess.run(
        [node, "--test", story], capture_output=True, text=True, timeout=150, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
