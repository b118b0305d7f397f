"""Durations and counts of the last hour, in bounded memory."""

import random
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.observe.recent import MINUTES, NAMES_MAX, RUNS, SLOWEST, EndedRun, Recent, durations, rows


@given(st.lists(st.floats(1e-4, 1e3), min_size=1, max_size=200))
def test_a_percentile_is_at_most_nine_per_cent_above_the_true_one(values: list[float]) -> None:
    summary, ordered = durations(values), sorted(values)
    for share in (0.5, 0.95, 0.99):
        true = ordered[max(0, -int(-share * len(values) // 1) - 1)]
        assert true * 0.9999 <= summary.quantile(share) <= true * 1.0906


def test_only_the_last_minutes_count_and_an_hour_is_remembered() -> None:
    now = [1_000_000.0]
    recent = Recent(lambda: now[0])
    for minute in range(3 * MINUTES):
        now[0] = 1_000_000.0 + 60 * minute
        recent.observe("commit", 0.001 * (minute + 1))
        recent.count("refused", "busy")
    assert recent.timed(5)["commit", ""].count == 6  # the minute in which the period begins counts whole
    assert recent.timed(10_000)["commit", ""].count == MINUTES + 1
    assert recent.counted("refused", 5) == {"busy": 6}
    assert [slow.seconds for slow in recent.slowest(5, 2)] == pytest.approx([0.18, 0.179])
    now[0] += 7_200
    assert recent.timed(60) == {}


def test_a_clock_that_is_set_back_loses_nothing() -> None:
    now = [1_000_000.0]
    recent = Recent(lambda: now[0])
    recent.observe("commit", 0.1)
    now[0] -= 600
    recent.observe("commit", 0.1)
    assert recent.timed(5)["commit", ""].count == 2


def test_memory_is_bounded_whatever_is_recorded() -> None:
    recent = Recent(lambda: 1_000_000.0)
    chance = random.Random(1)
    for number in range(5_000):
        recent.observe("tool", chance.expovariate(10), f"tool-{number}")
        recent.runs.append(EndedRun(1_000_000.0, "ada", str(number), None, 1.0, "success"))
    timed = recent.timed(60)
    assert len(timed) == NAMES_MAX + 1
    assert timed["tool", "other"].count == 5_000 - NAMES_MAX
    slowest = recent.slowest(60, 100)
    assert len(slowest) == SLOWEST
    assert slowest[0].seconds == max(timing.longest_s for timing in timed.values())
    kept = [run.run_id for run in recent.runs]
    assert kept == [str(number) for number in range(5_000 - RUNS, 5_000)]
    assert [run.run_id for run in reversed(recent.runs)] == kept[::-1]
    assert next(iter(recent.runs)) == EndedRun(1_000_000.0, "ada", kept[0], None, 1.0, "success")


def test_ended_runs_are_few_objects() -> None:
    """Of two thousand runs all but the last fifty are in forty blocks, so that their memory does not lie scattered."""
    recent, blocks = Recent(lambda: 1_000_000.0), sys.getallocatedblocks()
    for number in range(RUNS):
        recorded = EndedRun(1_000_000.0 + number, "ada", f"run-{number}", 0.5 + number, 1.0 + number, "success")
        recent.runs.append(recorded)
    assert sys.getallocatedblocks() - blocks < RUNS / 4


def test_rows_begin_with_what_took_most_time() -> None:
    recent = Recent(lambda: 1_000_000.0)
    recent.observe("commit", 0.001)
    recent.observe("run", 2.0)
    first, second = rows(recent.timed(1))
    assert (first["operation"], first["p99_ms"], first["count"]) == ("run", 2000.0, 1)
    assert second["max_ms"] == 1.0
