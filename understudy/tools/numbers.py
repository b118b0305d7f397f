"""The numbers of `calculate`: whole numbers exact, decimals with 40 digits, and the functions on them."""

import decimal
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal
from types import MappingProxyType
from typing import Final, TypeAlias

Number: TypeAlias = int | Decimal

# Digits carried, and digits shown: the twelve between them hide the rounding of intermediate steps.
PRECISION: Final = 40
SHOWN: Final = 28
MAX_EXPONENT: Final = 9_999
# Whole numbers stay exact up to this many binary digits (about 1,000 decimal ones).
MAX_BITS: Final = 3_400

PI: Final = Decimal("3.14159265358979323846264338327950288419716939937510582")
E: Final = Decimal("2.71828182845904523536028747135266249775724709369995957")


class NotCalculable(ValueError):
    """An expression cannot be calculated; the text is a sentence for the user."""


def context() -> Context:
    """The arithmetic of one calculation; its `Inexact` flag says afterwards whether anything was rounded."""
    traps = [decimal.Overflow, decimal.InvalidOperation, decimal.DivisionByZero]
    return Context(prec=PRECISION, Emax=MAX_EXPONENT, Emin=-MAX_EXPONENT, traps=traps, rounding=decimal.ROUND_HALF_EVEN)


def add(left: Number, right: Number) -> Number:
    """`left` and `right` together. Raises `Refused` past the bounds, as every operation here does."""
    return _bounded(left + right)


def multiply(left: Number, right: Number) -> Number:
    """`left` times `right`."""
    return _bounded(left * right)


def _bounded(value: Number) -> Number:
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise NotCalculable("The result has more than 1,000 digits.")
    return value


def divide(left: Number, right: Number) -> Number:
    """`left` over `right`, whole when it comes out even. Raises `Refused` for a zero below."""
    if right == 0:
        raise NotCalculable("A division by zero has no value.")
    if isinstance(left, int) and isinstance(right, int) and left % right == 0:
        return left // right
    return Decimal(left) / Decimal(right)


def power(base: Number, exponent: Number) -> Number:
    """`base` to the power of `exponent`. Raises `Refused` for a result past the bounds, or outside the real numbers."""
    if base == 0 and exponent < 0:
        raise NotCalculable("Zero to a negative power is a division by zero.")
    if base == 0 and exponent == 0:
        return 1
    if base < 0 and exponent != int(exponent):
        raise NotCalculable("A negative number to a broken power has no real value.")
    if isinstance(base, int) and isinstance(exponent, int) and exponent >= 0:
        if base in (0, 1, -1):
            return base if exponent % 2 else base * base
        if exponent * base.bit_length() > MAX_BITS:
            raise NotCalculable("The result of that power has more than 1,000 digits.")
        whole: int = base**exponent
        return whole
    result: Decimal = Decimal(base) ** Decimal(exponent)
    return result


def show(value: Number) -> tuple[str, bool]:
    """`value` in digits, and whether these are all its digits. Very large and small ones are written as 1.5E+40."""
    if isinstance(value, int):
        return str(value), True
    rounded = Context(prec=SHOWN, rounding=ROUND_HALF_UP).plus(value)
    whole = rounded == value
    short = rounded.normalize()
    if short == 0:
        return "0", whole
    digits = f"{short:f}" if -12 <= short.adjusted() < SHOWN else str(short)
    return digits, whole


def _inexact(value: Decimal) -> Decimal:
    decimal.getcontext().flags[decimal.Inexact] = True
    return +value


def _one(name: str, given: Sequence[Number]) -> Number:
    if len(given) != 1:
        raise NotCalculable(f"{name} takes one number, not {len(given)}.")
    return given[0]


def _sqrt(given: Sequence[Number]) -> Number:
    value = _one("sqrt", given)
    if value < 0:
        raise NotCalculable("The square root of a negative number is not a real number.")
    root = Decimal(value).sqrt()
    return int(root) if isinstance(value, int) and root == int(root) and int(root) ** 2 == value else root


def _round(given: Sequence[Number]) -> Number:
    """Halves go away from zero, as taught in schools: round(2.5) is 3."""
    if len(given) not in (1, 2):
        raise NotCalculable("round takes a number and, if wanted, how many decimals.")
    places = given[1] if len(given) == 2 else 0
    if places != int(places) or not -30 <= places <= 30:
        raise NotCalculable("round takes a whole number of decimals, between -30 and 30.")
    value = Decimal(given[0])
    if value.adjusted() + int(places) >= PRECISION:
        return given[0]
    with decimal.localcontext():  # a rounding that was asked for does not make the result a guess
        rounded = value.quantize(Decimal(1).scaleb(-int(places)), rounding=ROUND_HALF_UP)
    return int(rounded) if rounded == int(rounded) else rounded


def _abs(given: Sequence[Number]) -> Number:
    value = _one("abs", given)
    return -value if value < 0 else value


def _log(given: Sequence[Number]) -> Number:
    if len(given) not in (1, 2):
        raise NotCalculable("log takes a number and, if wanted, the base.")
    if any(each <= 0 for each in given):
        raise NotCalculable("Only numbers above zero have a logarithm.")
    if len(given) == 1:
        return Decimal(given[0]).ln()
    if given[1] == 1:
        raise NotCalculable("There is no logarithm to the base 1.")
    if given[1] == 10:
        return Decimal(given[0]).log10()
    return Decimal(given[0]).ln() / Decimal(given[1]).ln()


def _whole(name: str, rounding: str) -> Callable[[Sequence[Number]], Number]:
    return lambda given: int(Decimal(_one(name, given)).to_integral_value(rounding))


def _fixed_base(name: str, base: int) -> Callable[[Sequence[Number]], Number]:
    return lambda given: _log([_one(name, given), base])


FUNCTIONS: Final[Mapping[str, Callable[[Sequence[Number]], Number]]] = MappingProxyType(
    {
        "sqrt": _sqrt,
        "round": _round,
        "min": lambda given: min(given),
        "max": lambda given: max(given),
        "abs": _abs,
        "log": _log,
        "ln": lambda given: _log([_one("ln", given)]),
        "log10": _fixed_base("log10", 10),
        "log2": _fixed_base("log2", 2),
        "exp": lambda given: Decimal(_one("exp", given)).exp(),
        "floor": _whole("floor", ROUND_FLOOR),
        "ceil": _whole("ceil", ROUND_CEILING),
    }
)

CONSTANTS: Final[Mapping[str, Callable[[], Number]]] = MappingProxyType(
    {
        "pi": lambda: _inexact(PI),
        "π": lambda: _inexact(PI),
        "tau": lambda: _inexact(2 * PI),
        "τ": lambda: _inexact(2 * PI),
        "e": lambda: _inexact(E),
    }
)
