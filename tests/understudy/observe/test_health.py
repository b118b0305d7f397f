"""Health of a whole from its parts, and the states of circuit breakers."""

import logging

import pytest

from actors.behaviours import CircuitChange, CircuitState
from understudy.observe.health import Breakers, HealthCheck, HealthStatus, combine
from understudy.observe.metrics import Metrics


@pytest.mark.parametrize(
    ("checks", "status"),
    [
        ({}, "ok"),
        ({"a": HealthCheck()}, "ok"),
        ({"a": HealthCheck(), "b": HealthCheck(HealthStatus.DEGRADED)}, "degraded"),
        ({"a": HealthCheck(HealthStatus.DEGRADED), "b": HealthCheck(HealthStatus.FAILED)}, "failed"),
        ({"a": HealthCheck(HealthStatus.FAILED, essential=False)}, "degraded"),
    ],
)
def test_the_worst_part_decides(checks: dict[str, HealthCheck], status: str) -> None:
    assert combine(checks)["status"] == status


def test_checks_are_shown_by_name() -> None:
    failed = HealthCheck(HealthStatus.FAILED, "restarting", since_s=1.23456)
    assert combine({"store": failed, "models": HealthCheck()})["checks"] == {
        "store": {"status": "failed", "note": "restarting", "since_s": 1.235},
        "models": {"status": "ok"},
    }


def test_a_change_is_logged_counted_and_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    metrics, now = Metrics(), [100.0]
    breakers = Breakers(metrics.actors, lambda: now[0])
    for name in ("database", "model openai:x"):
        breakers.add(name)
    assert combine(breakers.checks())["status"] == "ok"
    breakers.record_change(CircuitChange("database", CircuitState.CLOSED, CircuitState.OPEN, 1.0, 0.5))
    now[0] = 103.0
    health = combine(breakers.checks())
    assert (health["status"], health["checks"]["database"]["since_s"]) == ("degraded", 3.0)
    assert health["checks"]["model openai:x"] == {"status": "ok"}
    assert b'understudy_breaker_state{breaker="database"} 2.0' in metrics.render()
    breakers.record_change(CircuitChange("database", CircuitState.OPEN, CircuitState.HALF_OPEN, 1.0, 0.0))
    assert combine(breakers.checks())["status"] == "degraded"
    assert b'understudy_breaker_state{breaker="database"} 1.0' in metrics.render()
    breakers.record_change(CircuitChange("database", CircuitState.HALF_OPEN, CircuitState.CLOSED, 1.0, 0.0))
    assert combine(breakers.checks())["status"] == "ok"
    assert b'understudy_breaker_state{breaker="database"} 0.0' in metrics.render()
    assert [record.getMessage() for record in caplog.records] == ["breaker.opened", "breaker.closed"]
