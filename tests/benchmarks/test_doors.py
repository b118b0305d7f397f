"""The figures of the doors, in their small versions."""

import json
import subprocess
import sys

import pytest

from benchmarks.doors.overhead import DOORS


@pytest.mark.slow
def test_one_turn_is_measured_at_each_door_beside_the_socket() -> None:
    command = [sys.executable, "-m", "benchmarks", "doors", "--only", "overhead", "--small", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    figures = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["figure"] for each in figures] == [f"door_overhead_ms_{name}" for name in DOORS]
    assert all(each["ours"] > 1 and each["peers"]["socket"] > 1 for each in figures)
