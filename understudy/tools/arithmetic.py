"""`calculate`: arithmetic as people write it, exact whenever possible; and `find_expression`, which recognizes it.

Python's parser reads an expression, but it is not evaluated as Python: the operators and functions below are applied to
decimals. Length, depth, digits and exponents are bounded, and so is the time.
"""

import ast
import decimal
import operator
import re
from contextlib import suppress
from decimal import Context, Decimal
from functools import partial
from typing import Annotated, Any, Final

from understudy.tools.errors import ToolError
from understudy.tools.result import ToolResult
from understudy.tools.schema import Param
from understudy.tools.tool import tool

MAX_LENGTH: Final = 1_000  # characters of an expression
MAX_DEPTH: Final = 50  # levels of nesting
DIGITS: Final = 320  # digits of a number; an operation on two such numbers takes at most some milliseconds
SHOWN: Final = 28  # digits of a fractional or rounded result
_CONTEXT: Final = Context(prec=DIGITS, Emax=9_999, Emin=-9_999)
_ROUNDED: Final = Context(prec=SHOWN, rounding=decimal.ROUND_HALF_UP)
_FUNCTIONS: Final[dict[str, Any]] = {
    **{"sqrt": Decimal.sqrt, "min": min, "max": max, "abs": abs, "exp": Decimal.exp},
    **{"ln": Decimal.ln, "log10": Decimal.log10, "log2": lambda value: value.log10() / Decimal(2).log10()},
    "log": lambda value, base=None: value.ln() if base is None else value.log10() / base.log10(),
    "floor": partial(Decimal.to_integral_value, rounding=decimal.ROUND_FLOOR),
    "ceil": partial(Decimal.to_integral_value, rounding=decimal.ROUND_CEILING),
    # Halves are rounded away from zero, as taught in schools. A requested rounding does not make the result inexact.
    "round": lambda value, places=0: value.scaleb(places).to_integral_value(decimal.ROUND_HALF_UP).scaleb(-places),
    "pi": lambda: Decimal("3.14159265358979323846264338327950288419716939937510582") / 3 * 3,  # sets the flag Inexact
    **{"e": lambda: Decimal(1).exp(), "_percent": lambda value: value / 100},
}
_OPERATORS: Final[dict[type[ast.operator], Any]] = {
    **{ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv},
    # Quotients are rounded down, as for Python's integers: -7 // 3 is -3, and -7 % 3 is 2.
    **{ast.Mod: lambda a, b: (a % b + b) % b, ast.FloorDiv: lambda a, b: (a - (a % b + b) % b) / b},
    ast.Pow: operator.pow,
}
_NODES: Final = (ast.BinOp, ast.UnaryOp, ast.Call, ast.Name, ast.Constant, ast.operator, ast.unaryop, ast.expr_context)
_NAMES: Final = [name for name in _FUNCTIONS if name not in ("pi", "e", "_percent")]
_SPELLINGS: Final = str.maketrans(dict(zip("×·⋅∗÷∕−–", "****//--", strict=True)) | {"^": "**", "π": "pi"})  # noqa: RUF001
_NUMBER: Final = r"(?<![\w.])(?:\d[\d_]*+(?:\.\d*+)?|\.\d++)(?:e[+-]?\d++)?"
_NAME: Final = rf"\b(?:(?:{'|'.join(_NAMES)}) ?\(|(?:pi|e)\b(?! ?\())"
_TOKEN: Final = re.compile(rf"{_NUMBER}(?![\w.])|{_NAME}|(?<![\d)])(?<![\d)] )\(|[-+*/%),]", re.A)
# A number with % is a percentage unless an operand follows: 10 % 3 is a remainder.
_PERCENT: Final = re.compile(rf"({_NUMBER}) ?%(?! ?(?:[\d.(]|(?!of\b)[a-z]))( ?of\b)?", re.A)
_GROUPED: Final = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?![\d,])", re.A)  # 1,000,000
_QUESTION: Final = re.compile(
    r"\s*(?:(?:please|and),?\s+)?(?P<cue>(?:what\s+is|what['’]?s|how\s+much\s+is|calculate|compute)[\s:]+)?"  # noqa: RUF001
    r"(?P<expression>[^\r\n]+?)\s*(?P<equals>=\s*)?[?.]*(?:,?\s+(?:please|use\s+your\s+calculator)[.!?]*)*\s*",
    re.I,
)
# Dates, phone numbers, ranges and names are not arithmetic. Two numbers with - or / are, only if the text asks for it.
_OTHER: Final = re.compile(r"(?:(?<![\d.])\d+|\(\d+\))([-–/])\d+\1\d+|\d–\d|\be-\d", re.I)  # noqa: RUF001
_DOUBTFUL: Final = re.compile(r"[\d.,]+[-/][\d.,]+")
_refused: Final = partial(ToolError, "invalid_arguments")


def find_expression(text: str) -> str | None:
    """Return the arithmetic that a whole text consists of, such as “What is 15% of 80?”; None for any other text."""
    match = _QUESTION.fullmatch(text) if len(text) <= MAX_LENGTH else None
    term = match["expression"] if match else ""
    if not match or _OTHER.search(term) or (_DOUBTFUL.fullmatch(term) and not (match["cue"] or match["equals"])):
        return None
    with suppress(ToolError):
        kinds = {getattr(node, "id", type(node)) for node in ast.walk(_parsed(term)[0])}
        if ast.Constant in kinds and not kinds.isdisjoint({ast.BinOp, *_NAMES}):
            return term
    return None


def _parsed(expression: str) -> tuple[ast.expr, str]:
    """Return the tree of an expression, and the text in Python's notation that its positions refer to."""
    if len(expression) > MAX_LENGTH:
        raise _refused(f"The expression is longer than {MAX_LENGTH:,} characters.")
    text = " ".join(expression.lower().rstrip(" =\n").split()).translate(_SPELLINGS)
    if not re.search(r"[a-z] ?\(|\d\(", text):
        text = _GROUPED.sub(lambda match: match[0].replace(",", ""), text)
    elif re.search(r"\d,\d{3}(?!\d)", text):
        raise _refused("In a function a comma separates numbers: write a space after it, and 1000 for 1,000.")
    if stray := _TOKEN.sub(" ", _PERCENT.sub(" ", text)).split():
        raise _refused(f"“{stray[0]}” is not understood there; known are + - * / // % **, pi, e, {', '.join(_NAMES)}.")
    source = _PERCENT.sub(r"_percent(\1)\2", text).replace("of", "*")
    with suppress(SyntaxError, ValueError, MemoryError, RecursionError):
        tree = ast.parse(source, mode="eval").body
        if all(isinstance(node, _NODES) for node in ast.walk(tree)):
            return tree, source
    raise _refused("A number, an operator, a comma or a bracket is missing or in the wrong place.")


def _value(node: Any, source: str, depth: int = 0) -> Decimal:
    if depth > MAX_DEPTH:
        raise _refused(f"The expression is nested more than {MAX_DEPTH} deep.")
    chain = []  # the left side is walked by a loop, because a long sum is a deep tree on that side
    while isinstance(node, ast.BinOp):
        chain.append(node)
        node = node.left
    if isinstance(node, ast.Constant):
        value = +Decimal(source[node.col_offset : node.end_col_offset])
    elif isinstance(node, ast.UnaryOp):
        value = _value(node.operand, source, depth + 1) * (-1 if isinstance(node.op, ast.USub) else 1)
    else:  # a call, or a constant such as pi, which is a function without arguments
        name = getattr(node, "func", node).id
        value = _FUNCTIONS[name](*(_value(part, source, depth + 1) for part in getattr(node, "args", ())))
    for step in reversed(chain):
        right = _value(step.right, source, depth + 1)
        if isinstance(step.op, (ast.Add, ast.Sub)) and (_is_percentage(step.left) or _is_percentage(step.right)):
            raise _refused("An added percentage is ambiguous: write 10% of 200, 200 + 10% of 200 or 200 * 110%.")
        value = _OPERATORS[type(step.op)](value, right)
    if not value.is_finite():
        raise decimal.InvalidOperation
    return value


def _is_percentage(node: Any) -> bool:
    while isinstance(node, ast.UnaryOp):
        node = node.operand
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_percent"


@tool(retry_safe=True, timeout_s=5.0)
def calculate(
    expression: Annotated[str, Param("Such as (17.5 + 3) * 4, 15% of 80 or round(2/3, 2).", format="expression")],
) -> ToolResult:
    """Calculate with + - * / // % **, parentheses, percentages, sqrt, round, min, max, abs, log, exp, floor, ceil."""
    with decimal.localcontext(_CONTEXT) as context:
        try:
            value = _value(*_parsed(expression)) + 0
        except decimal.Overflow:
            raise _refused("The result is too large to be written down.") from None
        except decimal.DecimalException:
            raise _refused("That has no value: it divides by zero, or asks for what no real number is.") from None
        except TypeError:
            raise _refused("A function was given too many numbers, or too few.") from None
        exact, whole = not context.flags[decimal.Inexact], value.to_integral_value()
    shown = f"{whole:f}"
    if not exact or value != whole or value.adjusted() >= DIGITS:
        short = value.normalize(_ROUNDED)
        exact = exact and short == value
        shown = f"{short:f}" if -12 <= short.adjusted() < SHOWN else str(short)
    number = int(whole) if value == whole and abs(value) < 2**53 else float(value) if abs(value) < 10**308 else None
    written = " ".join(expression.rstrip(" =\n").split())
    head = written if len(written) <= 120 else written[:119] + "…"
    result = {"expression": written, "result": shown, "number": number, "exact": exact}
    return ToolResult(result, f"{head} {'=' if exact else '≈'} {shown}")
