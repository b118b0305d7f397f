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
    counts = {name: figures[f"effects_{name}"] for name in ("twice", "lost", "asked", "unended")}
    assert counts == {"twice": 0, "lost": 0, "asked": 0, "unended": 0}
