"""A program that listens on a port of the loopback address."""

import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

START_S = 30.0


class ListeningProgram:
    """A started program that listens on `port`, and writes what is wrong into `log`.

    Raises RuntimeError with the end of the log if it ends, or does not listen within `START_S`.
    """

    def __init__(self, command: list[Any], port: int, log: Path, **how: Any) -> None:
        self.port = port
        with log.open("ab") as written:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=written, stderr=written, cwd=log.parent, **how
            )
        deadline = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    self.stop()
                    raise RuntimeError(log.read_text(errors="replace")[-500:]) from None
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGINT)  # PgBouncer waits for its clients at SIGTERM
        try:
            self.process.wait(START_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
