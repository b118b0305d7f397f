"""The figures of the doors, in their small versions."""

import json
import subprocess
import sys
from typing import Any, Final

import pytest

from benchmarks.doors.overhead import DOORS
from benchmarks.doors.rejoin import CLIENTS
from tests.servers.needed import program

LIMIT_S: Final = 300


def measured(name: str) -> list[dict[str, Any]]:
    """Return the small figures of this name."""
    command = [sys.executable, "-m", "benchmarks", "doors", "--only", name, "--small", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_one_turn_is_measured_at_each_door_beside_the_socket() -> None:
    figures = measured("overhead")
    assert [each["figure"] for each in figures] == [f"door_overhead_ms_{name}" for name in DOORS]
    assert all(each["ours"] > 1 and each["peers"]["socket"] > 1 for each in figures)


@pytest.mark.slow
def test_each_stock_client_comes_back_to_its_answer() -> None:
    """Each is cut in the middle of an answer, once as it leaves, and once as the server is killed."""
    program("npm", "npm")
    figures = measured("rejoin")
    assert [each["figure"] for each in figures] == [f"stock_rejoin_{name}" for name in CLIENTS]
    assert [(each["ours"], each["unit"]) for each in figures] == [(2, "of 2")] * len(CLIENTS)
