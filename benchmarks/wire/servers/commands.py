"""Our own commands as everybody runs them, but pinned, and with their port and memory told as those of the others.

`product FOLDER` is `understudy serve` with its data there and settings from `UNDERSTUDY_*`; `echo` is
`python -m tests.rigs.echo_server`.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from benchmarks.wire.servers.control import announce, pin


def relay() -> None:
    """Read what the command prints: the line with its address becomes a port, whatever follows passes."""
    reading, writing = os.pipe()
    own = os.dup(1)
    os.dup2(writing, 1)
    os.close(writing)

    def read() -> None:
        with os.fdopen(reading) as lines:
            for line in lines:
                if " is ready on " in line:
                    os.dup2(own, 1)
                    announce(int(line.rsplit(":", 1)[1]))

    threading.Thread(target=read, daemon=True).start()


def main(kind: str, *arguments: str) -> int:
    """Serve until the process is ended."""
    pin()
    relay()
    if kind == "echo":
        from tests.rigs.echo_server import main as echo

        return echo(["--port", "0"])
    from understudy.app.serve import run_server
    from understudy.app.settings import load

    return run_server(load(port=0, data_dir=Path(arguments[0])))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
