"""What is to be seen where an order may stand: the prefilters of its rules, looked for in small sets of their own."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, lru_cache
from typing import Final, NamedTuple

from attrs import evolve

from sanitization import prefilter
from sanitization.literals import unusual
from sanitization.normalization import DRESSED, LOOK_ALIKES, MARKS
from sanitization.prefilter import Prefilter, build_matcher

from . import encodings as encodings
from .asks import ASKS
from .claims import Claims
from .foreign import GRAMMARS, Grammar, beginnings, variants
from .orders import ORDERS
from .phrases import OVERRIDES
from .plain import Look, Plain, needed, rarest, telling
from .rules import LEET as LEET_SIGNS
from .rules import Late, Rule, letter, trie
from .telling import prefilter as telling_prefilter
from .telling import telling as telling_places
from .telling import telling_words
from .tokens import TOKENS
from .window import AHEAD

RULES: Final[tuple[Rule, ...]] = (*OVERRIDES, *ORDERS, *ASKS, *TOKENS)
BY_NAME: Final = {rule.name: rule for rule in RULES}
_CLAIMS: Final = Claims()
FOREIGN: Final[dict[str, Grammar | Claims]] = {**{each.name: each for each in GRAMMARS}, _CLAIMS.name: _CLAIMS}

# --- disguises of a first word ------------------------------------------------------------------------------------

_ALIKE: Final = f"(?:{'|'.join(LOOK_ALIKES)})"
_DRESSED: Final = f"(?:{'|'.join(DRESSED)})"
_MARKED: Final = f"[A-Za-z][{MARKS}]"


def _disguised() -> str:
    shown = f"[A-Za-z][{LOOK_ALIKES}]|[{LOOK_ALIKES}]{{1,8}}[A-Za-z]|[{_ranges(DRESSED)}]"
    return rf"(?=[A-Za-z]?[^\x00-\x7f])(?:{_MARKED}|{shown})"


def _ranges(characters: str) -> str:
    """Sorted characters as ranges of a class: many that stand apart would be compared one by one."""
    codes = [ord(each) for each in characters]
    first = [code for code, before in zip(codes, [-2, *codes], strict=False) if code != before + 1]
    last = [code for code, after in zip(codes, [*codes[1:], -2], strict=True) if code != after - 1]
    return "".join([f"{chr(low)}-{chr(high)}" for low, high in zip(first, last, strict=True)])


DISGUISED: Final = Late(_disguised)
"""What may be a part of a first word in disguise."""


def _spelled_out(character_class: str) -> str:
    pairs = re.findall("(.)(?:-(.))?", character_class, re.DOTALL)
    return "|".join(chr(code) for low, high in pairs for code in range(ord(low), ord(high or low) + 1))


def _disguise_prefilter() -> Prefilter:
    alikes = f"{_ALIKE}(?:{_ALIKE}){{0,7}}(?:$|[A-Za-z])"
    return Prefilter(pattern=f"[A-Za-z](?:{_spelled_out(MARKS)})|[A-Za-z]{_ALIKE}|{alikes}|{_DRESSED}")


def _leet_pieces(word: str) -> Iterator[str]:
    """Three letters of a word, the first of them written as a sign; more where all three could be, in a number."""
    for at in range(len(word) - 2):
        signs = letter(word[at])
        if signs.startswith("["):
            low, high = at, at + 3
            while all(each in LEET_SIGNS for each in word[low:high]):
                low, high = (low, high + 1) if high < len(word) else (low - 1, high)
            before, after = word[low:at], word[at + 1 : high]
            yield f"{''.join(map(letter, before))}[{re.escape(signs[2:-1])}]{''.join(map(letter, after))}"


def _leet() -> str:
    words = dict.fromkeys(word for rule in RULES for word in rule.leet)
    return "|".join(dict.fromkeys(piece for word in words for piece in _leet_pieces(word)))


LEET: Final = Late(_leet, re.IGNORECASE)


@cache
def leet_rules() -> tuple[tuple[Rule, Late], ...]:
    """The rules whose first words are also read in leetspeak, with these."""
    return tuple(
        (rule, Late(f"(?<![a-z0-9])(?:{'|'.join(''.join(map(letter, word)) for word in rule.leet)})"))
        for rule in RULES
        if rule.leet
    )


@cache
def tails() -> tuple[frozenset[str], int]:
    """What a first word with foreign letters looks like while it is being written, and the length of the longest."""
    found = beginnings(stem for each in FOREIGN.values() for stem in each.stems)
    return found, max(map(len, found))


# --- the prefilters
# ----------------------------------------------------------------------------------------------------

TOKEN_RUNS: Final = tuple(each.how for each in encodings.TOKENS)
TAIL: Final = "tail"
LIKELY: Final = "likely"
"""The prefilter of the classifier."""
END: Final = AHEAD
"""Characters at the end of a text in which something may begin that is not yet settled."""
_WRITTEN: Final = ("leet", "disguise", TAIL, "run", "escape", "turned", "rotated", LIKELY, *TOKEN_RUNS)
NAMES: Final = (*BY_NAME, *FOREIGN, *_WRITTEN)
"""The names of all prefilters."""
ALL_ORDERS: Final = frozenset((*BY_NAME, *FOREIGN, "leet"))
"""Those of what is read as it stands."""


class Open(NamedTuple):
    """Names of prefilters: those that are open anywhere in a text, and those that its end may be about to open."""

    whole: tuple[str, ...]
    ends: tuple[str, ...]


SHUT: Final = Open((), ())


@cache
def prefilter_of(name: str) -> Prefilter:
    """What is to be seen where a rule finds something, by its name."""
    if name in BY_NAME:
        return BY_NAME[name].prefilter
    if name in FOREIGN:
        return FOREIGN[name].prefilter
    match name:
        case "leet":
            return Prefilter(pattern=_leet(), ignore_case=True)
        case "disguise":
            return _disguise_prefilter()
        case "run":
            return encodings.RUN_PREFILTER
        case "escape":
            return encodings.ESCAPE_PREFILTER
        case "turned":
            return Prefilter(literals=encodings.REVERSED, ignore_case=True)
        case "rotated":
            return Prefilter(literals=encodings.ROT13, ignore_case=True)
        case "likely":
            return telling_prefilter()
        case _:
            return encodings.TOKENS[TOKEN_RUNS.index(name)].prefilter


@cache
def ends_of(name: str) -> Prefilter:
    """What is to be seen in the end of a text that may go on to where a rule finds something."""
    if name in BY_NAME:
        return BY_NAME[name].ends
    if name in FOREIGN:
        return FOREIGN[name].ends
    if name == TAIL:  # a word of another script that is being written: the caller holds back ASCII only
        return Prefilter(pattern=r"[^\x00-\x7f][\x20-\x7e]{0,24}$")
    return encodings.TOKENS[TOKEN_RUNS.index(name)].ends if name in TOKEN_RUNS else prefilter_of(name)


@cache
def searched(name: str) -> re.Pattern[str]:
    """What `ends_of` looks for, for the standard library."""
    return re.compile(ends_of(name).expression, re.ASCII)


def opened(text: str, *, plain: bool = False) -> tuple[str, ...]:
    """The names of the prefilters a text opens in any way; `plain` without RE2, as where its wheel is not installed."""
    found = looked(text, plain=plain)
    return tuple(dict.fromkeys((*found.whole, *found.ends)))


@lru_cache(maxsize=2)  # the same piece is asked about for what is settled and for what is found
def looked(text: str, *, plain: bool = False) -> Open:
    """Which prefilters a text opens; the end is looked at alone, as no order is longer."""
    if plain or getattr(prefilter, "re2", None) is None:
        return Open(*_plain()(text, END))
    whole, ends = _looks()
    if len(text) > END:
        return Open(_seen(whole, _data(text)), _seen(ends, _data(text[-END:])))
    data = _data(text)
    open_ends = _seen(ends, data)
    # What opens a prefilter would open it in an end too: most short texts need no other look.
    return Open(_seen(whole, data), open_ends) if open_ends else SHUT


def _data(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _seen(looks: Sequence["_Look"], data: bytes) -> tuple[str, ...]:
    found: tuple[str, ...] = ()
    for names, look in looks:
        if seen := look(data):
            found += tuple([names[index] for index in seen])
    return found


_Look = tuple[tuple[str, ...], Callable[[bytes], Iterable[int] | None]]


@cache
def _looks() -> tuple[list[_Look], list[_Look]]:
    # Counted repeats apart: in one set with others they would multiply its states; so would the rows of common words.
    counted = ("run", *TOKEN_RUNS)
    rows = tuple([name for name, rule in BY_NAME.items() if rule.phrases])
    others = tuple([name for name in NAMES if name not in rows and name not in counted])
    return (
        [_look(tuple([name for name in names if name != TAIL]), prefilter_of) for names in (rows, others, counted)],
        [_look(names, ends_of) for names in (rows, others, counted)],
    )


def _look(names: tuple[str, ...], prefilter: Callable[[str], Prefilter]) -> _Look:
    # A row's first words need not be looked for apart: they are common, and the row is not.
    each = [evolve(prefilter(name), literals=()) if prefilter(name).pattern else prefilter(name) for name in names]
    return names, build_matcher(each)


# --- without RE2 --------------------------------------------------------------------------------------------------


@cache
def _plain() -> Plain:
    return Plain([_plain_look(name) for name in NAMES])


def _plain_look(name: str) -> Look:
    ends = _matcher(ends_of(name))
    if name == TAIL:
        return Look(name, frozenset(), _nothing, ends, loose=encodings.ROW_END)
    if name in TOKEN_RUNS:
        return Look(name, frozenset(), encodings.quick(name, prefilter_of(name)), ends, loose=encodings.ROW_END)
    if name in ("turned", "rotated"):
        words = prefilter_of(name).literals
        return Look(name, frozenset(words), whole := _matcher(prefilter_of(name)), whole, inside=words)
    if name == LIKELY:
        needs = frozenset(map(telling, telling_words()))
        return Look(name, needs, _tells, _tells, (), needs)
    if name in _WRITTEN:
        return Look(name, frozenset(), _written(name), _written(name))
    whole = _matcher(prefilter_of(name))
    if name in FOREIGN:
        stems = [stem.split() for stem in FOREIGN[name].stems]
        longest = [max(stem, key=len) for stem in stems]
        needs = frozenset(telling(form) for word in longest for form in variants(word))
        begins = tuple(dict.fromkeys(form.lower() for stem in stems if stem[1:] for form in variants(stem[0])))
        prompts = FOREIGN[name].prompts
        inside = dict.fromkeys(telling(form) for word in longest if word in prompts for form in variants(word))
        return Look(name, needs, whole, ends, begins, needs, row=True, inside=tuple(inside))
    rule = BY_NAME[name]
    if not rule.phrases:
        needs = frozenset() if rule.exact else frozenset(map(telling, rule.stems))
        return Look(name, needs, whole, ends, rule.stems if rule.raw else ())
    rows = [[part.lstrip(":").split() for part in row.parts if part[:1] != "*"] for row in rule.phrases]
    rows = [[part for part in row if part] for row in rows]
    needs = frozenset(word for row in rows for word in rarest(row))
    last = frozenset(telling(word) for row in rule.phrases for word in row.parts[-1].lstrip("*:").split())
    return Look(name, needs, whole, ends, rule.begins, last, tuple(map(needed, rows)), row=True)


_Matches = Callable[[str, str], object]
"""Whether something is in a text: given as it is, and with its ASCII letters small."""


def _nothing(_text: str, _lowered: str) -> bool:
    return False


def _tells(text: str, _lowered: str) -> bool:
    return bool(telling_places(text, 0))


def _matcher(prefilter: Prefilter) -> _Matches:
    """What looks for a prefilter by the standard library, the quickest way."""
    if prefilter.pattern:
        folded = prefilter.folded
        if folded is not None:
            return lambda _text, lowered: folded.search(lowered)
        pattern = Late(prefilter.expression, re.ASCII)
        return lambda text, _lowered: pattern.search(text)
    literals = prefilter.literals
    if len(literals) == 1:
        return lambda text, lowered: literals[0] in (lowered if prefilter.ignore_case else text)
    # Those that begin alike are found together, and `re` goes quickly from one of their first letters to the next.
    any_of = Late(lambda: trie(literals, open_end=False))
    return lambda text, lowered: any_of.search(lowered if prefilter.ignore_case else text)


def _written(name: str) -> _Matches:
    """The same for what is not plain words."""
    match name:
        case "leet":
            return lambda _text, lowered: _leet_in(lowered)
        case "disguise":
            return lambda text, _lowered: not text.isascii() and _disguise_in(text)
        case "run":
            return lambda text, _lowered: encodings.has_run(text)
        case _:
            return lambda _text, lowered: encodings.has_escape(lowered)


def _leet_in(lowered: str) -> bool:
    # Each piece of a word in leetspeak has a letter in it that has no sign, and so a sign beside a letter.
    marked = lowered.encode("ascii", "replace").translate(_SIGNED)
    search = _SMALL_LEET.search
    return any(search(lowered, max(0, at.start() - LEET_MAX), at.end() + LEET_MAX) for at in _BESIDE.finditer(marked))


def _disguise_in(text: str) -> bool:
    if text[-1].isascii() and not _STRANGE.search(unusual(text.encode("utf-8", "surrogatepass"))):
        return False
    for run in _FOREIGN_RUN.finditer(text):
        if DISGUISED.search(text, max(0, run.start() - 1), run.end() + 1) or run.end() == len(text):
            return True
    return False


LEET_MAX: Final = 4
"""Characters of the longest of the pieces by which leetspeak is known."""
_SIGNED: Final = bytes(
    ord("1" if chr(code) in "0123456789@$!|" else "a" if chr(code).isalpha() and code < 0x80 else " ")
    for code in range(256)
)
_SMALL_LEET: Final = Late(_leet)
_BESIDE: Final = re.compile(b"1a|a1")
_STRANGE: Final = Late(f"[{MARKS}{LOOK_ALIKES}{DRESSED}]")
"""What is in every word in disguise."""
_FOREIGN_RUN: Final = Late(r"[^\x00-\x7f]+")
