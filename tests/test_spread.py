"""The distribution of the tests over several processes."""

from pathlib import Path

from attrs import frozen

from tests import spread

ROOT = Path(__file__).parent.parent


@frozen
class Named:
    """A test of which only the name is known."""

    nodeid: str


def test_files_that_are_named_exist() -> None:
    """A file that was moved would start last again, or stay whole, without an error."""
    named = {*spread.SPREAD, *spread.recorded()}
    assert [file for file in sorted(named) if not (ROOT / file).is_file()] == []


def test_tests_of_a_file_stay_together_unless_it_is_spread() -> None:
    story = f"{spread.SPREAD[0]}::test_a_story[a::b]"
    assert spread.unit("tests/test_spread.py::test_other[x]") == "tests/test_spread.py"
    assert spread.unit(story) == story


def test_long_files_come_first_and_the_others_keep_their_order() -> None:
    """A file without a record counts as `UNKNOWN_S`."""
    short, new, new_too, long = (Named(f"tests/{name}.py::test") for name in ("short", "new", "new_too", "long"))
    seconds = {"tests/short.py": spread.UNKNOWN_S / 2, "tests/long.py": spread.UNKNOWN_S * 2}
    assert spread.longest_first([short, new, new_too, long], seconds) == [long, new, new_too, short]
