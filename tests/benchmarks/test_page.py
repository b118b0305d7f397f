"""The figures of the page, in their small versions."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

import pytest

from benchmarks import page
from benchmarks.agents.progress import Extent
from benchmarks.figure import Figure
from benchmarks.page.chats import Chat, Understudy
from benchmarks.peers.home import Missing
from tests.servers.needed import program

pytestmark = pytest.mark.proof("benchmarks")

LIMIT_S: Final = 180


def measured(name: str) -> dict[str, Any]:
    """Return the small figures of this name."""
    program("chromium")
    command = [sys.executable, "-m", "benchmarks", "page", "--only", name, "--small", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    return {figure["figure"]: figure["ours"] for figure in map(json.loads, done.stdout.splitlines())}


def test_the_first_visit_is_measured() -> None:
    figures = measured("paint")
    assert figures["slow4g_paint_ms"] >= 150, "the emulated network was not there"
    assert figures["slow4g_online_ms"] > figures["slow4g_paint_ms"]
    assert figures["bytes_first"] > 1_000
    assert figures["requests_first"] > 1


def test_the_way_back_after_a_restart_is_measured() -> None:
    figures = measured("restart")
    assert figures["online_after_restart_worst_ms"] >= figures["online_after_restart_ms"] >= 0
    assert figures["said_after_restart_worst_ms"] >= figures["said_after_restart_ms"] > 0


def test_opening_a_long_thread_is_measured() -> None:
    figures = measured("history")
    assert figures["open_1000_ms"] > 0
    assert figures["open_10000_ms"] > 0
    assert 0 < figures["heap_10000_mb"] < 100
    assert figures["nodes_10000_read"] > 100


def test_an_answer_is_measured_while_it_is_written() -> None:
    figures = measured("streaming")
    assert figures["raw_markdown_looks"] == 5, "the looks did not end with the answer"
    assert figures["frames_p95_ms"] > 0
    assert 0 < figures["main_thread_share"] < 1


def test_a_peer_that_cannot_be_installed_is_left_out_and_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing() -> Chat:
        raise Missing("no such distribution")

    commands: list[list[str]] = []

    def noted(_: Extent, peers: Sequence[Chat]) -> Iterator[Figure]:
        commands.append([peer.name for peer in peers])
        yield from ()

    monkeypatch.setattr(page, "PEERS", {"gone": missing, "here": Understudy})
    monkeypatch.setattr(page, "FIGURES", {"noted": noted})
    for wanted in ({}, {"peer": "gone"}, {"small": True}, {"small": True, "peer": "here"}):
        list(page.figures(**wanted))
    assert commands == [["ours"], [], [], ["ours"]]
    assert capsys.readouterr().err.count("page: without gone: no such distribution") == 2
    with pytest.raises(SystemExit, match="there are gone, here"):
        list(page.figures(peer="other"))
