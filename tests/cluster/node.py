"""One server of several: a process that is killed, stopped or paused, and restarted on the same port."""

import json
import signal
import time
from collections import Counter
from functools import partial
from pathlib import Path

import h11
import trio
from attrs import define, field

from tests.network.server_harness import shortened
from tests.rigs.http import request
from tests.rigs.process import Process, started
from tests.servers.needed import free_port

STOP_S = 20.0
"""Longest time from SIGTERM to the end of a server, whose own grace is 4 s, on a machine that is busy."""
AGENTS = "tests.network.planned_agent:AGENTS"
LOST = (OSError, trio.BrokenResourceError, trio.TooSlowError, ValueError, h11.RemoteProtocolError)
"""Errors of a request to a server that is stopping."""
AWAY = "StorageUnavailable"
"""Expected crash reasons: an actor that needs the database to start is restarted with backoff."""
CUT_SHORT = "more characters)"
"""End of a truncated traceback in the log; one that leads into the store counts as expected."""
_AGAIN_S = 0.3


@define(eq=False)
class Node:
    """Server `number`, with its folder and logs in `where`.

    `ready`: it has answered since its last start. `held`: it was paused by SIGSTOP. `start_s` has the duration of each
    start,
    `faults` the errors that no server should have.
    """

    number: int
    where: Path
    settings: dict[str, str]
    port: int = field(factory=lambda: free_port())
    process: Process | None = None
    ready: bool = False
    held: bool = False
    start_s: list[float] = field(factory=list)
    counts: Counter[str] = field(factory=Counter)
    faults: list[str] = field(factory=list)
    _told: bool = False
    _ended: trio.Event = field(factory=trio.Event)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def run(self) -> None:
        """Keep the server running, until cancelled."""
        while True:
            self.counts["server starts"] += 1
            log = self.where / f"server-{self.number}-{self.counts['server starts']}.log"
            options = partial(started, self.where / f"data-{self.number}", AGENTS, port=self.port, log=log)
            began, self._told, self._ended = time.monotonic(), False, trio.Event()
            try:
                async with options(**self.settings) as self.process:
                    self.ready = True
                    self.start_s.append(time.monotonic() - began)
                    code = await self.process.process.wait()
                    if not self._told:
                        self.faults.append(f"{log.name}: the server ended by itself with {code}")
            except* (AssertionError, trio.TooSlowError):  # no start without the database
                self.counts["starts that failed"] += 1
                await trio.sleep(_AGAIN_S)
            finally:
                self.process, self.ready, self.held = None, False, False
                self._ended.set()

    async def kill(self) -> None:
        assert self.process is not None
        self._told, ended = True, self._ended
        self.process.process.kill()
        await ended.wait()

    async def stop(self) -> None:
        assert self.process is not None
        self._told, ended, process = True, self._ended, self.process.process
        process.send_signal(signal.SIGTERM)
        with trio.move_on_after(STOP_S) as late:
            await ended.wait()
        if late.cancelled_caught:
            self.faults.append(f"server {self.number} did not stop within {STOP_S:g} s")
            process.kill()
            await ended.wait()
        elif process.returncode != 0:
            self.faults.append(f"server {self.number} was told to stop and ended with {process.returncode}")

    async def hold(self, for_s: float) -> None:
        """Pause the process (SIGSTOP), as a sleeping machine would be, and continue it after this time."""
        assert self.process is not None
        process, ended, self.held = self.process.process, self._ended, True
        process.send_signal(signal.SIGSTOP)
        try:
            with trio.move_on_after(for_s):
                await ended.wait()
        finally:
            self.held = False
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)

    async def answers(self, within_s: float = 1.0) -> bool:
        with trio.move_on_after(within_s):
            try:
                status, _, _ = await request(self.address, "GET", "/readyz")
            except LOST:
                return False
            return bool(status == 200)
        return False


def read_logs(where: Path, counts: Counter[str]) -> list[str]:
    """Count the log lines of all servers. Return the lines that are not expected in any log."""
    faults: list[str] = []
    for log in sorted(where.glob("server-*.log")):
        for line in log.read_text(errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {"event": line, "level": "critical" if "Traceback" in line else "info"}
            level = entry.get("level")
            if level in ("warning", "error", "critical"):
                counts[f"logged {level}: {entry.get('event')}"[:80]] += 1
            away = AWAY in line or (CUT_SHORT in line and "storage/store.py" in line)
            broke = "Traceback" in line and not away
            refused = entry.get("event") == "server.not_started"  # its database is away: counted, and started again
            if (level == "critical" and not refused) or broke:
                faults.append(f"{log.name}: {shortened(line)}")
    return faults
