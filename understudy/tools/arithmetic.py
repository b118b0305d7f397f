"""`calculate`: arithmetic written as people write it, worked out exactly where that can be done.

The text is read by a small operator-precedence (Pratt) parser that works out values as it goes: nothing is ever
evaluated as Python. Whole numbers are exact; everything else has 40 significant digits and is shown with 28.

Every step is bounded, so no expression can hold a thread for long: the length of the text, the depth of
parentheses, the digits of whole numbers and the exponents of decimals.
"""

import decimal
import re
from decimal import Decimal
from typing import Annotated, Final

from attrs import field, frozen

from understudy.tools.errors import ToolError
from understudy.tools.numbers import (
    CONSTANTS,
    FUNCTIONS,
    NotCalculable,
    Number,
    add,
    context,
    divide,
    multiply,
    power,
    show,
)
from understudy.tools.result import ToolResult
from understudy.tools.schema import Param
from understudy.tools.tool import tool

MAX_LENGTH: Final = 1_000
MAX_DEPTH: Final = 50
_LARGEST: Final = Decimal("1e308")  # of a double

_TOKEN: Final = re.compile(
    r"""\s*(?:
    (?P<number>(?:[0-9]+(?:_[0-9]+)*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    |(?P<name>[A-Za-zπτ][A-Za-z0-9]*)
    |(?P<sign>\*\*|//|[-+*/%^(),])
    |(?P<wrong>\S))""",
    re.VERBOSE,
)
_SPELLINGS: Final = str.maketrans({"×": "*", "·": "*", "⋅": "*", "∗": "*", "÷": "/", "∕": "/", "−": "-", "–": "-"})  # noqa: RUF001
# 1,000,000: commas between groups of three digits. Inside a call they could be separators: see `_plain`.
_GROUPED: Final = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?![\d,])")

# How strongly an operator holds on to what stands left of it. Unary minus binds less than a power: -2**2 is -4,
# as in Python and in print.
_BINDING: Final = {"+": 10, "-": 10, "*": 20, "/": 20, "//": 20, "%": 20, "of": 20, "**": 40, "^": 40}
_UNARY: Final = 30


@frozen
class Token:
    """A piece of the expression: a number, a name, a sign, or the end."""

    kind: str
    text: str


@frozen
class Term:
    """A value, and whether it was written as a percentage: ``200 + 10%`` adds a tenth of 200."""

    value: Number
    percent: bool = False


def evaluate(expression: str) -> tuple[Number, bool]:
    """Return the value of `expression`, and whether it is exact.

    Raises `ToolError` ``invalid_arguments`` for text that is not arithmetic, has no value (a division by zero, the
    root of a negative number) or passes a bound.
    """
    if len(expression) > MAX_LENGTH:
        raise ToolError("invalid_arguments", f"The expression is longer than {MAX_LENGTH:,} characters.")
    with decimal.localcontext(context()) as arithmetic:
        try:
            value = _Parser(_tokens(_plain(expression))).whole()
            value = +value
        except NotCalculable as refused:
            raise ToolError("invalid_arguments", str(refused)) from None
        except decimal.Overflow:
            raise ToolError("invalid_arguments", "The result is too large to be written down.") from None
        except decimal.DecimalException:
            raise ToolError("invalid_arguments", "That has no value in the real numbers.") from None
        return value, not arithmetic.flags[decimal.Inexact]


def _plain(expression: str) -> str:
    text = expression.strip().removesuffix("=").translate(_SPELLINGS)
    if re.search(r"[A-Za-z]\s*\(", text):
        return text
    return _GROUPED.sub(lambda found: found[0].replace(",", ""), text)


def _tokens(text: str) -> list[Token]:
    tokens = []
    for found in _TOKEN.finditer(text):
        kind = found.lastgroup or ""
        if kind == "wrong":
            raise NotCalculable(f"“{found[kind]}” is not part of arithmetic.")
        tokens.append(Token(kind, found[kind]))
    return [*tokens, Token("end", "the end")]


@frozen
class _Parser:
    """Reads tokens from left to right; every method returns the value of the tokens it has read."""

    tokens: list[Token]
    place: list[int] = field(factory=lambda: [0, 0])  # the next token, and how deep in parentheses it is

    def whole(self) -> Number:
        if len(self.tokens) == 1:
            raise NotCalculable("There is nothing to calculate.")
        term = self.expression(0)
        if self.peek().kind != "end":
            raise NotCalculable(f"“{self.peek().text}” was not expected there; an operator may be missing before it.")
        return term.value

    def peek(self, ahead: int = 0) -> Token:
        return self.tokens[min(self.place[0] + ahead, len(self.tokens) - 1)]

    def take(self) -> Token:
        token = self.peek()
        self.place[0] += 1
        return token

    def expect(self, sign: str) -> None:
        if self.peek().text != sign:
            raise NotCalculable(f"“{sign}” is missing before {self.peek().text}.")
        self.take()

    def expression(self, strength: int) -> Term:
        self.place[1] += 1
        if self.place[1] > MAX_DEPTH:
            raise NotCalculable(f"The expression is nested more than {MAX_DEPTH} deep.")
        left = self.prefix()
        while True:
            sign = self.peek().text
            if sign == "%" and not self.starts_operand(self.peek(1)):
                self.take()
                left = Term(divide(left.value, 100), percent=True)
                continue
            binding = _BINDING.get(sign, -1)
            if binding <= strength or self.peek().kind == "number":
                break
            self.take()
            # A power takes its right side first: 2**3**2 is 2**9.
            right = self.expression(binding - 1 if sign in ("**", "^") else binding)
            left = Term(_apply(sign, left.value, right))
        self.place[1] -= 1
        return left

    @staticmethod
    def starts_operand(token: Token) -> bool:
        """Whether a “%” before this token is the remainder: 10 % 3, but 50% - 10 and 15% of 200."""
        return token.kind == "number" or token.text == "(" or (token.kind == "name" and token.text != "of")

    def prefix(self) -> Term:
        token = self.take()
        if token.text in ("-", "+"):
            term = self.expression(_UNARY)
            return Term(-term.value if token.text == "-" else term.value, term.percent)
        if token.text == "(":
            term = self.expression(0)
            self.expect(")")
            return Term(term.value)
        if token.kind == "number":
            return Term(_number(token.text))
        if token.kind == "name":
            return Term(self.named(token.text))
        raise NotCalculable(f"A number is missing before {token.text}.")

    def named(self, name: str) -> Number:
        known = name.lower()
        if self.peek().text != "(":
            if known not in CONSTANTS:
                raise NotCalculable(
                    f"“{name}” is not a number; the known names are {', '.join((*CONSTANTS, *FUNCTIONS))}."
                )
            return CONSTANTS[known]()
        if known not in FUNCTIONS:
            raise NotCalculable(f"There is no function “{name}”; the known ones are {', '.join(FUNCTIONS)}.")
        self.take()
        given = [self.expression(0).value]
        while self.peek().text == ",":
            self.take()
            given.append(self.expression(0).value)
        self.expect(")")
        return FUNCTIONS[known](given)


def _number(text: str) -> Number:
    plain = text.replace("_", "")
    if plain.isdigit():
        return int(plain)
    if abs(Decimal(plain).adjusted()) > 1_000:
        raise NotCalculable(f"{text} is too large or too small to calculate with.")
    return Decimal(plain)


def _apply(sign: str, left: Number, right: Term) -> Number:
    value = right.value
    match sign:
        case "+" | "-":
            # As pocket calculators do: a percentage added or taken off is a part of what it is added to.
            step = multiply(left, value) if right.percent else value
            return add(left, step if sign == "+" else -step)
        case "*" | "of":
            return multiply(left, value)
        case "/":
            return divide(left, value)
        case "//" | "%":
            return _floor(sign, left, value)
        case _:
            return power(left, value)


def _floor(sign: str, left: Number, right: Number) -> Number:
    """Whole division and remainder, rounding down as Python does for integers: -7 // 2 is -4."""
    if right == 0:
        raise NotCalculable("A division by zero has no value.")
    if isinstance(left, int) and isinstance(right, int):
        return left // right if sign == "//" else left % right
    quotient, remainder = divmod(Decimal(left), Decimal(right))
    if remainder and (remainder < 0) != (right < 0):
        quotient, remainder = quotient - 1, remainder + right
    return quotient if sign == "//" else remainder


@tool(retry_safe=True, timeout_s=5.0)
def calculate(
    expression: Annotated[
        str,
        Param("Arithmetic such as (17.5 + 3) * 4, 15% of 200, 2**64, sqrt(2) or round(2/3, 2).", format="expression"),
    ],
) -> ToolResult:
    """Work out an arithmetic expression exactly: + - * / // % ** parentheses, percentages, sqrt, round, min, max, abs,
    log, exp, pi and e."""
    value, exact = evaluate(expression)
    shown, whole = show(value)
    sign = "=" if exact and whole else "≈"
    written = " ".join(expression.split()).removesuffix("=").strip()
    short = written if len(written) <= 120 else written[:119] + "…"
    result = {"expression": written, "result": shown, "number": _as_float(value), "exact": sign == "="}
    return ToolResult(result, f"{short} {sign} {shown}")


def _as_float(value: Number) -> float | int | None:
    if isinstance(value, int) and -(2**53) < value < 2**53:
        return value
    return float(value) if -_LARGEST < value < _LARGEST else None
