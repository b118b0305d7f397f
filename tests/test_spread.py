"""The distribution of the tests over several processes."""

from pathlib import Path

import pytest
from attrs import frozen

from tests import spread

ROOT = Path(__file__).parent.parent


@frozen
class Named:
    """A test of which only the name is known."""

    nodeid: str


@pytest.mark.parametrize("file", spread.SPREAD)
def test_a_file_whose_tests_are_spread_exists(file: str) -> None:
    assert (ROOT / file).is_file()


def test_tests_of_a_file_stay_together_unless_it_is_spread() -> None:
    story = f"{spread.SPREAD[0]}::test_a_story[a::b]"
    assert spread.unit("tests/test_spread.py::test_other[x]") == "tests/test_spread.py"
    assert spread.unit(story) == story


def test_spread_tests_come_first_and_the_others_keep_their_order() -> None:
    items = [Named("tests/b.py::b"), Named(f"{spread.SPREAD[0]}::a"), Named("tests/a.py::a")]
    assert spread.longest_first(items) == [items[1], items[0], items[2]]
