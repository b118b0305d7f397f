"""The patches of this folder still apply, say what they break, and cover every package and promise."""

import subprocess
from collections import Counter

import pytest

from tests.faults.fault import PROMISES, ROOT, Fault, first_failure, load, parse

FAULTS = load()
PACKAGES = {"actors", "transport", "sanitization", "understudy"}
SLOW = (
    "tests/benchmarks", "tests/browser", "tests/chaos", "tests/cluster", "tests/deploy", "tests/fuzz", "tests/network",
    "tests/packaging",
)  # fmt: skip
"""Folders of the slow proof: a fault must be detected without them."""


@pytest.mark.needs("git")
def test_every_patch_applies_to_the_checkout() -> None:
    patches = [fault.patch for fault in FAULTS]
    ended = subprocess.run(["git", "apply", "--check", *patches], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"make these patches anew:\n{ended.stderr}"


def test_there_are_at_least_forty_and_they_cover_every_package_and_promise() -> None:
    assert len(FAULTS) >= 40
    assert Counter(package for fault in FAULTS for package in fault.packages).keys() == PACKAGES
    assert {fault.promise for fault in FAULTS} == set(PROMISES)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_patch_is_a_small_fault_with_fast_tests(fault: Fault) -> None:
    assert len(fault.changed) == 1
    assert 1 <= fault.lines <= 5
    assert 1 <= len(fault.tests) <= 3
    for test in fault.tests:
        assert (ROOT / test).is_file(), test
        assert not test.startswith(SLOW), f"{test} is not in the fast suite"
        assert not test.endswith("_stock.py"), f"{test} is not in the fast suite"


@pytest.mark.parametrize("header", ["", "It breaks.\n", "It breaks.\nPromise: 1\n", "Promise: 1\nTests: a.py\n"])
def test_a_patch_without_a_whole_header_is_refused(header: str) -> None:
    with pytest.raises(ValueError, match="the header is a sentence"):
        parse("nameless", f"{header}\n--- a/actors/ask.py\n+++ b/actors/ask.py\n")


def test_a_header_is_parsed_and_the_changed_lines_are_counted() -> None:
    text = (
        "It breaks.\n\nPromise: 3\nTests: a.py b.py\n\n--- a/actors/ask.py\n+++ b/actors/ask.py\n@@\n-x\n-y\n+z\n w\n"
    )
    fault = parse("it-breaks", text)
    assert fault == Fault("it-breaks", "It breaks.", "3", ("a.py", "b.py"), ("actors/ask.py",), 2)
    assert fault.packages == {"actors"}


def test_the_first_failure_is_taken_from_the_summary() -> None:
    assert first_failure("..F\nFAILED tests/a.py::test_b - assert 1\nFAILED tests/a.py::test_c") == "tests/a.py::test_b"
    assert first_failure("ERROR tests/a.py - ImportError") is None
