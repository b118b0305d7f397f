"""`calculate`: exact whenever possible, refused with a sentence if there is no value."""

import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.tools import ToolError
from understudy.tools.arithmetic import calculate, evaluate


def result(expression: str) -> str:
    """Return the digits of the result."""
    return calculate(expression).value["result"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0.1 + 0.2", "0.3"),
        ("2**64", "18446744073709551616"),
        ("-2**2", "-4"),
        ("2**-1", "0.5"),
        ("2**3**2", "512"),
        ("2 + 3 * 4", "14"),
        ("(2 + 3) * 4", "20"),
        ("10 - 3 - 2", "5"),
        ("6 × 7 ÷ 2 − 1", "20"),  # noqa: RUF001
        ("-7 // 2", "-4"),
        ("-7 % 3", "2"),
        ("-7.5 // 2", "-4"),
        ("10 % 3", "1"),
        ("15% of 200", "30"),
        ("200 * 15%", "30"),
        ("200 + 10%", "220"),
        ("200 - 10%", "180"),
        ("50%", "0.5"),
        ("1,000,000 + 1", "1000001"),
        ("1_000 * 2", "2000"),
        ("sqrt(16)", "4"),
        ("sqrt(2)", "1.414213562373095048801688724"),
        ("round(2.5)", "3"),
        ("round(-2.5)", "-3"),
        ("round(2.675, 2)", "2.68"),
        ("min(3, 1, 2) + max(4, 5)", "6"),
        ("abs(-3.5)", "3.5"),
        ("log(100, 10)", "2"),
        ("ln(exp(1))", "1"),
        ("floor(-2.5) + ceil(2.1)", "0"),
        ("pi", "3.141592653589793238462643383"),
        ("1.5e3 * 2 =", "3000"),
        ("2^10", "1024"),
    ],
)
def test_values(expression: str, expected: str) -> None:
    assert result(expression) == expected


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("1/0", "division by zero"),
        ("5 % (1-1)", "division by zero"),
        ("0**-1", "division by zero"),
        ("sqrt(-1)", "not a real number"),
        ("(-8)**(1/3)", "no real value"),
        ("log(0)", "above zero"),
        ("", "nothing to calculate"),
        ("2 3", "operator may be missing"),
        ("(1", "missing before the end"),
        ("2 *", "number is missing"),
        ("foo(1)", "no function “foo”"),
        ("x + 1", "“x” is not a number"),
        ("__import__('os')", "not part of arithmetic"),
        ("sqrt(1, 2)", "takes one number"),
        ("9**9**9", "1,000 digits"),
        ("10**600 * 10**600", "1,000 digits"),
        ("exp(1e9)", "too large"),
        ("floor(exp(20000))", "1,000 digits"),
        ("1e5000", "too large or too small"),
        ("(" * 60 + "1" + ")" * 60, "50 deep"),
        ("-" * 600 + "1", "50 deep"),
        ("1" * 1001, "1,000 characters"),
    ],
)
def test_refusals(expression: str, message: str) -> None:
    """An expression without a value, or beyond a bound, is refused at once, with a sentence."""
    before = time.thread_time()
    with pytest.raises(ToolError, match=message) as caught:
        evaluate(expression)
    assert caught.value.code == "invalid_arguments"
    assert time.thread_time() - before < 5  # such a power takes minutes; a collection of garbage is counted, too


def test_a_rounded_result_says_so() -> None:
    """An exact result has `=`, a rounded one `≈`."""
    assert calculate("1/4").summary == "1/4 = 0.25"
    assert calculate("1/3*3").summary == "1/3*3 ≈ 1"
    assert calculate("2/3").value["exact"] is False


@given(st.integers(-(10**30), 10**30), st.integers(-(10**30), 10**30))
def test_whole_numbers_are_exact(a: int, b: int) -> None:
    """Results equal Python's for integers of any length."""
    assert evaluate(f"({a}) * ({b}) - ({a})") == (a * b - a, True)
    if b:
        assert evaluate(f"({a}) // ({b})")[0] == a // b
        assert evaluate(f"({a}) % ({b})")[0] == a % b


@given(st.decimals(-1000, 1000, places=3), st.decimals(-1000, 1000, places=3))
def test_decimals_divide_with_the_sign_of_the_divisor(a: Decimal, b: Decimal) -> None:
    if b:
        quotient, remainder = evaluate(f"({a:f}) // ({b:f})")[0], evaluate(f"({a:f}) % ({b:f})")[0]
        assert quotient * b + remainder == a
        assert remainder == 0 or (remainder < 0) == (b < 0)


@given(st.text("0123456789+-*/%^(),. esqrtpiof×", max_size=40))  # noqa: RUF001
def test_any_text_is_a_number_or_a_sentence(text: str) -> None:
    """Random text gives a result or a `ToolError`."""
    try:
        shown = calculate(text).value["result"]
    except ToolError as error:
        shown = error.message
    assert shown
