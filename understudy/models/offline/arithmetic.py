"""Finds arithmetic in a text, written in signs or in words. It is not evaluated here."""

import re
from collections.abc import Iterator
from typing import Final

from understudy.models.offline.scan import CUT, DATE, MONTH

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
_N: Final = r"(\d+(?:,\d{3})*(?:\.\d+)?)"
_PERCENT: Final = rf"{_N}\s?(?:%|per\s?cent\b)"
_MONEY: Final = r"\s?(?:[€$£]|eur|usd|euros?|dollars?)?"
_FORMS: Final = (
    # Interest is added every year, as the word compound, or none, says.
    (
        rf"\b(?:invest|deposit|save|put|saving|lend|borrow)(?:ed|s)?\s(?:about\s)?[€$£]?\s?{_N}{_MONEY}"
        rf"\s(?:at|with)\s(?:an?\s)?(?:interest\s)?(?:rate\s)?(?:of\s)?{_PERCENT}(?:\s(?:compound\s)?interest)?"
        r"(?:\s(?:an?|per|each)\syear|\s?p\.a\.|\syearly|\sannually)?(?:,?\s(?:compounded\s)?(?:yearly|annually))?"
        r"\sfor\s(\d{1,3})\syears?\b",
        r"\1 * (1 + \2 / 100) ** \3",
    ),
    (rf"\b{_PERCENT}\soff\s(?:of\s)?[€$£]?\s?{_N}", r"\2 * (1 - \1 / 100)"),
    (rf"\b(?:increase|raise|add)\s{_N}\sby\s{_PERCENT}", r"\1 * (1 + \2 / 100)"),
    (rf"\b{_N}\s(?:increased|plus)\s(?:by\s)?{_PERCENT}", r"\1 * (1 + \2 / 100)"),
    (rf"\b(?:decrease|reduce|lower)\s{_N}\sby\s{_PERCENT}", r"\1 * (1 - \2 / 100)"),
    (rf"\b{_N}\s(?:decreased|minus)\s(?:by\s)?{_PERCENT}", r"\1 * (1 - \2 / 100)"),
    (rf"\bhalf\s(?:of\s)?{_N}", r"\1 / 2"),
    (rf"\b(?:double|twice)\s(?:of\s)?{_N}", r"2 * \1"),
    (rf"\bwhat\s(?:percentage|percent|share)\sof\s{_N}\sis\s{_N}", r"100 * \2 / \1"),
    (rf"\b{_N}\sis\swhat\s(?:percentage|percent)\sof\s{_N}", r"100 * \1 / \2"),
    (
        rf"\b(?:percent|percentage)\s(?:increase|decrease|change|difference)\sfrom\s{_N}\sto\s{_N}",
        r"100 * (\2 - \1) / \1",
    ),
    (rf"\b{_PERCENT}\s(?:tip|tax|vat|fee)\son\s[€$£]?\s?{_N}", r"\1% of \2"),
    (rf"\badd\s{_N}\s(?:and|to)\s{_N}", r"\1 + \2"),
    (rf"\bsubtract\s{_N}\sfrom\s{_N}", r"\2 - \1"),
    (rf"\bmultiply\s{_N}\s(?:by|with|and)\s{_N}", r"\1 * \2"),
    (rf"\bdivide\s{_N}\sby\s{_N}", r"\1 / \2"),
    (rf"\bdifference\s(?:between|of)\s{_N}\sand\s{_N}", r"abs(\1 - \2)"),
    (rf"\bcube\sof\s{_N}", r"\1**3"),
    (rf"\b{_N}\scubed\b", r"\1**3"),
    (r"(?<![\d.,/])(\d{1,9})\s?/\s?(\d{1,9})\sof\s" + _N, r"\1 / \2 * \3"),
)
_DIGITS: Final = {
    word: str(number)
    for number, word in enumerate("zero one two three four five six seven eight nine ten eleven twelve".split())  # noqa: SIM905
}
_WORDED: Final = re.compile(
    rf"\b(?:{'|'.join(_DIGITS)})\b(?=\s(?:plus|minus|times|multiplied\sby|divided\sby|to\sthe\spower\sof)\b)"
    rf"|(?:(?<=\bplus\s)|(?<=\bminus\s)|(?<=\btimes\s)|(?<=\bby\s)|(?<=\bpower\sof\s)|(?<=\broot\sof\s))"
    rf"(?:{'|'.join(_DIGITS)})\b",
    re.IGNORECASE,
)
"""Numbers as words beside an operator: two plus two."""
_LISTING: Final = r"(?:\s(?:up|of|these|those|the|following|numbers|values|figures|amounts))"
_HOW: Final = r"total|average|mean|product|maximum|minimum|largest|smallest|highest|lowest"
_WHOLE: Final = r"-?(?>\d{1,3}(?:,\d{3})++(?!\d)|\d{1,30}+)(?:\.\d{1,30}+)?"
LISTED: Final = re.compile(
    rf"\b(?:(?:add|sum){_LISTING}{{0,5}}\s?:?|(?P<how>{_HOW})(?:{_LISTING}{{1,5}}\s?:?|\s?:))\s"
    rf"(?P<list>{_WHOLE}(?:(?:,\s?(?:and\s)?|\sand\s){_WHOLE}){{1,50}})(?![\w%])",
    re.IGNORECASE,
)
"""A sum, an average or an extreme of several numbers."""
_EXTREMES: Final = {
    **dict.fromkeys(("maximum", "largest", "highest"), "max"),
    **dict.fromkeys(("minimum", "smallest", "lowest"), "min"),
}
MAX_ENTRIES: Final = 1_000
"""Characters of numbers in a text that is added up."""
_SUMMING: Final = re.compile(rf"\b(?:add|sum|{_HOW})\b", re.IGNORECASE)
_BETWEEN: Final = re.compile(r"[;\n]|,(?!\d{3}(?!\d))")
_AT_END: Final = re.compile(rf"(?<![\d,.]){_WHOLE}$")
_CODE: Final = re.compile(r"\b[A-Z]{3}\b")
"""A currency, most likely: amounts of several are not added up."""
SPOKEN: Final = frozenset(
    "abs add added an and annually are at average between borrow by calculate ceil cent change come compound "  # noqa: SIM905 (words read better as words)
    "compounded compute cube cubed decrease decreased deposit difference divide divided do does dollar dollars "
    "double eight eleven equal equals eur euro euros evaluate exp fee figures five floor following for four "
    "from get half have highest how if increase increased interest invest invested is it largest lend ln log "
    "log10 log2 lower lowest many max maximum mean min minimum minus much multiplied multiply nine numbers of "
    "off one out per percent percentage pi plus power product put raise rate reduce result root round s save "
    "seven share six smallest solve sqrt square squared subtract sum tau tax ten that the then three times tip "
    "to total twelve twice two usd vat what will with work worth year yearly years zero".split()
)
"""Words of arithmetic in words, and of requests for it."""
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
    text = _WORDED.sub(lambda word: _DIGITS[word[0].lower()], text.translate(_SIGNS))
    text = _listed(text)
    for spoken, written in _SPOKEN:
        text = spoken.sub(written, text)
    text = _CUT_WORD.sub("", MONTH.sub(" ; ", DATE.sub(" ; ", text)))
    found = []
    for stretch in _stretches(text):
        run = _trimmed(stretch)
        operands = sum(_is_number(each) or each in _CONSTANTS for each in run)
        called = any(each in _FUNCTIONS for each in run)
        if operands and (called or (operands > 1 and any(each in _OPERATORS for each in run[1:]))):
            found.append(_joined(run))
    return found


def is_worded(text: str) -> bool:
    """Whether a text says arithmetic in words that stand for one expression, such as interest over years."""
    return any(re.search(form, text, re.IGNORECASE) for form, _ in _FORMS) or LISTED.search(text) is not None


def _listed(text: str) -> str:
    """Return a text with sums and averages of numbers, and percentages in words, as expressions."""

    def written(match: re.Match[str]) -> str:
        numbers = [each.replace(",", "") for each in re.findall(_WHOLE, match["list"])]
        how = (match["how"] or "sum").lower()
        name = _EXTREMES.get(how)
        joined = (", " if name else " * " if how == "product" else " + ").join(numbers)
        if how in ("average", "mean"):
            return f"({joined}) / {len(numbers)}"
        return f"{name}({joined})" if name else joined

    for form, replaced in _FORMS:
        text = re.sub(form, replaced, text, flags=re.IGNORECASE)
    return LISTED.sub(written, text)


def with_entries(instruction: str, body: str) -> str | None:
    """Return an instruction to sum up, with the numbers of a body of nothing else, each with at most a name before it:
    rent 1200, food 400. None for any other."""
    if not _SUMMING.search(instruction) or len(body) > MAX_ENTRIES or _CODE.search(body):
        return None
    numbers = []
    for entry in filter(None, map(str.strip, _BETWEEN.split(body))):
        number = _AT_END.search(entry)
        if number is None or not all(each.isalpha() or each in " '-:=" for each in entry[: number.start()]):
            return None
        numbers.append(number[0])
    return f"{instruction.rstrip(' ?.:!')}: {', '.join(numbers)}" if len(numbers) > 1 else None


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
