"""The figures of operations: small ones, measured at real servers."""

import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from benchmarks import operations
from benchmarks.operations import calm, stop_switch, traced
from benchmarks.wire.server import ServerFailed
from tests.servers.prometheus import Prometheus

pytestmark = pytest.mark.proof("benchmarks")


def test_traces_are_measured_at_two_servers() -> None:
    """The numbers of so small a load mean nothing, but that both servers have worked."""
    turn, cost = operations.figures(operations.QUICK)
    assert [turn.figure, cost.figure, cost.aim] == ["untraced_turn_ms", "traced_cost", 1.15]
    assert turn.ours > 0.5
    assert 0.2 < cost.ours < 5


def test_the_collector_counts_what_it_takes() -> None:
    with traced.collector() as collector:
        for _ in range(2):
            urllib.request.urlopen(f"http://127.0.0.1:{collector.port}/v1/traces", b"12345", timeout=60).close()
    assert collector.size == 10


@pytest.mark.needs("postgresql", "redis")
def test_the_stop_switch_is_measured_over_two_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop_switch, "ROUNDS", 2)
    [figure] = operations.figures(only="stop")
    assert (figure.figure, figure.aim) == ("stop_switch_s", 1.0)
    assert 0 < figure.ours < 30


@pytest.mark.needs("postgresql", "prometheus", "redis")
def test_a_calm_soak_is_measured_at_two_servers() -> None:
    found = {each.figure: each for each in operations.figures(only="calm", minutes=0.1)}
    assert [*found] == ["calm_alerts", "calm_minutes", "calm_pending", "calm_messages", "calm_broken"]
    assert found["calm_alerts"].aim == 0
    assert found["calm_messages"].ours >= 2 * calm.USERS


def until_alerts(prometheus: Prometheus, names: set[str]) -> None:
    """Return once these alerts, and no others, are pending or firing."""
    deadline = time.monotonic() + 60
    while {each["labels"]["alertname"] for each in prometheus.alerts()} != names:
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
        seen = calm.seen(prometheus, 120)
    assert {state: {*names} for state, names in seen.items()} == {"firing": {"Fires", "Fired"}, "pending": {"Waits"}}


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


def test_a_part_that_is_none_is_refused() -> None:
    with pytest.raises(SystemExit, match="there is no part 'moon'; there are traced, stop, incidents, calm"):
        list(operations.figures(only="moon"))
