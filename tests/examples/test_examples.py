"""Every other example runs as described."""

import subprocess
import sys

import pytest

from examples.scrub import sanitized
from tests.rigs.doc_tables import ROOT


def test_counters_survive_each_other() -> None:
    """The crashed counter restarts at zero, the other one continues."""
    done = subprocess.run(
        [sys.executable, "examples/counters.py"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "before the crash [3, 3] and after it [0, 3]" in done.stdout
    assert "apples (Counter) running, 0 s, 1 restarts" in done.stdout
    assert "actor.crashed" in done.stderr


def test_scrub_takes_a_secret_out_of_a_pipe() -> None:
    """A token of a known format is redacted."""
    secret = "ghp_" + "9fK2mQx7Lr4TzW8bVc1NpYs5HdJg3RtE6uAo"
    done = subprocess.run(
        [sys.executable, "examples/scrub.py"],
        input=f"the token is {secret}, keep it\nplain\n",
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert secret not in done.stdout
    assert done.stdout == "the token is [redacted], keep it\nplain\n"
    assert done.stderr == "taken out: {'secret': 1}\n"


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_scrub_does_not_depend_on_the_cuts(size: int) -> None:
    """The same text in other pieces yields the same output."""
    text = "key: ghp_" + "9fK2mQx7Lr4TzW8bVc1NpYs5HdJg3RtE6uAo" + " and so on"
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert "".join(sanitized(pieces)) == "key: [redacted] and so on"
