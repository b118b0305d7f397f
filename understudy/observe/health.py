"""Health as data: named checks, combined into the answers of `/healthz` and `/readyz`. Pure."""

import enum
from collections.abc import Mapping
from typing import Any

from attrs import frozen


class HealthStatus(enum.StrEnum):
    """From healthy to failed. A whole has the worst status of its parts."""

    OK = "ok"
    DEGRADED = "degraded"
    FAILED = "failed"


_ORDER = (HealthStatus.OK, HealthStatus.DEGRADED, HealthStatus.FAILED)


@frozen
class HealthCheck:
    """The health of one part. `note` is a sentence for an operator, `since_s` how long it has had this status.

    A part that is not `essential` makes the whole degraded at worst.
    """

    status: HealthStatus = HealthStatus.OK
    note: str = ""
    since_s: float | None = None
    essential: bool = True


def combine(checks: Mapping[str, HealthCheck]) -> dict[str, Any]:
    """Return `{"status": …, "checks": {name: {"status", "note"?, "since_s"?}}}`; without checks the status is ok."""
    worst = max((_weight(check) for check in checks.values()), default=0)
    return {"status": _ORDER[worst].value, "checks": {name: _as_json(check) for name, check in checks.items()}}


def http_status(health: Mapping[str, Any]) -> int:
    """Return the status code of `/readyz`: 503 if the health is failed, otherwise 200. A degraded server still
    serves."""
    return 503 if health["status"] == HealthStatus.FAILED else 200


def _weight(check: HealthCheck) -> int:
    weight = _ORDER.index(check.status)
    return weight if check.essential else min(weight, _ORDER.index(HealthStatus.DEGRADED))


def _as_json(check: HealthCheck) -> dict[str, Any]:
    shown: dict[str, Any] = {"status": check.status.value}
    if check.note:
        shown["note"] = check.note
    if check.since_s is not None:
        shown["since_s"] = round(check.since_s, 3)
    return shown
