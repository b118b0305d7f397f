"""The figures of operations: small ones, measured at real servers."""

import urllib.request

import pytest

from benchmarks import operations
from benchmarks.operations import stop_switch, traced


@pytest.mark.slow
def test_traces_are_measured_at_two_servers() -> None:
    """The numbers of so small a load mean nothing, but that both servers have worked."""
    turn, cost = operations.figures(operations.QUICK)
    assert [turn.figure, cost.figure, cost.aim] == ["untraced_turn_ms", "traced_cost", 1.15]
    assert turn.ours > 0.5
    assert 0.2 < cost.ours < 5


def test_the_collector_counts_what_it_takes() -> None:
    with traced.collector() as collector:
        for _ in range(2):
            urllib.request.urlopen(f"http://127.0.0.1:{collector.port}/v1/traces", b"12345", timeout=30).close()
    assert collector.size == 10


@pytest.mark.slow
def test_the_stop_switch_is_measured_over_two_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop_switch, "ROUNDS", 2)
    [figure] = operations.figures(only="stop")
    assert (figure.figure, figure.aim) == ("stop_switch_s", 1.0)
    assert 0 < figure.ours < 30


def test_a_part_that_is_none_is_refused() -> None:
    with pytest.raises(SystemExit, match="there is no part 'moon'; there are traced, stop, incidents"):
        list(operations.figures(only="moon"))
