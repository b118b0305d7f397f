"""How long alerts take beyond their own `for`, on the incidents of the tests: see `tests.deploy.incidents`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from benchmarks.figure import Figure, all_cores
from tests.deploy.incidents.play import play_all

MOST_S = 15.0
"""What an alert may take from its cause, beyond its `for`."""


def figures() -> Iterator[Figure]:
    """Yield the longest time of all alerts, and the longest until one cleared after its incident."""
    with TemporaryDirectory(prefix="understudy-bench-") as folder, all_cores():
        played = trio.run(play_all, Path(folder))
    yield Figure("incident_seconds", "s", max(each.fired_s for each in played), aim=MOST_S)
    yield Figure("incident_cleared_s", "s", max(each.cleared_s for each in played))
