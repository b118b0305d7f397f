"""How a figure is told."""

import json

import pytest

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
