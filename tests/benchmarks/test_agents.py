"""The figures of agents under failure, in their small versions."""

import json
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.proof("benchmarks")


def small(name: str) -> dict[str, Any]:
    """Return the figures of one benchmark in its small version."""
    command = [sys.executable, "-m", "benchmarks", "agents", "--only", name, "--small", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    return {line["figure"]: line["ours"] for line in map(json.loads, done.stdout.splitlines())}


def test_no_order_is_paid_twice_or_lost_while_actors_and_a_server_are_killed() -> None:
    figures = small("effects")
    assert figures.pop("effects_kills") >= 20
    assert figures.pop("effects_unknown") <= 5
    found = {name: figures[f"effects_{name}"] for name in ("twice", "lost", "asked", "unended")}
    assert found == {"twice": 0, "lost": 0, "asked": 0, "unended": 0}


def test_no_steer_is_lost_or_enters_twice_while_actors_and_a_server_are_killed() -> None:
    figures = small("steer")
    assert figures.pop("steer_sent") >= 40
    assert figures.pop("steer_kills") >= 1
    assert figures == {"steer_lost": 0, "steer_twice": 0, "steer_unended": 0}


def test_a_long_run_is_stored_small_and_goes_on_after_a_kill() -> None:
    figures = small("long_run")
    assert figures["long_run_rows_mb"] < 0.5  # of texts of 70 KB
    assert figures["long_run_resume_s"] - figures["long_run_ready_s"] < 5


@pytest.mark.needs("postgresql", "redis")
def test_no_due_time_is_lost_or_doubled_while_two_servers_are_killed() -> None:
    figures = small("schedules")
    assert figures.pop("schedule_fired") >= 60
    assert figures.pop("schedule_kills") >= 2
    assert figures == {"schedule_lost": 0, "schedule_twice": 0}
