"""Decides whether a word is spelled to look like another: by its letters or, if they are ambiguous, its neighbours."""

import re
from itertools import groupby
from typing import Final

from sanitization.code_points import char_class, members

from .confusable_data import DRESSED, LOOKS, ranges_of

NEARBY: Final = 32  # characters around a word whose words show the script of the text
_FANCY_MIN: Final = 4  # letters of a word in wide, mathematical, enclosed, raised or small capital ones alone
_CAPITALS_MIN: Final = 5  # capitals come in shorter runs in formulas and lists
_SHORT: Final = 3


# Letters that identify a script: those that do not look Latin.
def _telling(script: str, *blocks: tuple[int, int]) -> re.Pattern[str]:
    same = {letter for letter, look in LOOKS.items() if look.script == script and look.same}
    return re.compile(f"[{char_class(ranges_of(members(blocks) - same))}]")


_TELLING: Final = {
    "cyrillic": _telling("cyrillic", (0x0400, 0x052F)),
    "greek": _telling("greek", (0x0370, 0x03FF), (0x1F00, 0x1FFF)),
    "armenian": _telling("armenian", (0x0531, 0x0587)),
    "wide": re.compile("[\u3001-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uff66-\uff9f]"),
}
_FUNCTION: Final = re.compile("sin|cos|tan|cot|sec|log|ln|exp|lim|max|min|arg|det|mod|gcd|sup|inf|var|cov|dim|ker")
_FANCY: Final = re.compile(f"[{char_class(ranges_of(DRESSED))}]{{{_FANCY_MIN},{NEARBY}}}")
# Shapes of words: see `SHAPES`.
_ANY: Final = "cCkKgGwWhHoOrR"
_SAME: Final = "cCgGhHoO"
_OF_SCRIPTS: Final = re.compile(f"[{_ANY}]")
_RESEMBLES: Final = re.compile("[kKwWrR]")
_TOUCHES: Final = re.compile(f"[aA][{_ANY}]|[{_ANY}][aA]")  # across a `_` or a digit nothing does
_ENDING: Final = re.compile("[A0]{2,}a?[ckgwhor]+")  # a Russian or Greek one, on an acronym
_INSIDE: Final = re.compile(f"[aA][{_SAME}]+[aA]|a[{_ANY}]{{1,2}}a")
_AT_EDGES: Final = re.compile(f"(?:[kK](?=a{{3}})|[{_SAME}]+)?(?:[aA0]+[{_SAME}]+)*[aA0]*")
# Greek letters are also symbols: those that only resemble must stand among small Latin ones, no more than two.
_SYMBOL: Final = re.compile(
    f"(?:^|[A0])[{_ANY}]{{0,64}}[wWrR]|[wWrR][{_ANY}]{{0,64}}(?:$|[A0])"
    f"|[wWrR][{_ANY}]{{2}}|[{_ANY}][wWrR][{_ANY}]|[{_ANY}]{{2}}[wWrR]"
)
_TRAILS: Final = re.compile(f"[aA0]+[{_ANY}]+")
_TOLD_BY: Final = {"c": "cyrillic", "k": "cyrillic", "g": "greek", "w": "greek", "h": "armenian"}
_DOMAIN: Final = re.compile(
    r"\.(?:com|net|org|info|biz|edu|gov|io|ai|co|me|app|dev|xyz|top|shop|online|site|uk|de|fr|us|eu)(?![a-z0-9_-])"
)
_ITALIC: Final = re.compile("[\U0001d434-\U0001d49b\u210e]")
RARE: Final = "\u0455\u04cf\u0501\u051a-\u051d"
"""Cyrillic s, l, d, q and w, which few languages write, and those beside letters of other shapes."""
_HARDLY: Final = re.compile(f"[{RARE}]")


def disguised(text: str, begin: int, end: int, shape: str) -> bool:
    """Return whether the word from `begin` to `end`, of this shape, looks like a Latin one without being it."""
    if "!" in shape:
        return False  # a letter unlike any Latin one: a word of its own script
    foreign = _OF_SCRIPTS.search(shape)
    latin = shape.count("a") + shape.count("A")
    if not foreign:
        return _is_dressed(text, begin, end, latin)
    script = _TOLD_BY.get(foreign[0].lower(), "")
    if not latin:
        return _is_alone(text, begin, end, shape, script)
    if not _TOUCHES.search(shape) or _ENDING.fullmatch(shape):
        return False
    if text[begin - 1 : begin] == "%" or (text[begin - 1 : begin] == "[" and text.startswith("]", end)):
        return False  # a format, with a unit behind it; a choice of letters
    if _RESEMBLES.search(shape):
        if not _INSIDE.search(shape) and not _AT_EDGES.fullmatch(shape):
            return False
        if _SYMBOL.search(shape) or (
            "w" in shape and (len(shape) < _CAPITALS_MIN or _FUNCTION.search(text, begin, end))
        ):
            return False
        if "w" in shape and _is_near("greek", text, begin, end):
            return False
    others = len(shape) - latin - shape.count("0")
    if script and (others >= latin or latin + others < _SHORT or _TRAILS.fullmatch(shape)):
        return not _is_near(script, text, begin, end)
    return True


def _is_dressed(text: str, begin: int, end: int, latin: int) -> bool:
    """Return whether it has ASCII letters in another form, with or without others in their own."""
    word = text[begin:end]
    scripts = {LOOKS[letter].script for letter in word if letter in LOOKS}
    plain = "".join(LOOKS[letter].plain for letter in word if letter in LOOKS and LOOKS[letter].plain.isalpha())
    if not plain:
        return False
    if "wide" in scripts and _is_near("wide", text, begin, end):
        return False
    if latin:
        return _is_half_dressed(word, scripts, len(plain) + latin)
    if scripts == {"roman"} or scripts == {"small_phonetic"}:
        return False
    if scripts == {"mathematical"} and (
        (_ITALIC.match(word) and text.startswith(("(", "_", "^"), end))
        or (plain.lower() in _FUNCTION.findall(plain.lower()))
    ):
        return False
    if scripts == {"raised"} and (len(plain) < len(word) or text[begin - 1 : begin] in (")", "]", "}", "|")):
        return False  # `1ˢᵗ`, an exponent
    least = _CAPITALS_MIN if plain.isupper() and scripts == {"mathematical"} else _FANCY_MIN
    if len(plain) >= least or (scripts == {"wide"} and plain.islower() and len(plain) >= _SHORT):
        return len(set(plain)) > 1
    # `all` beside a longer word.
    before, after = text[max(0, begin - NEARBY) : begin], text[end : end + NEARBY]
    return (
        plain.islower()
        and "raised" not in scripts
        and not (before.strip() and before == before.rstrip())
        and not (after.strip() and after == after.lstrip())
        and any(LOOKS[run[-1]].plain.islower() for run in (*_FANCY.findall(before), *_FANCY.findall(after)))
    )


def _is_half_dressed(word: str, scripts: set[str], letters: int) -> bool:
    """Return whether only some letters of a word are in another form."""
    runs = _runs(word)
    if scripts == {"wide"}:
        return letters >= _SHORT
    if scripts <= {"small", "small_phonetic"}:
        # Some have no small capital, and are left as they are.
        rest = "".join(run for foreign, run in runs if not foreign)
        return "small" in scripts and letters >= _FANCY_MIN and set(rest) <= set("sxfqcovwz")
    if "raised" in scripts or letters < _FANCY_MIN or _FUNCTION.search(word):
        return False
    inside = any(foreign for foreign, _ in runs[1:-1])
    leads = len(runs) == 2 and runs[0][0] and runs[1][1].isalpha() and runs[1][1].islower() and len(runs[1][1]) > 2
    if scripts == {"enclosed"}:
        return inside
    return inside or leads


def _is_alone(text: str, begin: int, end: int, shape: str, script: str) -> bool:
    """Return whether a word without a Latin letter is a label of a Latin domain, or spelled with very rare letters."""
    if not script or len(shape) < _SHORT or len(set(shape.lower())) > 1 or _RESEMBLES.search(shape):
        return False
    if not _DOMAIN.match(text, end) and not _HARDLY.search(text, begin, end):
        return False
    return not _is_near(script, text, begin, end)


def _runs(word: str) -> list[tuple[bool, str]]:
    """Cut the word where look-alikes begin and end."""
    return [(is_foreign, "".join(run)) for is_foreign, run in groupby(word, LOOKS.__contains__)]


def _is_near(script: str, text: str, begin: int, end: int) -> bool:
    """Return whether words around this one are written in that script."""
    telling = _TELLING[script]
    return bool(telling.search(text, max(0, begin - NEARBY), begin) or telling.search(text, end, end + NEARBY))
