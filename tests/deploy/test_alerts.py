"""Alerts fire and clear on made-up series; a real Prometheus finds what they and the dashboards ask for in a server."""

import json
import re
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.rigs.chat_client import connected
from tests.rigs.doc_tables import ROOT
from tests.rigs.http import request
from tests.rigs.process import started
from tests.rigs.server_pair import eventually
from tests.servers.needed import program
from tests.servers.prometheus import Prometheus

FOLDER = ROOT / "deploy" / "prometheus"
RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
NO_SERIES_YET = {
    "understudy_actor_restarts_total",
    "understudy_actors_lingering_total",
    "understudy_events_dropped_total",
    "understudy_redis_up",
    "understudy_scrub_failures_total",
}
"""Metrics that a server alone has only once something fails."""
QUIET = {("ok", "inactive")}
SCRAPED_S = 30.0


def test_each_alert_fires_and_clears() -> None:
    """Rules whose series are written by hand; `promtool` plays them through time."""
    promtool = program("prometheus", "promtool")
    done = subprocess.run(
        [promtool, "test", "rules", FOLDER / "alerts_test.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_alert_is_left_out() -> None:
    tests = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == {rule["alert"] for rule in RULES}


@pytest.mark.needs("prometheus")
async def test_prometheus_finds_what_rules_and_dashboards_ask_for(tmp_path: Path) -> None:
    """A server at work, scraped every second: all rules are evaluated and quiet, all panels have data."""
    async with started(tmp_path / "data") as server:
        _, _, session = await request(server.address, "POST", "/api/sessions")
        async with connected(server.address, session["session_token"]) as client:
            await client.say("What is 15% of 80?")
            await client.until_end()
        with Prometheus(tmp_path / "prometheus", [server.address], [FOLDER / "alerts.yml"]) as prometheus:
            await eventually(lambda: prometheus.query('up{job="understudy"} == 1'), SCRAPED_S)
            named = {name for rule in RULES for name in re.findall(r"\b(?:understudy|process)_\w+", rule["expr"])}
            assert {name for name in named if not prometheus.query(name)} == NO_SERIES_YET
            await eventually(
                lambda: {(name["health"], name["state"]) for name in prometheus.rules()} == QUIET, SCRAPED_S
            )
            for expression in expressions():
                await eventually(partial(prometheus.query, expression), SCRAPED_S)


def expressions() -> Iterator[str]:
    """Yield the expression of each panel of each dashboard, as Grafana would ask for all nodes."""
    for path in sorted((ROOT / "deploy" / "grafana" / "dashboards").iterdir()):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield target["expr"].replace("$instance", ".+").replace("$__rate_interval", "10s")
