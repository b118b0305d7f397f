"""A Prometheus of the tests' own, which scrapes servers of the tests every second."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import yaml

from tests.servers.listening import START_S, ListeningProgram
from tests.servers.needed import free_port, program


class Prometheus:
    """Scrapes some addresses, and evaluates the rules of these files, once a second. `token` is that of an operator."""

    def __init__(self, folder: Path, addresses: Iterable[str], rules: Iterable[Path], token: str = "") -> None:
        self._binary = program("prometheus")
        self._folder = folder
        self._port = free_port()
        self._address = f"127.0.0.1:{self._port}"
        self._program: ListeningProgram | None = None
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rule) for rule in rules],
            "scrape_configs": [
                {
                    "job_name": "understudy",
                    "file_sd_configs": [{"files": [str(folder / "targets.json")], "refresh_interval": "1s"}],
                    **({"authorization": {"credentials": token}} if token else {}),
                }
            ],
        }
        folder.mkdir(parents=True, exist_ok=True)
        self.scrape(addresses)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))

    def __enter__(self) -> Self:
        """Start it and wait until it answers."""
        files = (f"--config.file={self._folder / 'prometheus.yml'}", f"--storage.tsdb.path={self._folder / 'data'}")
        command = [self._binary, *files, f"--web.listen-address={self._address}"]
        self._program = ListeningProgram(command, self._port, self._folder / "log")
        deadline = time.monotonic() + START_S
        while True:
            try:
                self._get("/-/ready")
            except urllib.error.HTTPError:
                assert time.monotonic() < deadline, "prometheus is not ready"
                time.sleep(0.05)
            else:
                return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Stop it."""
        assert self._program is not None
        self._program.stop()

    def scrape(self, addresses: Iterable[str]) -> None:
        """Scrape these addresses from now on, and no others."""
        targets = [urlsplit(address).netloc for address in addresses]
        new = self._folder / "targets.new"
        new.write_text(json.dumps([{"targets": targets}]))
        new.replace(self._folder / "targets.json")

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that are pending or firing: their labels, state, and since when they are active."""
        alerts: list[dict[str, Any]] = json.loads(self._get("/api/v1/alerts"))["data"]["alerts"]
        return alerts

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series that this expression has now. Raises ValueError with the reason if it is none."""
        try:
            answer = json.loads(self._get(f"/api/v1/query?{urlencode({'query': expression})}"))
        except urllib.error.HTTPError as error:
            raise ValueError(f"{expression}: {error.read().decode()}") from error
        series: list[dict[str, Any]] = answer["data"]["result"]
        return series

    def rules(self) -> list[dict[str, Any]]:
        """Return all rules with their state and health."""
        groups = json.loads(self._get("/api/v1/rules"))["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://{self._address}{path}", timeout=10.0) as answer:
            body: bytes = answer.read()
        return body
