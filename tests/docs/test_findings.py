"""The page of kinds against the detectors, in both directions, and each example against the sanitizer."""

import re

import pytest

from sanitization import Category, Kind
from tests.docs.findings_page import PAGE, PAGE_MODE, found, kinds, tables, written

KINDS = list(kinds())


@pytest.mark.parametrize("section", [*Category, PAGE_MODE])
def test_the_page_lists_every_kind_and_no_other(section: str) -> None:
    """To update the tables run `python -m tests.docs.findings_page`."""
    assert written()[section].splitlines() == tables()[section].splitlines()


def test_names_are_dotted_below_their_category_and_stand_once() -> None:
    rows = [(section, kind.name) for section, kind in KINDS]
    assert all(re.fullmatch(rf"{section.partition(' ')[0]}(\.[a-z0-9_]+)+", name) for section, name in rows)
    assert sorted(set(rows)) == sorted(rows)


@pytest.mark.parametrize(
    ("section", "kind"), [pytest.param(section, kind, id=f"{section} {kind.name}") for section, kind in KINDS]
)
def test_an_example_is_one(section: str, kind: Kind) -> None:
    assert kind.name in {finding.kind for finding in found(section, kind)}
    assert re.fullmatch(r"\w.{3,}", kind.meaning)


def test_no_secret_stands_in_the_page() -> None:
    text = PAGE.read_text()
    for section, kind in KINDS:
        if section == Category.SECRET:
            for each in found(section, kind):
                secret = kind.example[each.start : each.end]
                assert secret not in text
