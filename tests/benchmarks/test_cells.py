"""The arithmetic of cells against cases calculated by hand, and invariants of its simulation."""

from pathlib import Path

import pytest

from benchmarks.cells import Grown, Growth, Habits, carried, cells_for, grow, halves
from docs import cells as page

SMALL = Growth(seed=1, months=12, users=10_000, at_the_end=40_000, smallest=100)


def test_a_cell_carries_what_its_database_commits_less_the_reserve() -> None:
    habits = Habits(seconds_a_message=60, answer_events=8, answer_bytes=5_000, busy_hours=10)
    cell = carried(20, 1_600, habits, reserve=0.25)  # 1,200 events a second are 150 messages, which 7.5 nodes take
    assert (cell.messages_s, cell.active_users, cell.nodes) == (150, 9_000, 9)
    assert cell.bytes_a_day == 150 * 36_000 * 5_000


@pytest.mark.parametrize(("users", "share", "cells"), [(90_000, 0.1, 1), (90_001, 0.1, 2), (1_000_000, 0.05, 6)])
def test_a_cell_that_is_begun_is_a_cell(users: int, share: float, cells: int) -> None:
    assert cells_for(users, share, carried(20, 1_600, Habits(60, 8), reserve=0.25)) == cells


def test_halves_have_each_tenant_once_and_are_about_equal() -> None:
    assert halves([5, 4, 3, 2]) == ([5, 2], [4, 3])
    assert halves([9]) == ([9], [])


def test_a_cell_is_split_until_it_fits_and_a_tenant_never_is() -> None:
    grown = Grown([[5, 4, 3, 2], [11]])
    grown.split(6)
    assert sorted(map(sorted, grown.cells)) == [[2], [3], [4], [5], [11]]
    assert grown.copied == 2 + 1 + 1
    assert grown.most_away == 14


def test_the_smallest_tenants_move_to_where_there_is_room_else_to_a_new_cell() -> None:
    grown = Grown([[6, 2, 1], [5]])
    grown.move(7)
    assert (grown.cells, grown.copied, grown.most_away) == ([[6], [5, 1], [2]], 2, 2)


@pytest.mark.parametrize("by_tenant", [False, True])
def test_an_installation_grows_to_its_users_alike_each_time_and_fits(by_tenant: bool) -> None:
    grown = grow(5_000, SMALL, by_tenant=by_tenant)
    assert grown == grow(5_000, SMALL, by_tenant=by_tenant)
    assert sum(grown.users()) == pytest.approx(40_000)
    assert all(sum(cell) <= 5_000 or len(cell) == 1 for cell in grown.cells)
    assert len(grown.cells) >= 8


def test_the_figures_are_those_of_the_page_on_benchmarks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    figures = tmp_path / "benchmarks.md"
    figures.write_text("| `rate` | 5,862 events/s | bare 22.1 k (0.26) · postgresql 4,463 (1.31) |\n")
    monkeypatch.setattr(page, "BENCHMARKS", figures)
    assert (page.measured("rate", "bare"), page.measured("rate", "postgresql")) == (22_100, 4_463)
    with pytest.raises(LookupError, match="no rate of sqlite"):
        page.measured("rate", "sqlite")
