"""A whole is as well as its worst part."""

import pytest

from understudy.observe.health import HealthCheck, HealthStatus, combine, http_status


@pytest.mark.parametrize(
    ("checks", "status", "answer"),
    [
        ({}, "ok", 200),
        ({"a": HealthCheck()}, "ok", 200),
        ({"a": HealthCheck(), "b": HealthCheck(HealthStatus.DEGRADED)}, "degraded", 200),
        ({"a": HealthCheck(HealthStatus.DEGRADED), "b": HealthCheck(HealthStatus.FAILED)}, "failed", 503),
        ({"a": HealthCheck(HealthStatus.FAILED, essential=False)}, "degraded", 200),
    ],
)
def test_the_worst_part_decides(checks: dict[str, HealthCheck], status: str, answer: int) -> None:
    """A part that is not essential degrades at worst."""
    health = combine(checks)
    assert (health["status"], http_status(health)) == (status, answer)


def test_checks_are_shown_by_name() -> None:
    """With note and age where they have one."""
    health = combine(
        {"store": HealthCheck(HealthStatus.FAILED, "restarting", since_s=1.23456), "models": HealthCheck()}
    )
    assert health["checks"] == {
        "store": {"status": "failed", "note": "restarting", "since_s": 1.235},
        "models": {"status": "ok"},
    }
