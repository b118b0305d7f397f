"""What one message takes, in counts that do not depend on what else the machine does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from actors import ActorRef
from actors.watchdog import Pause
from benchmarks import path

GROWTH = 1.05
"""What a count may be, times what is kept of it: random ids decide how many of some calls there are."""


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the counts are those of the byte code of Python 3.11")
def test_a_message_takes_no_more_than_is_kept(tmp_path: Path) -> None:
    """A change that needs more says why, and keeps the new counts: `python -m benchmarks path --keep`."""
    command = [sys.executable, "-m", "benchmarks", "path", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    figures = {line["figure"]: line["ours"] for line in map(json.loads, done.stdout.splitlines())}
    kept = json.loads(path.KEPT.read_text())
    assert figures.keys() == kept.keys()
    assert min(figures.values()) > 0, "something is not counted any more"
    grown = {name: (kept[name], now) for name, now in figures.items() if now > kept[name] * GROWTH}
    assert grown == {}, "counts that have grown: what is kept, and what it is"


def test_calls_are_counted_by_file_and_function() -> None:
    code = test_calls_are_counted_by_file_and_function.__code__
    calls = path.Counter({code: 3})
    assert path.called(calls, "benchmarks/test_path.py", code.co_qualname) == 3
    assert path.called(calls, "benchmarks/other.py", code.co_qualname) == 0
    assert not path.is_ours(code)


def test_the_watchdog_is_not_on_the_path_of_a_message() -> None:
    """It looks so many times a second, however many messages there are."""
    assert path.is_ours(ActorRef.tell.__code__)
    assert not path.is_ours(Pause.before_io_wait.__code__)
