"""How a figure is told."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import __main__ as program
from benchmarks import actors, operations, start
from benchmarks.figure import Figure, table
from benchmarks.plot import BAR, plot


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


def test_figures_are_drawn_beside_their_peers_in_one_scale() -> None:
    """The longest bar is the largest value; a figure without peers is left out, and names are text."""
    drawn = plot([Figure("fanout", "events/s", 400.0, {"a <b>": 100.0}), Figure("storm_lost", "events", 0)])
    picture = ElementTree.fromstring(drawn)
    bars = [float(each.attrib["width"]) for each in picture.iter("{http://www.w3.org/2000/svg}rect")]
    assert bars == [BAR, BAR / 4]
    texts = [each.text for each in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["fanout, events/s", "understudy", "400", "a <b>", "100"]


def test_the_figures_of_one_part_go_into_a_table_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- figures: operations -->all<!-- end --><!-- figures: operations calm -->old<!-- end -->")
    monkeypatch.setattr(operations, "figures", lambda **_: iter([Figure("calm_alerts", "alerts", 0, aim=0)]))
    monkeypatch.setattr(program, "pin_to_one_core", lambda: None)
    assert program.main(["operations", "--only", "calm", "--into", str(page)]) == 0
    before, _, after = page.read_text().partition("<!-- figures: operations calm -->")
    assert "all" in before
    assert "| `calm_alerts` | 0 alerts (aim 0) | none |" in after
    assert "old" not in after


def test_all_figures_of_a_run_go_into_one_table_and_pictures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- figures: all -->\nold\n<!-- end -->\n")
    monkeypatch.setattr(actors, "figures", lambda: iter([Figure("tell", "1/s", 5.0, {"trio": 4.0})]))
    monkeypatch.setattr(start, "figures", lambda: iter([Figure("idle_mb", "MB", 7)]))
    monkeypatch.setattr(program, "pin_to_one_core", lambda: None)
    arguments = ["actors", "start", "--together", "--into", str(page), "--plots", str(tmp_path / "plots")]
    assert program.main(arguments) == 0
    assert "| `tell` | 5 1/s | trio 4 (1.25) |\n| `idle_mb` | 7 MB | none |" in page.read_text()
    assert [each.name for each in (tmp_path / "plots").iterdir()] == ["actors.svg"]
