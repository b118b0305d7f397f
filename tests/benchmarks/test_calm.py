"""The soak in which nothing is wrong: a short one, at real servers."""

import time
from pathlib import Path

import pytest
import yaml

from benchmarks import calm
from benchmarks.wire.server import ServerFailed
from tests.servers.prometheus import Prometheus

pytestmark = pytest.mark.proof("benchmarks")


@pytest.mark.needs("postgresql", "prometheus", "redis")
def test_a_calm_soak_is_measured_at_two_servers() -> None:
    figures = {figure.figure: figure for figure in calm.figures(0.1)}
    assert [*figures] == ["calm_alerts", "calm_minutes", "calm_pending", "calm_messages", "calm_broken"]
    assert figures["calm_alerts"].aim == 0
    assert figures["calm_messages"].ours >= 2 * calm.USERS


def until_alerts(prometheus: Prometheus, names: set[str]) -> None:
    """Return once these alerts, and no others, are pending or firing."""
    deadline = time.monotonic() + 60
    while {alert["labels"]["alertname"] for alert in prometheus.alerts()} != names:
        assert time.monotonic() < deadline, prometheus.alerts()
        time.sleep(0.1)


def test_the_calm_soak_sees_alerts_that_fired_and_those_that_were_pending(tmp_path: Path) -> None:
    """Also if nothing of them is left when it asks."""
    rules = [
        {"alert": "Fires", "expr": "vector(1)"},
        {"alert": "Waits", "expr": "vector(1)", "for": "1h"},
        {"alert": "Fired", "expr": "absent(up)"},
        {"alert": "Never", "expr": "vector(1) > 2"},
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "made", "rules": rules}]}))
    with Prometheus(tmp_path / "prometheus", [], [tmp_path / "rules.yml"]) as prometheus:
        calm.wait_until_scraped(prometheus, 0)
        until_alerts(prometheus, {"Fires", "Waits", "Fired"})
        prometheus.scrape(["http://127.0.0.1:1"])
        until_alerts(prometheus, {"Fires", "Waits"})
        alerts = calm.seen(prometheus, 120)
    assert {state: {*names} for state, names in alerts.items()} == {"firing": {"Fires", "Fired"}, "pending": {"Waits"}}


def test_a_calm_soak_whose_rules_fail_is_no_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calm, "SCRAPED_S", 3.0)
    two = "(label_replace(vector(1), 'a', 'x', '', '') or label_replace(vector(1), 'a', 'y', '', ''))"
    rules = [{"alert": "Broken", "expr": f"label_replace({two}, 'a', 'same', '', '')"}]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "made", "rules": rules}]}))
    with (
        Prometheus(tmp_path / "prometheus", [], [tmp_path / "rules.yml"]) as prometheus,
        pytest.raises(ServerFailed, match="Broken"),
    ):
        calm.wait_until_scraped(prometheus, 0)
