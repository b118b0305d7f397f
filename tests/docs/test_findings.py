"""The kinds of findings that the documentation lists, and each example against the sanitizer."""

import re

import pytest

from docs.tables import PAGE_MODE, TABLES, found, kinds
from sanitization import Category, Kind

KINDS = list(kinds())
SECTIONS = [*Category, PAGE_MODE]


def test_every_kind_has_a_row() -> None:
    rows = [line for section in SECTIONS for line in TABLES[f"findings of {section}"]().splitlines()[2:]]
    listed = re.findall(r"^\| `([^`]+)`", "\n".join(rows), re.MULTILINE)
    listed += re.findall(r"`([^`]+)`", TABLES["named secrets"]())
    assert set(listed) == {kind.name for _, kind in KINDS}


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
    text = TABLES[f"findings of {Category.SECRET}"]()
    for section, kind in KINDS:
        if section == Category.SECRET:
            for finding in found(section, kind):
                secret = kind.example[finding.start : finding.end]
                assert secret not in text
