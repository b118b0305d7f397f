"""How a figure is told."""

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as program
from benchmarks import actors, agents, start
from benchmarks.figure import Figure, table


@pytest.mark.parametrize(("ours", "met", "said"), [(140.0, True, "aim 150, met"), (150.5, False, "aim 150, missed")])
def test_a_figure_with_an_aim_says_whether_it_is_met(ours: float, met: bool, said: str) -> None:
    figure = Figure("first_paint_ms", "ms", ours, {"checkout": 400.0}, aim=150)
    assert said in figure.line()
    assert "checkout 400" in figure.line()
    assert json.loads(figure.json())["met"] is met
    assert ("(aim 150)" in table([figure])) is met


def test_a_figure_without_an_aim_does_not_speak_of_one() -> None:
    figure = Figure("requests_first", "requests", 13)
    assert "aim" not in figure.line() + figure.json() + figure.row()


def test_the_figures_of_one_part_go_into_a_table_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- figures: agents -->all<!-- end --><!-- figures: agents effects -->old<!-- end -->")
    monkeypatch.setattr(agents, "figures", lambda **_: iter([Figure("effects_lost", "orders", 0, aim=0)]))
    monkeypatch.setattr(program, "pin_to_one_core", lambda: None)
    assert program.main(["agents", "--only", "effects", "--into", str(page)]) == 0
    head, _, after = page.read_text().partition("<!-- figures: agents effects -->")
    assert "all" in head
    assert "| `effects_lost` | 0 orders (aim 0) | none |" in after
    assert "old" not in after


def test_all_figures_of_a_run_go_into_one_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- figures: all -->\nold\n<!-- end -->\n")
    monkeypatch.setattr(actors, "figures", lambda: iter([Figure("tell", "1/s", 5.0, {"trio": 4.0})]))
    monkeypatch.setattr(start, "figures", lambda: iter([Figure("idle_mb", "MB", 7)]))
    monkeypatch.setattr(program, "pin_to_one_core", lambda: None)
    arguments = ["actors", "start", "--together", "--into", str(page)]
    assert program.main(arguments) == 0
    assert "| `tell` | 5 1/s | trio 4 (1.25) |\n| `idle_mb` | 7 MB | none |" in page.read_text()
