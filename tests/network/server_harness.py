"""The server of a soak: a process that is killed or drained, and restarted on the same port and folder."""

import json
import re
import time
from collections import Counter
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import trio
from attrs import define, field

from tests.rigs.http import request
from tests.rigs.process import Process, started
from tests.servers.needed import free_port
from transport.auth.tokens import Tokens

SECRET = "a secret for a day of a bad network"
HEARTBEAT_S = 2.0
SETTINGS = {
    "UNDERSTUDY_SECRET": SECRET,
    "UNDERSTUDY_LOG_FORMAT": "json",
    "UNDERSTUDY_LIMITS_HEARTBEAT_S": str(HEARTBEAT_S),
    "UNDERSTUDY_LIMITS_CONNECTIONS_PER_USER": "60",
    "UNDERSTUDY_LIMITS_MESSAGES_PER_MINUTE": "6000",
    "UNDERSTUDY_LIMITS_OPERATIONS_PER_MINUTE": "60000",
    "UNDERSTUDY_LIMITS_SIGNALS_PER_MINUTE": "60000",
    "UNDERSTUDY_LIMITS_REQUESTS_PER_MINUTE": "600000",
}
WATCHED = ("understudy_actor_restarts_total", "understudy_runs_ended_twice_total", "understudy_dead_letters_total")
CLOSED = "understudy_connections_closed_total"
COUNTED = ("understudy_reconnects_total", "understudy_events_sent_total", "understudy_events_dropped_total")
_STOP_S = 15.0


def _collector() -> str:
    """Return a token of the metrics role."""
    return Tokens(SECRET, time.time).issue("prometheus", "s", roles=["metrics"], ttl_s=60)


@define(eq=False)
class ServerHarness:
    """Runs one server at a time in the folder `where`. `rss_mb` has the memory of each life, soon after its start and
    at most; `faults` are errors of the server itself.
    """

    where: Path
    seed: int
    every_s: float
    port: int = field(factory=lambda: free_port())
    counts: Counter[str] = field(factory=Counter)
    metrics: Counter[str] = field(factory=Counter)
    rss_mb: list[tuple[float, float]] = field(factory=list)
    faults: list[str] = field(factory=list)
    settings: dict[str, Any] = field(factory=lambda: dict(SETTINGS))
    stays: bool = False

    @property
    def address(self) -> str:
        """The server's own address, without the faulty network."""
        return f"http://127.0.0.1:{self.port}"

    def stay(self) -> None:
        """Keep the current server; if none is running, start a last one."""
        self.stays = True

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start servers one after the other, until cancelled."""
        chance = Random(f"{self.seed}/house")
        while True:
            self.counts["server starts"] += 1
            log = self.where / f"server-{self.counts['server starts']}.log"
            options = partial(
                started, self.where / "data", "tests.network.planned_agent:AGENTS", port=self.port, log=log
            )
            async with options(**self.settings) as server:
                if self.counts["server starts"] == 1:
                    task_status.started()
                await self._live(server, chance.uniform(0.6, 1.4) * self.every_s)
                await self._end(server, chance)
            await trio.sleep(chance.choice((0.0, 0.3, 2.0)))

    async def _live(self, server: Process, for_s: float) -> None:
        until, pid, peaks = trio.current_time() + for_s, server.process.pid, []
        while self.stays or trio.current_time() < until:
            await trio.sleep(0.5)
            if server.process.returncode is not None:
                self.faults.append(f"the server ended by itself with {server.process.returncode}")
                return
            peaks.append(_rss_mb(pid))
            self.rss_mb[self.counts["server starts"] - 1 :] = [(peaks[min(1, len(peaks) - 1)], max(peaks))]
        await self.scrape()

    async def _end(self, server: Process, chance: Random) -> None:
        if server.process.returncode is not None:
            return
        if chance.random() < 0.6:
            self.counts["killed"] += 1
            return await server.kill()
        self.counts["told to stop"] += 1
        with trio.move_on_after(_STOP_S) as late:
            code = await server.terminate()
        if late.cancelled_caught or code != 0:
            self.faults.append(
                "a server that was told to stop did not" if late.cancelled_caught else f"it ended {code}"
            )

    async def scrape(self) -> None:
        """Add this life's metrics to those of earlier lives. Called right before its end."""
        _, _, text = await request(self.address, "GET", "/metrics", token=_collector())
        for name, labels, value in re.findall(r"^(\w+)(\{[^}]*\})? ([0-9.e+]+)$", text, re.MULTILINE):
            if name in (*WATCHED, *COUNTED, CLOSED):
                self.metrics[name + (labels if name == CLOSED else "")] += int(float(value))
            if name in WATCHED[:2] and float(value) > 0:
                self.faults.append(f"{name}{labels} is {value}")

    def read_logs(self) -> None:
        """Collect unexpected lines from the logs of all lives. The last line of a killed server may be incomplete."""
        for log in sorted(self.where.glob("server-*.log")):
            for line in log.read_text(errors="replace").splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:
                    entry = {"event": line, "level": "error" if "Traceback" in line else "info"}
                what = str(entry.get("event"))
                self.counts[f"logged {entry.get('level')}: {what}"[:80]] += 1
                if entry.get("level") in ("error", "critical") or "Traceback" in line:
                    self.faults.append(f"{log.name}: {shortened(line)}")


def shortened(line: str) -> str:
    """Return the beginning and the end of a line of a log: a traceback says at its end what failed."""
    return line if len(line) <= 1500 else f"{line[:500]} … {line[-1000:]}"


def _rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20
