"""The figures of a start: a server of its own, timed and weighed."""

import os
import subprocess
import sys

import pytest

from benchmarks import start


@pytest.mark.proof("benchmarks")
def test_a_start_is_timed_and_weighed() -> None:
    """The processor time is part of the time, as the server has one thread that works; it has more than Python has."""
    figures = {figure.figure: figure for figure in start.figures(start.QUICK)}
    assert [*figures] == [
        "cold_start_s", "cold_start_cpu_s", "idle_mb", "kernel_start_s", "kernel_start_cpu_s", "kernel_mb"
    ]  # fmt: skip
    assert 0.1 < figures["cold_start_cpu_s"].ours < figures["cold_start_s"].ours * 2
    assert start.memory_mb(os.getpid(), "Pss") * 0.1 < figures["kernel_mb"].ours < figures["idle_mb"].ours < 1_000
    assert figures["kernel_mb"].peers["the libraries"] < figures["kernel_mb"].ours


def test_the_family_of_a_process_has_its_children() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in start.family(os.getpid())
        assert start.processor_s(child.pid) >= 0
        assert child.stdin is not None
        child.stdin.write(b"\n")
