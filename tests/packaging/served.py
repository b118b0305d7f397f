"""A server that a command starts, with no environment variables but those given."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

READY = "understudy is ready on "


@contextmanager
def served(command: list[str], variables: dict[str, str], folder: Path) -> Iterator[str]:
    """Start a server with these variables and no others. Yield its address; it has to stop in order."""
    plain = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=plain | variables, stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(READY), (folder / "log").read_text()
        yield line.removeprefix(READY).strip()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def agents_of(found: Any) -> list[str]:
    return [agent["name"] for agent in found["agents"]]
