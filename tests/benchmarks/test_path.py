"""The count of functions, files and steps on the path of one message."""

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_the_path_of_one_message_is_counted() -> None:
    """One run of the program gives three figures, each above a plausible minimum."""
    command = [sys.executable, "-m", "benchmarks", "path", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    figures = {line["figure"]: line["ours"] for line in map(json.loads, done.stdout.splitlines())}
    assert figures.keys() == {"path_functions", "path_files", "path_transactions"}
    assert 100 < figures["path_functions"] < 2000
    assert 20 < figures["path_files"] < 300
    assert 2 <= figures["path_transactions"] <= 7
