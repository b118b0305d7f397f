"""A whole is as well as its worst part."""

import pytest

from understudy.observe.health import Check, Status, combine, http_status


@pytest.mark.parametrize(
    ("checks", "status", "answer"),
    [
        ({}, "ok", 200),
        ({"a": Check()}, "ok", 200),
        ({"a": Check(), "b": Check(Status.DEGRADED)}, "degraded", 200),
        ({"a": Check(Status.DEGRADED), "b": Check(Status.FAILED)}, "failed", 503),
        ({"a": Check(Status.FAILED, essential=False)}, "degraded", 200),
    ],
)
def test_the_worst_part_decides(checks: dict[str, Check], status: str, answer: int) -> None:
    """A part that is not essential degrades at worst."""
    health = combine(checks)
    assert (health["status"], http_status(health)) == (status, answer)


def test_checks_are_shown_by_name() -> None:
    """With note and age where they have one."""
    health = combine({"store": Check(Status.FAILED, "restarting", since_s=1.23456), "models": Check()})
    assert health["checks"] == {
        "store": {"status": "failed", "note": "restarting", "since_s": 1.235},
        "models": {"status": "ok"},
    }
