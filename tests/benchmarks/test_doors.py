"""The figures of the doors, in their small versions."""

import json
import subprocess
import sys
from typing import Any, Final

import pytest

from benchmarks.doors.overhead import DOORS
from benchmarks.doors.rejoin import CLIENTS

pytestmark = pytest.mark.proof("benchmarks")

LIMIT_S: Final = 300


def measured(name: str) -> list[dict[str, Any]]:
    """Return the small figures of this name."""
    command = [sys.executable, "-m", "benchmarks", "doors", "--only", name, "--small", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_one_turn_is_measured_at_each_door_beside_the_socket() -> None:
    figures = measured("overhead")
    assert [each["figure"] for each in figures] == [f"door_overhead_ms_{name}" for name in DOORS]
    assert all(each["ours"] > 1 and each["peers"]["socket"] > 1 for each in figures)


@pytest.mark.needs("npm")
def test_each_stock_client_comes_back_to_its_answer() -> None:
    """Each is cut in the middle of an answer, once as it leaves, and once as the server is killed."""
    figures = measured("rejoin")
    assert [each["figure"] for each in figures] == [f"stock_rejoin_{name}" for name in CLIENTS]
    assert [(each["ours"], each["unit"]) for each in figures] == [(2, "of 2")] * len(CLIENTS)


def test_calls_of_mcp_tools_are_measured_beside_the_sdk() -> None:
    figures = measured("mcp_call")
    assert [each["figure"] for each in figures] == ["mcp_call_ms_stdio", "mcp_call_ms_http"]
    assert all(each["ours"] > 0 and each["peers"]["sdk"] > 0 for each in figures)


def test_unattended_calls_are_not_refused_for_an_hour() -> None:
    found = {each["figure"].removeprefix("mcp_unattended_"): each["ours"] for each in measured("mcp_unattended")}
    assert found["calls"] > 50
    assert found["refreshes"] > 20
    assert (found["asked"], found["refused"]) == (0, 0)
