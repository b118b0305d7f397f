"""`python -m tests.rigs.echo_server` as a process of its own."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

READY_S = 60.0


@contextmanager
def echoing(log: Path, *options: str) -> Iterator[int]:
    """Run the echo server on a free port, which is yielded. Its output is written to `log`.

    At the end it gets SIGTERM, and must exit with code 0.
    """
    command = [sys.executable, "-m", "tests.rigs.echo_server", "--port", "0", *options]
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT) as process:
        try:
            yield _port(log, process)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0, log.read_text()
        finally:
            process.kill()


def _port(log: Path, process: "subprocess.Popen[bytes]") -> int:
    started = time.monotonic()
    while time.monotonic() - started < READY_S and process.poll() is None:
        if match := re.search(r"ready on wss?://\S+:(\d+)\n", log.read_text()):
            return int(match[1])
        time.sleep(0.02)
    raise AssertionError(f"no echo: {log.read_text()}")
