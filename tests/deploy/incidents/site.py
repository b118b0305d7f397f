"""Where incidents happen: nodes in processes of their own, their stores, and a Prometheus with the alerts.

The durations of the rules are cut short (`QUICKER`), so that all incidents take minutes. Everything else is as it is in
`deploy/prometheus`.
"""

import os
import re
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import h11
import psycopg
import trio
import yaml
from attrs import define, field

from tests.rigs.chat_client import ChatClient, connected
from tests.rigs.doc_tables import ROOT
from tests.rigs.http import request
from tests.rigs.server_pair import SECRET, token_of
from tests.servers.forked import Forked
from tests.servers.needed import free_port
from tests.servers.postgresql import Postgres
from tests.servers.prometheus import Prometheus
from tests.servers.redis import Redis

ALERTS: Final = ROOT / "deploy" / "prometheus" / "alerts.yml"
QUICKER: Final = {"s": 1 / 15, "m": 1.0, "h": 20.0}
"""Seconds that a second, minute or hour of a rule lasts here."""
LEAST_S: Final = 2.0
"""Least duration of a rule: two samples."""
READY_S: Final = 60.0
MANY: Final = "1000000"
SETTINGS: Final[Mapping[str, str]] = {
    "UNDERSTUDY_SECRET": SECRET,
    "UNDERSTUDY_OBSERVER_KILL": "true",
    "UNDERSTUDY_EXTENSIONS": "-titles",
    "UNDERSTUDY_LIMITS_CONNECTIONS_PER_PEER": MANY,
    "UNDERSTUDY_LIMITS_MESSAGES_PER_MINUTE": MANY,
    "UNDERSTUDY_LIMITS_OPERATIONS_PER_MINUTE": MANY,
    "UNDERSTUDY_LIMITS_REQUESTS_PER_MINUTE": MANY,
}
_DURATION: Final = re.compile(r"(?<=\[)\d+[smh](?=[\]:])|(?<=:)\d+[smh](?=\])|(?<=offset )\d+[smh]|^\d+[smh]$")


def quick_duration(text: str) -> str:
    return f"{max(LEAST_S, int(text[:-1]) * QUICKER[text[-1]]):.0f}s"


def quick_rules() -> dict[str, Any]:
    rules: dict[str, Any] = yaml.safe_load(ALERTS.read_text())
    for rule in rules["groups"][0]["rules"]:
        rule["expr"] = _DURATION.sub(lambda match: quick_duration(match[0]), rule["expr"])
        if "for" in rule:
            rule["for"] = quick_duration(rule["for"])
    return rules


@define
class Node:
    """A server, which can be killed and started again at the same address."""

    folder: Path
    environment: Mapping[str, str]
    port: int = field(factory=free_port)
    _process: Forked | None = field(default=None, init=False)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def where(self) -> str:
        """What Prometheus calls it."""
        return f"127.0.0.1:{self.port}"

    @property
    def over(self) -> Path:
        """The file by which its agents know that the incident is over."""
        return self.folder / "over"

    async def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.kill()
        data = self.folder / "data"
        own = {"UNDERSTUDY_PORT": str(self.port), "UNDERSTUDY_DATA_DIR": str(data), "INCIDENT_OVER": str(self.over)}
        environment = os.environ | SETTINGS | own | self.environment
        with (self.folder / "log").open("ab") as log:
            self._process = Forked([], environment, log, data_dir=data, program="tests.deploy.incidents.node")
        with trio.fail_after(READY_S):
            while not await self.is_ready():
                assert self.runs, (self.folder / "log").read_text()[-2000:]
                await trio.sleep(0.1)

    async def is_ready(self) -> bool:
        try:
            return (await request(self.address, "GET", "/readyz"))[0] == 200
        except (OSError, trio.BrokenResourceError, AssertionError, h11.RemoteProtocolError):
            return False

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once; harmless if it has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()

    def client(self, user: str = "ada") -> Any:
        return connected(self.address, token_of(user))

    async def ask(self, agent: str, user: str = "ada", **payload: Any) -> ChatClient:
        """Say something to an agent, and wait for the end. Return the client, which is closed."""
        async with self.client(user) as client:
            await client.say("Go on.", agent_type=agent, **payload)
            await client.until_end()
            return client

    async def post(self, path: str, body: bytes, roles: tuple[str, ...] = ("operator",)) -> int:
        token = token_of("op", roles=roles)
        return (await request(self.address, "POST", path, token=token, body=body))[0]


@define
class Site:
    """Starts nodes and stores in a folder, and has Prometheus scrape the nodes."""

    folder: Path
    prometheus: Prometheus
    nodes: list[Node] = field(factory=list)
    _numbers: int = 0

    @asynccontextmanager
    async def node(self, **environment: str) -> AsyncIterator[Node]:
        self._numbers += 1
        node = Node(self.folder / f"node{self._numbers}", environment)
        try:
            await node.start()
            self.nodes.append(node)
            self._scrape()
            with trio.fail_after(READY_S):
                up = f'up{{instance="{node.where}"}} == 1'
                while not await trio.to_thread.run_sync(self.prometheus.query, up):  # noqa: ASYNC110 - another process
                    await trio.sleep(0.1)
            yield node
        finally:
            if node in self.nodes:
                self.nodes.remove(node)
                self._scrape()
            node.kill()

    @asynccontextmanager
    async def postgresql(self) -> AsyncIterator[Postgres]:
        with tempfile.TemporaryDirectory(prefix="understudy-postgres-") as folder:  # where the user it runs as may go
            server = await trio.to_thread.run_sync(Postgres, Path(folder))
            await trio.to_thread.run_sync(server.start)
            try:
                yield server
            finally:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(server.stop_if_running)

    @asynccontextmanager
    async def redis(self) -> AsyncIterator[Redis]:
        self._numbers += 1
        server = Redis(self.folder / f"redis{self._numbers}")
        await trio.to_thread.run_sync(server.start)
        try:
            yield server
        finally:
            server.kill()

    def firing(self, alert: str, node: Node) -> bool:
        """Return whether an alert fires for a node, or for all together."""
        return any(
            each["state"] == "firing"
            and each["labels"]["alertname"] == alert
            and each["labels"].get("instance", node.where) == node.where
            for each in self.prometheus.alerts()
        )

    def _scrape(self) -> None:
        self.prometheus.scrape(node.address for node in self.nodes)


@asynccontextmanager
async def holding(address: str, table: str) -> AsyncIterator[None]:
    """Lock a table of a database, so that nobody reads or writes it meanwhile."""
    connection = await trio.to_thread.run_sync(partial(psycopg.connect, address))
    try:
        await trio.to_thread.run_sync(connection.execute, f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(connection.close)
