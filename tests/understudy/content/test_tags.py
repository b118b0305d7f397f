"""The form of tags."""

import pytest

from transport.wire.errors import CommandRejected
from understudy.content.tags import MAX_TAG, MOST_TAGS, clean_tags


@pytest.mark.parametrize(
    ("written", "tag"),
    [
        ("Work", "work"),
        ("  #holiday   plans ", "holiday-plans"),
        ("Übung", "übung"),
        ("2026_q3", "2026_q3"),
        ("عمل", "عمل"),
        ("हिन्दी", "हिन्दी"),
        ("cafe\u0301", "café"),
        ("x" * MAX_TAG, "x" * MAX_TAG),
    ],
)
def test_a_tag_has_one_form(written: str, tag: str) -> None:
    assert clean_tags([written]) == (tag,)
    assert clean_tags([tag]) == (tag,), "its own form is kept"


@pytest.mark.parametrize(
    "written", ["", " ", "#", "a b!", "x" * (MAX_TAG + 1), "a\u200bb", "##a", "\ud800", "a\0", "a,b"]
)
def test_any_other_is_refused_with_the_rule(written: str) -> None:
    with pytest.raises(CommandRejected, match="1 to 32 letters") as refusal:
        clean_tags(["fine", written])
    assert refusal.value.code == "invalid_command"


def test_each_is_there_once_in_the_order_given_and_there_are_not_too_many() -> None:
    assert clean_tags(["b", "a", "#B"]) == ("b", "a")
    most = [f"t{number}" for number in range(MOST_TAGS)]
    assert clean_tags([*most, "T0"]) == tuple(most)
    with pytest.raises(CommandRejected, match="At most 8"):
        clean_tags([*most, "one-more"])
