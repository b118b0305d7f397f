"""Finds arithmetic in a text, written in signs or in words. It is not evaluated here."""

import re
from collections.abc import Iterator
from typing import Final

from understudy.models.offline.scan import CUT, DATE

_MATH: Final = re.compile(
    r"(?P<number>\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)|(?P<sign>\*\*|//|[-+*/^%()])|(?P<word>[A-Za-z]\w*)|(?P<comma>,)|(?P<other>\S)"
)
_SPOKEN: Final = (
    (re.compile(r"\bsquare root of (\d+(?:\.\d+)?)", re.IGNORECASE), r"sqrt(\1)"),
    (re.compile(r"\b(?:multiplied by|times)\b", re.IGNORECASE), "*"),
    (re.compile(r"\bdivided by\b", re.IGNORECASE), "/"),
    (re.compile(r"\bto the power of\b", re.IGNORECASE), "**"),
    (re.compile(r"\bplus\b", re.IGNORECASE), "+"),
    (re.compile(r"\bminus\b", re.IGNORECASE), "-"),
    (re.compile(r"\bpercent of\b", re.IGNORECASE), "% of"),
    (re.compile(r"(\d)\s?squared\b", re.IGNORECASE), r"\1**2"),
)
_FUNCTIONS: Final = frozenset(
    {"sqrt", "round", "min", "max", "abs", "log", "ln", "log10", "log2", "exp", "floor", "ceil"}
)
_CONSTANTS: Final = frozenset({"pi", "tau"})

_CUT_WORD: Final = re.compile(rf"\b[^\W\d]\w*+(?={CUT})|(?<={CUT})[^\W\d]\w*")
_SIGNS: Final = str.maketrans({"\u00d7": "*", "\u00b7": "*", "\u00f7": "/", "\u2212": "-"})
_OPERATORS: Final = frozenset({"+", "-", "*", "/", "**", "//", "^", "%", "of"})
_LEADING_NOWHERE: Final = _OPERATORS - {"-"} | {")", ","}
_TRAILING_NOWHERE: Final = _OPERATORS - {"%"} | {"(", ","}


def expressions(text: str) -> list[str]:
    """Return the arithmetic in a text, in order: stretches with at least one operator between operands, or a function
    call.

    A stretch at a place where the text was cut is left out: half a sum is a wrong sum.
    """
    for spoken, written in _SPOKEN:
        text = spoken.sub(written, text)
    text = _CUT_WORD.sub("", DATE.sub(" ; ", text.translate(_SIGNS)))
    found = []
    for stretch in _stretches(text):
        run = _trimmed(stretch)
        operands = sum(_is_number(each) or each in _CONSTANTS for each in run)
        called = any(each in _FUNCTIONS for each in run)
        if operands and (called or (operands > 1 and any(each in _OPERATORS for each in run[1:]))):
            found.append(_joined(run))
    return found


def _stretches(text: str) -> Iterator[list[str]]:
    """Yield the runs of tokens that may be arithmetic."""
    run: list[str] = []
    depth = 0
    last_end, last_word, cut = -1, False, False
    for match in _MATH.finditer(text):
        kind, sign = match.lastgroup, match[0]
        glued = last_word and match.start() == last_end and sign != "("  # A-17 is a name, not a difference
        follows = sign.lower() == "of" and run[-1:] == ["%"]
        known = sign.lower() in _FUNCTIONS and text[match.end() : match.end() + 1] == "("
        fits = (
            kind in ("number", "sign")
            or follows
            or known
            or sign.lower() in _CONSTANTS
            or (kind == "comma" and depth > 0)
        )
        last_word = (kind == "word" and not (known or follows or sign.lower() in _CONSTANTS)) or (glued and last_word)
        last_end = match.end()
        if fits and not glued:
            run.append(sign.lower())
            depth += (sign == "(") - (sign == ")")
            if kind == "number" and len(run) > 1 and _is_number(run[-2]):
                if not cut:
                    yield run[:-1]
                run, depth, cut = [sign], 0, False
        else:
            if run and not cut and sign != CUT:
                yield run
            run, depth, cut = [], 0, sign == CUT
    if run and not cut:
        yield run


def _is_number(sign: str) -> bool:
    return sign[0].isdigit() or sign[0] == "."


def _trimmed(run: list[str]) -> list[str]:
    """Remove operators and brackets without an operand at both ends."""
    start, end = 0, len(run)
    while start < end and run[start] in _LEADING_NOWHERE:
        start += 1
    while start < end and run[end - 1] in _TRAILING_NOWHERE:
        end -= 1
    inner = run[start:end]
    opened = inner.count("(") - inner.count(")")
    while opened > 0 and inner[:1] == ["("]:
        inner, opened = inner[1:], opened - 1
    while opened < 0 and inner[-1:] == [")"]:
        inner, opened = inner[:-1], opened + 1
    return inner if opened == 0 else []


def _joined(run: list[str]) -> str:
    """Return the expression with spaces around its operators, and none after a sign: ``-2 + 3 * (4 - 1)``."""
    text, before = "", "("
    for each in run:
        signed = each in {"+", "-"} and not (_is_number(before) or before in {")", "%"} | _CONSTANTS)
        operator = each in {"+", "-", "*", "/", "//", "of"} and not signed
        text += f" {each} " if operator else ", " if each == "," else each
        before = each
    return text
