"""Each alert fires in an incident on real parts, and clears once that is over."""

from pathlib import Path

import pytest

from tests.deploy.incidents.causes import CAUSES
from tests.deploy.incidents.play import NOBODY_SERVES, play_all
from tests.deploy.incidents.site import quick_rules


def test_every_alert_has_an_incident() -> None:
    alerts = [rule["alert"] for rule in quick_rules()["groups"][0]["rules"]]
    assert sorted(alerts) == sorted([*CAUSES, NOBODY_SERVES])


@pytest.mark.proof("operations")
@pytest.mark.needs("postgresql", "prometheus", "redis")
async def test_each_alert_fires_in_its_incident_and_clears(tmp_path: Path) -> None:
    """PostgreSQL crashes, machines sleep, tools leak: with the durations of the rules cut short, side by side."""
    played = await play_all(tmp_path)
    assert sorted(outcome.alert for outcome in played) == sorted([*CAUSES, NOBODY_SERVES])
