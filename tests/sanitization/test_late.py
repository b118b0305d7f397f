"""Regular expressions that are compiled on first use."""

import copy
import re

import pytest

from sanitization.late import Late


def test_nothing_is_compiled_before_the_first_use() -> None:
    """The source may be a function, which is then not called either; an expression is compiled once."""
    patterns: list[str] = []

    def source() -> str:
        patterns.append("a+")
        return "a+"

    late = Late(source, re.IGNORECASE)
    assert patterns == []
    assert late.search("bAa") is not None
    assert late.fullmatch("aaa") is not None
    assert late.sub("x", "baab") == "bxb"
    assert patterns == ["a+"]


def test_it_has_what_a_pattern_has_and_nothing_else() -> None:
    """Unknown names raise `AttributeError`, as with any object; copying one compiles nothing."""
    late = Late("(")
    with pytest.raises(AttributeError):
        late._unknown  # noqa: B018
    with pytest.raises(AttributeError):
        Late("a").unknown  # noqa: B018
    assert copy.copy(late) is not late
    with pytest.raises(re.error):
        late.search("a")
