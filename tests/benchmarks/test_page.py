"""The figures of the page, in their small versions."""

import json
import subprocess
import sys
from typing import Any, Final

import pytest

from tests.servers.needed import program

LIMIT_S: Final = 180


def measured(name: str) -> dict[str, Any]:
    """Return the small figures of this name."""
    program("chromium", "chromium")
    command = [sys.executable, "-m", "benchmarks", "page", "--only", name, "--small", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    return {each["figure"]: each["ours"] for each in map(json.loads, done.stdout.splitlines())}


@pytest.mark.slow
def test_the_first_visit_is_measured() -> None:
    figures = measured("paint")
    assert figures["slow4g_paint_ms"] >= 150, "the emulated network was not there"
    assert figures["slow4g_online_ms"] > figures["slow4g_paint_ms"]
    assert figures["bytes_first"] > 1_000
    assert figures["requests_first"] > 1


@pytest.mark.slow
def test_the_way_back_after_a_restart_is_measured() -> None:
    figures = measured("restart")
    assert figures["online_after_restart_worst_ms"] >= figures["online_after_restart_ms"] >= 0


@pytest.mark.slow
def test_opening_a_long_thread_is_measured() -> None:
    figures = measured("history")
    assert figures["open_1000_ms"] > 0
    assert figures["open_10000_ms"] > 0
    assert 0 < figures["heap_10000_mb"] < 100
    assert figures["nodes_10000_read"] > 100
