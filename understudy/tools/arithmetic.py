"""`calculate`: arithmetic as people write it, exact whenever possible.

A precedence-climbing parser computes values while it reads; nothing is evaluated as Python. Whole numbers are exact,
decimals have 40 significant digits, of which 28 are shown.

Every step is bounded, so no expression occupies a thread for long: the length of the text, the depth of parentheses,
the digits of whole numbers and the exponents of decimals.
"""

import decimal
import math
import re
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from types import MappingProxyType
from typing import Annotated, Final, NamedTuple, TypeAlias

from attrs import define

from understudy.tools.errors import ToolError
from understudy.tools.result import ToolResult
from understudy.tools.schema import Param
from understudy.tools.tool import tool

Number: TypeAlias = int | Decimal

MAX_LENGTH: Final = 1_000
MAX_DEPTH: Final = 50
# Digits carried and digits shown: the twelve between them hide the rounding of intermediate steps.
PRECISION: Final = 40
SHOWN: Final = 28
MAX_EXPONENT: Final = 9_999
MAX_BITS: Final = 3_400
"""Binary digits of a whole number (about 1,000 decimal ones); a larger result is refused."""

_CONTEXT: Final = Context(
    prec=PRECISION,
    Emax=MAX_EXPONENT,
    Emin=-MAX_EXPONENT,
    traps=[decimal.Overflow, decimal.InvalidOperation, decimal.DivisionByZero],
    rounding=ROUND_HALF_EVEN,
)
_ROUNDED: Final = Context(prec=SHOWN, rounding=ROUND_HALF_UP)
_LARGEST: Final = Decimal("1e308")  # of a double

_TOKEN: Final = re.compile(
    r"""(?<!\s)\s*+(?:
    (?P<number>(?:[0-9]+(?:_[0-9]+)*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    |(?P<name>[A-Za-zπτ][A-Za-z0-9]*)
    |(?P<sign>\*\*|//|[-+*/%^(),])
    |(?P<wrong>\S))""",
    re.VERBOSE,
)
_SPELLINGS: Final = str.maketrans({"×": "*", "·": "*", "⋅": "*", "∗": "*", "÷": "/", "∕": "/", "−": "-", "–": "-"})  # noqa: RUF001
_CALL: Final = re.compile(r"[A-Za-z]\s*\(")
# 1,000,000: commas between groups of three digits. In an expression with a call they may separate its arguments.
_GROUPED: Final = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?![\d,])")

# Binding strengths of the binary operators. Unary minus binds less than a power: -2**2 is -4, as in Python and in
# print.
_BINDING: Final = {"+": 10, "-": 10, "*": 20, "/": 20, "//": 20, "%": 20, "of": 20, "**": 40, "^": 40}
_UNARY: Final = 30


class _Token(NamedTuple):
    kind: str  # number, name, sign or end
    text: str


class _Term(NamedTuple):
    value: Number
    percent: bool = False  # written as a percentage: ``200 + 10%`` adds a tenth of 200


def evaluate(expression: str) -> tuple[Number, bool]:
    """Return the value of an expression, and whether it is exact.

    Raises `ToolError` ``invalid_arguments`` for text that is not arithmetic, has no value (a division by zero, the
    root of a negative number) or exceeds a bound.
    """
    if len(expression) > MAX_LENGTH:
        raise _refused(f"The expression is longer than {MAX_LENGTH:,} characters.")
    with decimal.localcontext(_CONTEXT) as arithmetic:
        try:
            parser = _Parser(_tokens(expression))
            value = +parser.expression(0).value
        except decimal.Overflow:
            raise _refused("The result is too large to be written down.") from None
        except decimal.DecimalException:
            raise _refused("That has no value in the real numbers.") from None
        after = parser.tokens[parser.position]
        if after.kind != "end":
            raise _refused(f"“{after.text}” was not expected there; an operator may be missing before it.")
        return value, not arithmetic.flags[decimal.Inexact]


def _refused(why: str) -> ToolError:
    return ToolError("invalid_arguments", why)


def _tokens(expression: str) -> list[_Token]:
    text = expression.strip().removesuffix("=").translate(_SPELLINGS)
    if not _CALL.search(text):
        text = _GROUPED.sub(lambda found: found[0].replace(",", ""), text)
    tokens = [_Token(found.lastgroup or "", found[found.lastgroup or ""]) for found in _TOKEN.finditer(text)]
    if not tokens:
        raise _refused("There is nothing to calculate.")
    for token in tokens:
        if token.kind == "wrong":
            raise _refused(f"“{token.text}” is not part of arithmetic.")
    return [*tokens, _Token("end", "the end")]


@define
class _Parser:
    """Reads tokens from left to right; each method returns the value of the tokens it has read."""

    tokens: list[_Token]
    position: int = 0
    _depth: int = 0

    def expression(self, strength: int) -> _Term:
        """Read an operand and every operator after it that binds more than `strength`."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _refused(f"The expression is nested more than {MAX_DEPTH} deep.")
        left = self._operand()
        while True:
            if isinstance(left.value, int) and left.value.bit_length() > MAX_BITS:
                raise _refused("The result has more than 1,000 digits.")
            sign = self.tokens[self.position].text
            if sign not in _BINDING:
                break
            kind, after = self.tokens[self.position + 1]
            # The remainder needs an operand after it, as in 10 % 3; 50% - 10 and 15% of 200 have percentages.
            if sign == "%" and not (kind == "number" or after == "(" or (kind == "name" and after != "of")):
                left = _Term(_divide(left.value, 100), percent=True)
                self.position += 1
                continue
            binding = _BINDING[sign]
            if binding <= strength:
                break
            self.position += 1
            # A power is right-associative: 2**3**2 is 2**9.
            right = self.expression(binding - 1 if sign in ("**", "^") else binding)
            left = _Term(_apply(sign, left.value, right))
        self._depth -= 1
        return left

    def _operand(self) -> _Term:
        kind, text = self.tokens[self.position]
        self.position += 1
        if kind == "number":
            digits = text.replace("_", "")
            if digits.isdigit():
                return _Term(int(digits))
            if abs(Decimal(digits).adjusted()) > 1_000:
                raise _refused(f"{text} is too large or too small to calculate with.")
            return _Term(Decimal(digits))
        if text in ("-", "+"):
            term = self.expression(_UNARY)
            return _Term(-term.value, term.percent) if text == "-" else term
        if text == "(":
            value = self.expression(0).value
            self._close()
            return _Term(value)
        if kind == "name":
            return _Term(self._named(text))
        raise _refused(f"A number is missing before {text}.")

    def _named(self, name: str) -> Number:
        known = name.lower()
        if self.tokens[self.position].text != "(":
            if known not in CONSTANTS:
                names = ", ".join((*CONSTANTS, *FUNCTIONS))
                raise _refused(f"“{name}” is not a number; the known names are {names}.")
            return +CONSTANTS[known]  # rounded here, which marks the result as inexact
        if known not in FUNCTIONS:
            raise _refused(f"There is no function “{name}”; the known ones are {', '.join(FUNCTIONS)}.")
        given: list[Number] = []
        while not given or self.tokens[self.position].text == ",":
            self.position += 1
            given.append(self.expression(0).value)
        self._close()
        if known in ("min", "max"):
            return FUNCTIONS[known](given)
        if known not in _SECOND and len(given) > 1:
            raise _refused(f"{known} takes one number, not {len(given)}.")
        if len(given) > 2:
            raise _refused(f"{known} takes a number and, if wanted, {_SECOND[known]}.")
        return FUNCTIONS[known](*given)

    def _close(self) -> None:
        token = self.tokens[self.position]
        if token.text != ")":
            raise _refused(f"“)” is missing before {token.text}.")
        self.position += 1


def _apply(sign: str, left: Number, term: _Term) -> Number:
    right = term.value
    match sign:
        case "+" | "-":
            # As on pocket calculators: an added or subtracted percentage is a part of the left side.
            step = left * right if term.percent else right
            return left + (step if sign == "+" else -step)
        case "*" | "of":
            return left * right
        case "/":
            return _divide(left, right)
        case "//" | "%":
            return _floor_divide(left, right)[sign == "%"]
        case _:
            return _power(left, right)


def _divide(left: Number, right: Number) -> Number:
    if right == 0:
        raise _refused("A division by zero has no value.")
    if isinstance(left, int) and isinstance(right, int) and left % right == 0:
        return left // right
    return Decimal(left) / Decimal(right)


def _floor_divide(left: Number, right: Number) -> tuple[Number, Number]:
    """Return quotient and remainder, rounding down as Python does for integers: -7 // 2 is -4."""
    if right == 0:
        raise _refused("A division by zero has no value.")
    if isinstance(left, int) and isinstance(right, int):
        return divmod(left, right)
    quotient, remainder = divmod(Decimal(left), Decimal(right))
    if remainder and (remainder < 0) != (right < 0):
        return quotient - 1, remainder + right
    return quotient, remainder


def _power(base: Number, exponent: Number) -> Number:
    if base == 0 and exponent < 0:
        raise _refused("Zero to a negative power is a division by zero.")
    if base == 0 and exponent == 0:
        return 1
    if base < 0 and exponent != int(exponent):
        raise _refused("A negative number to a broken power has no real value.")
    if isinstance(base, int) and isinstance(exponent, int) and exponent >= 0:
        if base in (0, 1, -1):
            return base if exponent % 2 else base * base
        if exponent * base.bit_length() > MAX_BITS:
            raise _refused("The result of that power has more than 1,000 digits.")
        return int(base**exponent)
    return Decimal(base) ** Decimal(exponent)


def _sqrt(value: Number) -> Number:
    if value < 0:
        raise _refused("The square root of a negative number is not a real number.")
    root = Decimal(value).sqrt()
    return int(root) if isinstance(value, int) and root == int(root) and int(root) ** 2 == value else root


def _round(number: Number, places: Number = 0) -> Number:
    """Round halves away from zero, as taught in schools: round(2.5) is 3."""
    if places != int(places) or not -30 <= places <= 30:
        raise _refused("round takes a whole number of decimals, between -30 and 30.")
    value = Decimal(number)
    if value.adjusted() + int(places) >= PRECISION:
        return number
    with decimal.localcontext():  # a requested rounding does not make the result inexact
        rounded = value.quantize(Decimal(1).scaleb(-int(places)), rounding=ROUND_HALF_UP)
    return int(rounded) if rounded == int(rounded) else rounded


def _log(value: Number, base: Number | None = None) -> Number:
    if value <= 0 or (base is not None and base <= 0):
        raise _refused("Only numbers above zero have a logarithm.")
    if base is None:
        return Decimal(value).ln()
    if base == 1:
        raise _refused("There is no logarithm to the base 1.")
    return Decimal(value).log10() if base == 10 else Decimal(value).ln() / Decimal(base).ln()


_SECOND: Final = {"round": "how many decimals", "log": "the base"}
"""The functions with an optional second argument, and its meaning. `min` and `max` take a list."""

FUNCTIONS: Final[Mapping[str, Callable[..., Number]]] = MappingProxyType(
    {
        "sqrt": _sqrt,
        "round": _round,
        "min": min,
        "max": max,
        "abs": abs,
        "log": _log,
        "ln": _log,
        "log10": lambda value: _log(value, 10),
        "log2": lambda value: _log(value, 2),
        "exp": lambda value: Decimal(value).exp(),
        "floor": math.floor,
        "ceil": math.ceil,
    }
)

_PI: Final = Decimal("3.14159265358979323846264338327950288419716939937510582")
_TAU: Final = Decimal("6.28318530717958647692528676655900576839433879875021164")
CONSTANTS: Final[Mapping[str, Decimal]] = MappingProxyType(
    {"pi": _PI, "π": _PI, "tau": _TAU, "τ": _TAU}
    | {"e": Decimal("2.71828182845904523536028747135266249775724709369995957")}
)


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
    number: float | None = float(value) if -_LARGEST < value < _LARGEST else None
    if isinstance(value, int):
        shown = str(value)
        number = value if -(2**53) < value < 2**53 else number
    else:
        rounded = _ROUNDED.plus(value)
        exact = exact and rounded == value
        short = rounded.normalize() if rounded else Decimal(0)
        shown = f"{short:f}" if -12 <= short.adjusted() < SHOWN else str(short)
    written = " ".join(expression.split()).removesuffix("=").strip()
    head = written if len(written) <= 120 else written[:119] + "…"
    result = {"expression": written, "result": shown, "number": number, "exact": exact}
    return ToolResult(result, f"{head} {'=' if exact else '≈'} {shown}")
