"""What `understudy serve` costs before anybody talks to it: defaults, SQLite, the offline model, no client.

cold_start_s        seconds from the start of the process to its ready line
cold_start_cpu_s    processor time of that, which other work on the machine changes little
idle_mb             proportional memory (PSS) of the server and all processes that it has started, once it is idle
kernel_...          the same of a server whose extensions are all off

Each is the median of some starts in one folder, with and without extensions in turns. A start before them, which is not
counted, makes the database and the bytecode of all modules. The peer is a process that imports the libraries which the
kernel needs, and does nothing: what no code of ours could save.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from benchmarks.figure import RUNS, Figure

COLD_START_S, KERNEL_START_S = 0.8, 0.9
IDLE_MB, KERNEL_MB = 90.0, 75.0
"""What the figures should be at most."""
ALL, NONE = "", "none"
"""The setting `extensions` of a server."""
LIBRARIES = """
import attrs, cattrs, click, h11, hypercorn, msgspec, prometheus_client, quart_trio, sqlalchemy, structlog, trio
import wsproto
print("ready", flush=True)
input()
"""
READY = "understudy is ready on "
IDLE_S = 5.0
"""Seconds after the ready line until the memory is read: what is prepared in the background is then done."""
STOP_S = 60.0
QUICK = 1
"""Starts of a run that tests the benchmark itself."""


def figures(runs: int = RUNS) -> Iterator[Figure]:
    """Yield the figures; Linux only."""
    with tempfile.TemporaryDirectory() as folder:
        rounds = [
            [_serve(Path(folder), ALL), _serve(Path(folder), NONE), _start(Path(folder), ["-c", LIBRARIES], "ready")]
            for _ in range(runs + 1)
        ]
    (ready_s, cpu_s, mb), kernel, libraries = (
        [median(values) for values in zip(*starts, strict=True)] for starts in zip(*rounds[1:], strict=True)
    )
    yield Figure("cold_start_s", "s", ready_s, aim=COLD_START_S)
    yield Figure("cold_start_cpu_s", "s", cpu_s)
    yield Figure("idle_mb", "MB", mb, aim=IDLE_MB)
    peers = [{"the libraries": value} for value in libraries]
    yield Figure("kernel_start_s", "s", kernel[0], peers[0], aim=KERNEL_START_S)
    yield Figure("kernel_start_cpu_s", "s", kernel[1], peers[1])
    yield Figure("kernel_mb", "MB", kernel[2], peers[2], aim=KERNEL_MB)


def _serve(folder: Path, extensions: str) -> tuple[float, float, float]:
    arguments = ["-m", "understudy", "serve", "--port", "0", "--data-dir", str(folder / "data")]
    return _start(folder, arguments, READY, UNDERSTUDY_EXTENSIONS=extensions)


def _start(folder: Path, arguments: Sequence[str], ready: str, **environment: str) -> tuple[float, float, float]:
    """Start Python, and end it. Return the seconds and the processor seconds until it was ready, and its MB."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "bytecode"), **environment}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, env=environment, cwd=folder,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            ready_s, cpu_s = time.monotonic() - began, processor_s(process.pid)
            if not line.startswith(ready):
                raise RuntimeError(f"it did not start: {line!r}")
            time.sleep(IDLE_S)
            return ready_s, cpu_s, sum(memory_mb(pid, "Pss") for pid in family(process.pid))
        finally:
            process.terminate()
            process.wait(STOP_S)


def family(pid: int) -> list[int]:
    """Return the process and those that it and its children have started."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += family(int(child))
    return found


def processor_s(pid: int) -> float:
    """Return the processor time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system = fields[11:13]  # proc(5): utime and stime, after the name that may have spaces
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int, *kinds: str) -> float:
    """Return the memory of a process of these kinds (proc(5), `smaps`) in megabytes.

    `Pss` is all of it, and of what it shares with others its part.
    """
    lines = [line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
    return sum(int(fields[1]) for fields in lines if fields[0].removesuffix(":") in kinds) * 1024 / 1e6
