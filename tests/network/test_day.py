"""A short day of a bad network, of a fixed seed; a longer one is `python -m tests.network.day`."""

from pathlib import Path

import pytest
import trio

from tests.network.day import Day


@pytest.mark.slow
async def test_everybody_ends_a_bad_day_with_the_whole_log_in_order(tmp_path: Path) -> None:
    """Twelve clients, a bad network, a server killed and started again: each holds the log's events, once, in order."""
    day = Day(clients=12, seconds=7.0, seed=7, where=tmp_path, life_s=4.0, pause_s=0.6, within_s=40.0)
    with trio.fail_after(80):
        await day.run()
    assert not day.faults, "\n".join([f"seed {day.seed}", *day.faults])
    assert day.counts["server starts"] >= 2
    assert min(day.counts["swallow"], day.counts["reset"], day.counts["fin"]) > 0
    assert day.counts["events held by clients"] > day.counts["events in the logs"] > 0
