"""The prefilters of the rules for orders: of each rule one for a whole text and one for its end."""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Final, NamedTuple

from attrs import evolve

from sanitization.late import Late
from sanitization.normalization import DRESSED, LOOK_ALIKES, MARKS
from sanitization.prefilter import ActiveDetectors, NamedPrefilter, Prefilter, build_prefilter

from . import encodings as encodings
from .asks import ASKS
from .foreign import GRAMMARS, Claims, Grammar, beginnings
from .orders import ORDERS
from .phrases import OVERRIDES
from .rules import LEET as LEET_SIGNS
from .rules import OrderRule, letter
from .telling import prefilter as telling_prefilter
from .tokens import TOKENS
from .window import AHEAD

RULES: Final[tuple[OrderRule, ...]] = (*OVERRIDES, *ORDERS, *ASKS, *TOKENS)
BY_NAME: Final = {rule.name: rule for rule in RULES}
_CLAIMS: Final = Claims()
FOREIGN: Final[dict[str, Grammar | Claims]] = {**{grammar.name: grammar for grammar in GRAMMARS}, _CLAIMS.name: _CLAIMS}

# --- disguises of a first word ------------------------------------------------------------------------------------

_ALIKE: Final = f"(?:{'|'.join(LOOK_ALIKES)})"
_DRESSED: Final = f"(?:{'|'.join(DRESSED)})"
_MARKED: Final = f"[A-Za-z][{MARKS}]"


def _disguised() -> str:
    shown = f"[A-Za-z][{LOOK_ALIKES}]|[{LOOK_ALIKES}]{{1,8}}[A-Za-z]|[{_ranges(DRESSED)}]"
    return rf"(?=[A-Za-z]?[^\x00-\x7f])(?:{_MARKED}|{shown})"


def _ranges(characters: str) -> str:
    """Return sorted characters as ranges of a class: `re` compares single characters one by one."""
    codes = [ord(character) for character in characters]
    first = [code for code, before in zip(codes, [-2, *codes], strict=False) if code != before + 1]
    last = [code for code, after in zip(codes, [*codes[1:], -2], strict=True) if code != after - 1]
    return "".join([f"{chr(low)}-{chr(high)}" for low, high in zip(first, last, strict=True)])


DISGUISED: Final = Late(_disguised)
"""A possible part of a disguised first word."""


def _spelled_out(character_class: str) -> str:
    pairs = re.findall("(.)(?:-(.))?", character_class, re.DOTALL)
    return "|".join(chr(code) for low, high in pairs for code in range(ord(low), ord(high or low) + 1))


def _disguise_prefilter() -> Prefilter:
    alikes = f"{_ALIKE}(?:{_ALIKE}){{0,7}}(?:$|[A-Za-z])"
    return Prefilter(pattern=f"[A-Za-z](?:{_spelled_out(MARKS)})|[A-Za-z]{_ALIKE}|{alikes}|{_DRESSED}")


def _leet_pieces(word: str) -> Iterator[str]:
    """Yield three letters of a word, the first written as a sign; more letters if all three could be digits of a
    number.
    """
    for at in range(len(word) - 2):
        signs = letter(word[at])
        if signs.startswith("["):
            low, high = at, at + 3
            while all(sign in LEET_SIGNS for sign in word[low:high]):
                low, high = (low, high + 1) if high < len(word) else (low - 1, high)
            before, after = word[low:at], word[at + 1 : high]
            yield f"{''.join(map(letter, before))}[{re.escape(signs[2:-1])}]{''.join(map(letter, after))}"


def _leet() -> str:
    words = dict.fromkeys(word for rule in RULES for word in rule.leet)
    return "|".join(dict.fromkeys(piece for word in words for piece in _leet_pieces(word)))


LEET: Final = Late(_leet, re.IGNORECASE)


@cache
def leet_rules() -> tuple[tuple[OrderRule, Late], ...]:
    """Return the rules whose first words are also read in leetspeak, with the pattern of those words."""
    return tuple(
        (rule, Late(f"(?<![a-z0-9])(?:{'|'.join(''.join(map(letter, word)) for word in rule.leet)})"))
        for rule in RULES
        if rule.leet
    )


@cache
def tails() -> tuple[frozenset[str], int]:
    """Return the incomplete forms of first words with foreign letters, and the length of the longest."""
    forms = beginnings(stem for grammar in FOREIGN.values() for stem in grammar.stems)
    return forms, max(map(len, forms))


# --- the prefilters -------------------------------------------------------------------------------------------

TOKEN_RUNS: Final = tuple(token.how for token in encodings.TOKENS)
TAIL: Final = "tail"
LIKELY: Final = "likely"
"""The prefilter of the classifier."""
END: Final = AHEAD
"""Characters at the end of a text in which an unsettled find may begin."""
AT_END: Final = "$"
"""Ends the name of a prefilter for the end of a text."""
_WRITTEN: Final = ("leet", "disguise", TAIL, "run", "escape", "turned", "rotated", LIKELY, *TOKEN_RUNS)
NAMES: Final = (*BY_NAME, *FOREIGN, *_WRITTEN)
"""The names of all prefilters."""
ALL_ORDERS: Final = frozenset((*BY_NAME, *FOREIGN, "leet"))
"""The prefilters of orders in plain writing."""


class Matched(NamedTuple):
    """Names of the prefilters that match anywhere in a text, and of those that its end may be about to match."""

    whole: tuple[str, ...]
    ends: tuple[str, ...]


NONE_MATCHED: Final = Matched((), ())


@cache
def prefilter_of(name: str) -> Prefilter:
    """Return the prefilter of a rule, by its name."""
    if name in BY_NAME:
        return BY_NAME[name].prefilter
    if name in FOREIGN:
        return FOREIGN[name].prefilter
    if name in TOKEN_RUNS:
        return encodings.TOKENS[TOKEN_RUNS.index(name)].prefilter
    others: dict[str, Callable[[], Prefilter]] = {
        "leet": lambda: Prefilter(pattern=_leet(), ignore_case=True),
        "disguise": _disguise_prefilter,
        "run": lambda: encodings.RUN_PREFILTER,
        "escape": lambda: encodings.ESCAPE_PREFILTER,
        "turned": lambda: Prefilter(literals=encodings.REVERSED, ignore_case=True),
        "rotated": lambda: Prefilter(literals=encodings.ROT13, ignore_case=True),
        LIKELY: telling_prefilter,
    }
    return others[name]()


@cache
def end_prefilter_of(name: str) -> Prefilter:
    """Return the prefilter of a rule for the end of a text, which may be an incomplete match."""
    if name in BY_NAME:
        return BY_NAME[name].ends
    if name in FOREIGN:
        return FOREIGN[name].ends
    if name == TAIL:  # an incomplete word of another script: the caller holds back ASCII only
        return Prefilter(pattern=r"[^\x00-\x7f][\x20-\x7e]{0,24}$")
    return encodings.TOKENS[TOKEN_RUNS.index(name)].ends if name in TOKEN_RUNS else prefilter_of(name)


@cache
def end_pattern_of(name: str) -> re.Pattern[str]:
    """Return the prefilter of `end_prefilter_of` as a pattern of `re`, over text."""
    return end_prefilter_of(name).text_pattern


@cache
def named_prefilters() -> tuple[NamedPrefilter, ...]:
    """Return the prefilters of all rules by name, each for a whole text and for the end of one."""
    # Counted repeats and rows of common words multiply each other's states.
    counted = ("run", *TOKEN_RUNS)
    rows = tuple([name for name, rule in BY_NAME.items() if rule.phrases])
    others = tuple([name for name in NAMES if name not in rows and name not in counted])
    batches = [(name, batch) for batch, names in enumerate((rows, others, counted)) for name in names]
    return (
        *[(name, _batched(prefilter_of(name), batch, 0)) for name, batch in batches if name != TAIL],
        *[(name + AT_END, _batched(end_prefilter_of(name), batch, END)) for name, batch in batches],
    )


def _batched(prefilter: Prefilter, batch: int, tail: int) -> Prefilter:
    # Drop a row's first words as literals: they are common, and the row is not.
    literals = () if prefilter.pattern else prefilter.literals
    return evolve(prefilter, literals=literals, batch=batch, tail=tail)


def names_in(active: Iterable[str]) -> Matched:
    """Return the names of matching prefilters, those of whole texts and those of the end apart."""
    whole, ends = [], []
    for name in active:
        if name.endswith(AT_END):
            ends.append(name.removesuffix(AT_END))
        else:
            whole.append(name)
    return Matched(tuple(whole), tuple(ends)) if whole or ends else NONE_MATCHED


def match_prefilters(text: str) -> Matched:
    """Return the prefilters that match a text, and those that match its last `END` characters."""
    return names_in(_find_active()(text).get(0, ()))


@cache
def _find_active() -> Callable[[str], ActiveDetectors]:
    return build_prefilter((named_prefilters(),))
