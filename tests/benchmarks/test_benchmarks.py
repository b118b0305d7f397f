"""The benchmark program, with counts too small for meaningful numbers."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import actors
from benchmarks.peers import catalogue, home
from benchmarks.peers.process import PeerFailed, PeerProcess

TRIO = next(peer for peer in catalogue.PEERS if peer.name == "trio")
ERLANG = next(peer for peer in catalogue.PEERS if peer.name == "erlang")


@pytest.fixture(scope="module")
def company() -> Iterator[list[PeerProcess]]:
    """Yield our process and trio's."""
    with PeerProcess(catalogue.OURS) as ours, PeerProcess(TRIO) as trio_alone:
        yield [ours, trio_alone]


@pytest.mark.parametrize(("name", "count"), [("tell", 1_000), ("ask", 20), ("spawn", 100)])
def test_a_figure_has_our_number_and_the_peers_beside_it(company: list[PeerProcess], name: str, count: int) -> None:
    figure = actors.compare(company, name, "1/s", count, rounds=1)
    assert figure.figure == name
    assert figure.ours > 0
    assert figure.peers.keys() == {"trio"}
    assert figure.peers["trio"] > 0


def test_a_peer_without_a_figure_is_left_out_of_it(company: list[PeerProcess]) -> None:
    """Trio tasks have no restart figure; our actors have one."""
    figure = actors.compare(company, "reborn_us", "us", 10, rounds=1)
    assert figure.ours > 0
    assert figure.peers == {}


def test_memory_is_measured_by_the_larger_of_both_ways(capsys: pytest.CaptureFixture[str]) -> None:
    """Resident and traced bytes are both on the error output; the figure is the larger."""
    figure = actors.idle_actor_bytes([catalogue.OURS], actors.Sizes(idle_actors=500, rounds=1))
    errors = capsys.readouterr().err
    assert f"{figure.ours:,.0f} B" in errors
    assert "resident" in errors
    assert "traced" in errors
    assert figure.ours > 1_000


def test_a_measurement_that_raises_fails_with_its_error_and_the_process_goes_on(company: list[PeerProcess]) -> None:
    """An unknown figure is the peer's error; the next order is answered."""
    with pytest.raises(PeerFailed, match="KeyError"):
        company[0].measure("no_such_figure", 1)
    assert company[0].measure("ask", 10) > 0


def test_a_peer_that_cannot_be_had_is_named_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list(actors.start([ERLANG])) == []
    assert capsys.readouterr().err.splitlines() == ["peers: no erlang: there is no escript on the PATH"]


def test_every_peer_has_its_file_and_the_requirements_of_what_it_imports() -> None:
    """A wrong entry of the catalogue would otherwise be found only by a long run."""
    folder = Path(home.__file__).parent
    for peer in (catalogue.OURS, *catalogue.PEERS):
        assert (folder / peer.file).is_file()
        assert bool(peer.requirements) == (peer.package is not None)


SOAK = """
import json, tracemalloc, trio, trio.testing
from benchmarks import actors_soak

tracemalloc.start()
held = trio.run(actors_soak.soak, 3_000, 9_000, clock=trio.testing.MockClock(autojump_threshold=0))
print(json.dumps([[moment.objects, moment.bytes] for moment in held]))
"""


def test_nothing_is_held_after_a_soak_that_was_not_held_before() -> None:
    """After thirty rounds no object per round is left, nor three bytes a message; virtual time passes the deadlines.

    It runs in its own process, as it counts all objects of a process and other tests leave threads running.
    """
    ended = subprocess.run([sys.executable, "-c", SOAK], capture_output=True, text=True, timeout=60, check=True)
    (early_objects, early_bytes), (late_objects, late_bytes) = json.loads(ended.stdout)
    assert late_objects - early_objects < 20
    assert late_bytes - early_bytes < 16_000
