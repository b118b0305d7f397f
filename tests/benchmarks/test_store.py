"""The benchmark of the store, with sizes so small that its numbers mean nothing."""

import pytest

from benchmarks import store
from benchmarks.store.sizes import QUICK


@pytest.mark.slow
def test_every_figure_has_a_number_that_can_be() -> None:
    """All are there, above nothing; what is made is what is delivered, or there would be none."""
    figures = {figure.figure: figure for figure in store.figures(QUICK)}
    assert figures.keys() == {
        "durable_events",
        "durable_p99_ms",
        "durable_cpu_us",
        "open_thread_ms",
        "open_thread_p50_ms",
        "resume_ms",
        "resume_p50_ms",
        "steady",
    }
    assert all(0 < value < 1e6 for each in figures.values() for value in (each.ours, *each.peers.values()))
    assert figures["durable_events"].peers.keys() == {"bare", "postgresql"}
