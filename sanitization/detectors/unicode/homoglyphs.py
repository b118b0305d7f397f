"""Words that look Latin and are not: letters of other scripts among Latin ones, or Latin letters in another form.

People read such a word differently than machines. It is replaced by the Latin word it looks like, so that later
detectors read what people read. Words of other scripts stay, and so do units, formulas, phonetic script, endings of
Russian and Greek on Latin names (`SMSка`), and wide letters beside Chinese, Japanese and Korean. After UTS #39 (mixed
scripts, skeletons) and browsers' rules for domain names; a doubtful word stays.
"""
# ruff: noqa: RUF001, RUF002 - look-alikes are what this file is about
# ruff: noqa: RUF002 - look-alikes are what this file is about

import unicodedata
from collections.abc import Collection, Iterable, Iterator
from itertools import groupby
from typing import Final, NamedTuple

from sanitization.code_points import Ranges, char_class, members, merged, ranges
from sanitization.confusables import BY_SCRIPT, LATIN, pairs
from sanitization.findings import Category, Hit, Kind, make_hit
from sanitization.late import Late
from sanitization.prefilter import Prefilter


class Look(NamedTuple):
    """A look-alike: the ASCII letter, the script or form, and whether it has exactly the shape of that letter.

    Others (`к` for k, `α` for a) only pass for it among Latin letters, and have legitimate uses beside them.
    """

    plain: str
    script: str
    same: bool


# Letters with exactly the shape of Latin ones; in scripts not named here, all have it.
_SAME: Final = {"cyrillic": "асеорхуіјѕһӏԁԛԝѵАВЕКМНОРСТХУІЈЅҺӀԌԚԜѴҮЬ", "greek": "οϲϳΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹͿ", "round": ""}
_SMALL_CAPITALS: Final = "ɢɪɴʀʏʙʜʟ"  # those of the phonetic alphabet
_DRESSES: Final = (
    ("wide", ((0xFF10, 0xFF5A),)),
    ("mathematical", ((0x2102, 0x2129), (0x212B, 0x2138), (0x213C, 0x2149), (0x1D400, 0x1D7FF))),
    ("roman", ((0x2160, 0x217F),)),
    ("enclosed", ((0x249C, 0x24E9), (0x1F110, 0x1F12B), (0x1F130, 0x1F189))),
    ("kelvin", ((0x212A, 0x212A),)),
)


def _dress(letter: str) -> str:
    code = ord(letter)
    for name, blocks in _DRESSES:
        if any(low <= code <= high for low, high in blocks):
            return name
    if "LETTER SMALL CAPITAL" in unicodedata.name(letter, ""):
        return (
            "" if "MODIFIER" in unicodedata.name(letter) else "small_phonetic" if letter in _SMALL_CAPITALS else "small"
        )
    raised = unicodedata.decomposition(letter).startswith("<super>") or "MODIFIER LETTER" in unicodedata.name(
        letter, ""
    )
    return "raised" if raised and LATIN[letter].isalpha() and letter not in "ªº" else ""


def _looks() -> Iterator[tuple[str, Look]]:
    for letter, plain in LATIN.items():
        dress = _dress(letter)
        if dress:
            yield letter, Look(plain, dress, True)
    for script, table in BY_SCRIPT.items():
        same = _SAME.get(script)
        for letter, plain in pairs(table).items():
            if unicodedata.bidirectional(letter) != "L":
                continue  # in a word of both directions the order of letters is unclear to a reader
            yield letter, Look(plain, script, same is None or letter in same)
    for code in range(0xAB70, 0xABC0):
        if chr(code) in LATIN:
            yield chr(code), Look(LATIN[chr(code)], "cherokee", True)


LOOKS: Final[dict[str, Look]] = dict(_looks())
"""The look-alikes that are judged, by letter."""
DRESSES: Final = frozenset({"wide", "mathematical", "roman", "enclosed", "small", "small_phonetic", "raised"})
"""Other forms of ASCII letters, which are not scripts."""
DRESSED: Final = frozenset(letter for letter, look in LOOKS.items() if look.script in DRESSES)
SCRIPT_LETTERS: Final[Ranges] = ranges(
    "0370-03FF 0400-052F 0531-0587 0900-0DFF 0E00-0EFF 1000-10FF 13A0-16FF 1C80-1CBF 1F00-1FFF 2C80-2D7F A4D0-A4FF "
    "A640-A69F AB70-ABBF 10300-1032F 10400-1044F"
)
"""Blocks of the scripts that have look-alikes: their letters are part of a word."""


def ranges_of(letters: Iterable[str]) -> Ranges:
    """Return characters as ranges of code points."""
    return merged(tuple((ord(letter), ord(letter)) for letter in letters))


class _Shapes(dict[int, str]):
    def __missing__(self, code: int) -> str:
        return "!"


_OF_DRESS: Final = {
    "wide": "x",
    "mathematical": "m",
    "roman": "i",
    "enclosed": "e",
    "small": "s",
    "small_phonetic": "p",
    "raised": "q",
}
_OF_SCRIPT: Final = {  # letters of the same shape, letters that resemble
    "cyrillic": "ck",
    "greek": "gw",
    "armenian": "hh",
    "round": "rr",
}


def _shapes() -> _Shapes:
    shapes = _Shapes()
    for code in (*range(0x80), *range(0xC0, 0x250), *range(0x1E00, 0x1F00)):
        letter = chr(code)
        shapes[code] = ("A" if letter.isupper() else "a") if letter.isalpha() else "0"
    shapes.update(dict.fromkeys(range(0x300, 0x370), "0"))
    for letter, look in LOOKS.items():
        if look.script == "greek" and not look.same and look.plain in "bcegmsuz":
            continue  # letters of Berber Latin, and symbols that do not pass for Latin letters
        shape = _OF_DRESS.get(look.script) or _OF_SCRIPT.get(look.script, "oo")[not look.same]
        small = look.script in DRESSES or letter != letter.upper()
        shapes[ord(letter)] = shape if small else shape.upper()
    return shapes


SHAPES: Final = _shapes()
"""For `str.translate`: the class of each letter of a word. Latin letters are `a` and `A`, digits `0`; look-alikes of
the same shape are `c` (Cyrillic), `g` (Greek), `h` (Armenian) and `o` (others), capitals likewise; those that only
resemble are `k` (Cyrillic), `w` (Greek) and `r`; other forms of Latin letters are `x m i e s p q`. All else is `!`.
"""


NEARBY: Final = 32  # characters around a word whose words show the script of the text
_FANCY_MIN: Final = 4  # letters of a word in wide, mathematical, enclosed, raised or small capital ones alone
_CAPITALS_MIN: Final = 5  # capitals come in shorter runs in formulas and lists
_SHORT: Final = 3


# Letters that identify a script: those that do not look Latin.
def _telling(script: str, *blocks: tuple[int, int]) -> Late:
    same = {letter for letter, look in LOOKS.items() if look.script == script and look.same}
    return Late(f"[{char_class(ranges_of(members(blocks) - same))}]")


_TELLING: Final = {
    "cyrillic": _telling("cyrillic", (0x0400, 0x052F)),
    "greek": _telling("greek", (0x0370, 0x03FF), (0x1F00, 0x1FFF)),
    "armenian": _telling("armenian", (0x0531, 0x0587)),
    "wide": Late("[\u3001-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uff66-\uff9f]"),
}
_FUNCTION: Final = Late("sin|cos|tan|cot|sec|log|ln|exp|lim|max|min|arg|det|mod|gcd|sup|inf|var|cov|dim|ker")
_DRESSED: Final = Late(f"[{char_class(ranges_of(DRESSED))}]")
_FANCY: Final = Late(f"[{char_class(ranges_of(DRESSED))}]{{{_FANCY_MIN},{NEARBY}}}")
# Shapes of words: see `SHAPES`.
_ANY: Final = "cCkKgGwWhHoOrR"
_SAME_SHAPE: Final = "cCgGhHoO"
_OF_SCRIPTS: Final = Late(f"[{_ANY}]")
_RESEMBLES: Final = Late("[kKwWrR]")
_TOUCHES: Final = Late(f"[aA][{_ANY}]|[{_ANY}][aA]")  # across a `_` or a digit nothing does
_ENDING: Final = Late("[A0]{2,}a?[ckgwhor]+")  # a Russian or Greek one, on an acronym
_INSIDE: Final = Late(f"[aA][{_SAME_SHAPE}]+[aA]|a[{_ANY}]{{1,2}}a")
_AT_EDGES: Final = Late(f"(?:[kK](?=a{{3}})|[{_SAME_SHAPE}]+)?(?:[aA0]+[{_SAME_SHAPE}]+)*[aA0]*")
# Greek letters are also symbols: those that only resemble must stand among small Latin ones, no more than two.
_SYMBOL: Final = Late(
    f"(?:^|[A0])[{_ANY}]{{0,64}}[wWrR]|[wWrR][{_ANY}]{{0,64}}(?:$|[A0])"
    f"|[wWrR][{_ANY}]{{2}}|[{_ANY}][wWrR][{_ANY}]|[{_ANY}]{{2}}[wWrR]"
)
_TRAILS: Final = Late(f"[aA0]+[{_ANY}]+")
_TOLD_BY: Final = {"c": "cyrillic", "k": "cyrillic", "g": "greek", "w": "greek", "h": "armenian"}
_DOMAIN: Final = Late(
    r"\.(?:com|net|org|info|biz|edu|gov|io|ai|co|me|app|dev|xyz|top|shop|online|site|uk|de|fr|us|eu)(?![a-z0-9_-])"
)
_FRAKTUR: Final = Late("[\U0001d504-\U0001d537\U0001d56c-\U0001d59f\u212d\u210c\u2111\u211c\u2128]+")
_ITALIC: Final = Late("[\U0001d434-\U0001d49b\u210e]")
# A name of one letter in code: behind a bracket, an operator or a word of the language, or before one of the first two.
_BEHIND: Final = r"=(\[{+*/<>"  # signs before a name in code, and after one
_AHEAD: Final = r" ?[=)\]}\[(;+*/<>]"
_OPERATOR: Final = Late(rf"(?:[{_BEHIND}]|\b(?:for|return|yield|await|not|and|or|in|if|let|var|const)) ?\Z")
_BEFORE_IN_CODE: Final = Late(r"(?:\A|[\s(\[{,;=+*/<>!&|-])\Z")
_AFTER_IN_CODE: Final = Late(_AHEAD)
RARE: Final = "\u0455\u04cf\u0501\u051a-\u051d"
"""Cyrillic s, l, d, q and w, which few languages write, and those beside letters of other shapes."""
_HARDLY: Final = Late(f"[{RARE}]")


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
    if scripts == {"mathematical"} and _stands_alone(text, begin, end):
        return False
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


def _stands_alone(text: str, begin: int, end: int) -> bool:
    """Return whether a word is in Fraktur, and none beside it in dress: the name of a fount, a heading, a title."""
    if not _FRAKTUR.fullmatch(text, begin, end):
        return False
    before, after = text[max(0, begin - NEARBY) : begin], text[end : end + NEARBY]
    return not (_DRESSED.match(before.rstrip()[-1:]) or _DRESSED.match(after.lstrip()))


def _is_half_dressed(word: str, scripts: set[str], letters: int) -> bool:
    """Return whether only some letters of a word are in another form."""
    runs = [(is_foreign, "".join(run)) for is_foreign, run in groupby(word, LOOKS.__contains__)]
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
    """Return whether a word without a Latin letter is a label of a Latin domain, spelled with very rare letters, or a
    name of one Cyrillic letter in code."""
    if shape in ("c", "C"):
        in_code = _BEFORE_IN_CODE.search(text, max(0, begin - 8), begin) and (
            _AFTER_IN_CODE.match(text, end) or _OPERATOR.search(text, max(0, begin - 8), begin)
        )
        return bool(in_code) and not _is_near(script, text, begin, end)
    if not script or len(shape) < _SHORT or len(set(shape.lower())) > 1 or _RESEMBLES.search(shape):
        return False
    if not _DOMAIN.match(text, end) and not _HARDLY.search(text, begin, end):
        return False
    return not _is_near(script, text, begin, end)


def _is_near(script: str, text: str, begin: int, end: int) -> bool:
    """Return whether words around this one are written in that script."""
    telling = _TELLING[script]
    return bool(telling.search(text, max(0, begin - NEARBY), begin) or telling.search(text, end, end + NEARBY))


WORD_MAX: Final = 64

_LATIN_LETTERS: Final = r"A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff"
_LOOKS: Final = char_class(ranges_of(LOOKS))
_LETTER: Final = f"[{_LATIN_LETTERS}0-9_\u0300-\u036f{_LOOKS}{char_class(SCRIPT_LETTERS)}]"
_WORD: Final = Late(f"{_LETTER}{{0,{WORD_MAX + 1}}}")
_REST: Final = Late(f"{_LETTER}*")
_PLAIN: Final = {ord(letter): look.plain for letter, look in LOOKS.items()}
# A look-alike beside a Latin letter, one in fancy dress beside another, a rare one, the last of a domain's label, or a
# word of one letter.
# One range for everything beyond the first plane: each range costs time for every character.
_FAR: Final = (ord(min(letter for letter in LOOKS if letter > "\uffff")), ord(max(LOOKS)))
_CLOSE: Final = ranges_of(letter for letter in LOOKS if letter <= "\uffff")
_SUSPECT: Final = Late(
    f"[{char_class((*_CLOSE, _FAR))}]"
    f"(?:(?<=[{_LATIN_LETTERS}0-9_].)|(?<=[{RARE}])|(?=[{_LATIN_LETTERS}0-9_{char_class(ranges_of(DRESSED))}])|(?=\\.[a-z]{{2}})"
    rf"|(?<=[\s{_BEHIND}].)(?!{_LETTER})(?:(?={_AHEAD})|(?<=[{_BEHIND}].)|(?<=[{_BEHIND}a-z] .)))"
)
_LABEL: Final = Late(r"\.[a-z]{0,7}\Z")


class Homoglyphs:
    """Finds `invisible.homoglyph`."""

    name = "homoglyphs"
    category = Category.INVISIBLE
    prefilters = (("look_alike", Prefilter(ranges=ranges_of(LOOKS))),)
    kinds = (
        Kind(
            "invisible.homoglyph",
            "A word that looks Latin, with letters of another script or in fancy dress.",
            "p\u0430ypal",
        ),
    )
    context = WORD_MAX + NEARBY + 1
    reach = WORD_MAX + NEARBY + 1

    def find(self, text: str, start: int = 0, _active: Collection[str] = ()) -> Iterator[Hit]:
        """Yield each word as one hit from its first look-alike on, reported as a whole."""
        position = start
        while match := _SUSPECT.search(text, position):
            if match[0] not in LOOKS:
                position = match.end()
                continue
            begin, end = _bounds(text, match.start())
            if end - begin > WORD_MAX:
                rest = _REST.match(text, match.start())
                position = rest.end() if rest else end
                continue
            position = end
            shape = text[begin:end].translate(SHAPES)
            first = begin + len(shape) - len(shape.lstrip("aA0"))
            if first >= start and disguised(text, begin, end, shape):
                plain = text[first:end].translate(_PLAIN)
                yield make_hit((first, end, "invisible.homoglyph", 1.0, plain, first, (), begin))

    def settled(self, text: str, start: int = 0, _active: Collection[str] = ()) -> int:
        """Return where a word with look-alikes at the end begins, or one whose neighbours are still to come."""
        end = len(text)
        label = _LABEL.search(text, max(0, end - 8))
        last = label.start() - 1 if label else end - 1
        if last >= start:
            begin, behind = _bounds(text, last)
            first = _first(text, begin, behind) if behind - begin <= WORD_MAX else behind
            end = min(end, max(first, start)) if first < behind else end
        position = max(start, len(text) - WORD_MAX - NEARBY)
        while position < end and (match := _SUSPECT.search(text, position, end)):
            begin, position = _bounds(text, match.start()) if match[0] in LOOKS else (end, match.end())
            if begin < end and position + NEARBY > len(text) and position - begin <= WORD_MAX:
                return max(start, _first(text, begin, position))
        return end


def _bounds(text: str, place: int) -> tuple[int, int]:
    """Return where the word around a place begins and ends; more than `WORD_MAX` apart if it is too long for a word."""
    before, after = _WORD.match(text[max(0, place - WORD_MAX - 1) : place][::-1]), _WORD.match(text, place)
    return place - (before.end() if before else 0), after.end() if after else place


def _first(text: str, begin: int, end: int) -> int:
    """Return the first look-alike of a word."""
    return next((place for place in range(begin, end) if text[place] in LOOKS), end)
