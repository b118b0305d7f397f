"""The benchmark of unseen orders, with too few texts for meaningful numbers."""

import pytest

from benchmarks import orders
from benchmarks.orders import english
from benchmarks.orders.making import texts


def test_each_family_is_left_out_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Six figures in per cent; the families are named on the error output."""
    figures = list(orders.figures(orders.Sizes(scale=0.02, epochs=1, prose=20)))
    assert len({figure.figure for figure in figures}) == 6
    assert all(0 <= figure.ours <= 100 for figure in figures)
    told = capsys.readouterr().err
    assert all(told.count(f"orders    {family} ") == 1 for family in english.ATTACKS)


def test_the_same_texts_are_made_each_time() -> None:
    """Orders and harmless texts, without repeats."""
    made = texts(scale=0.01)
    assert made == texts(scale=0.01)
    assert {each.order for each in made} == {True, False}
    assert len({each.text for each in made}) == len(made)
