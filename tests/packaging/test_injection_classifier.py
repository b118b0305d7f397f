"""Families of orders that are left out of the training, with too few texts for meaningful numbers."""

import pytest
from injection_classifier import english
from injection_classifier.leaving_out import Sizes, measured
from injection_classifier.making import texts


def test_each_family_is_left_out_once(capsys: pytest.CaptureFixture[str]) -> None:
    measures = dict(measured(Sizes(scale=0.02, epochs=1, prose=20)))
    assert len(measures) == 6
    assert all(0 <= percent <= 100 for percent in measures.values())
    errors = capsys.readouterr().err
    assert all(errors.count(f"orders    {family} ") == 1 for family in english.ATTACKS)


def test_the_same_texts_are_made_each_time() -> None:
    first = texts(scale=0.01)
    assert first == texts(scale=0.01)
    assert {text.order for text in first} == {True, False}
    assert len({text.text for text in first}) == len(first)
