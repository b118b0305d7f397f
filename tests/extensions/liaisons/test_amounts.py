"""Named amounts, one a line: what is read, and what is refused with a sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.extensions.liaisons.amounts import read_amount, split_lines
from understudy.tools import ToolError


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        *[("12000", 12_000), (" 12,000 ", 12_000), ("1,234,567.89", 1_234_567.89), ("-5", -5), ("−5", -5)],  # noqa: RUF001
        *[("+0.5", 0.5), ("12.50", 12.5), ("0.1250", 0.125)],
    ],
)
def test_amounts(text: str, amount: float) -> None:
    assert read_amount(text, "Rent") == amount


AMBIGUOUS = ("12.000", "-1.234", "1,2", "1,00", "1.234,56", "12 000")


@pytest.mark.parametrize("text", [*AMBIGUOUS, "", "abc", "€5", "5 EUR", "1e5", "0x1", "nan", "٣", "--5"])
def test_an_ambiguous_or_odd_amount_is_refused(text: str) -> None:
    with pytest.raises(ToolError, match="of “Rent” is not an amount: write 12000"):
        read_amount(text, "Rent")


def test_a_huge_amount_is_refused() -> None:
    with pytest.raises(ToolError, match="larger than 1,000,000,000,000,000"):
        read_amount("1000000000000001", "Rent")


def test_the_name_ends_at_the_first_colon() -> None:
    assert split_lines(["a : b: c", "", " d:e "], "x: 1", 9) == {"a": "b: c", "d": "e"}


@pytest.mark.parametrize("line", ["Rent", "Rent:", ": 5", "x" * 81 + ": 5"])
def test_a_line_without_a_name_or_text_is_refused(line: str) -> None:
    with pytest.raises(ToolError, match="needs a name of at most 80 characters and a colon, as in Rent: 12000"):
        split_lines([line], "Rent: 12000", 9)


@given(st.text(max_size=2_000))
def test_any_text_is_an_amount_or_a_short_sentence(text: str) -> None:
    sentence = ""
    try:
        amount = read_amount(text, "Rent")
    except ToolError as error:
        amount, sentence = 0.0, error.message
    assert abs(amount) <= 1e15
    assert len(sentence) < 300
