"""Which of many literals stand in a text? For where there is no RE2 that looks for all of them in one pass.

To look for one after the other costs as much for each as to read the text. Here a literal with letters in it is known
by these: they stand in one of the words of the text, which are found once, and what a word may belong to is remembered.
Another is known by a fragment of two or three characters that begins with a rare one, and one expression finds all
fragments: it is quick wherever a character begins none. Only the literals whose letters or fragment stand in the text
are looked for themselves.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

COMMON: Final = " etaoinsrhldcu"
"""What no fragment begins with: three quarters of an English text, the most frequent first."""
_USUAL: Final = COMMON + "mfpgywbvk"
_COMMONNESS: Final = {letter: len(_USUAL) - at for at, letter in enumerate(_USUAL)}
_FIRST_COUNTS: Final = 2  # times as much as what follows: it is looked at wherever it stands
_FRAGMENT: Final = 3
RUN_LEAST: Final = 3
"""Letters in a row by which a literal is known."""
WORD_MAX: Final = 32
KNOWN_MAX: Final = 20_000
"""Words of so many letters, and so many of them, of which it is remembered what stands in them."""
_LETTERS: Final = bytes(code if 97 <= code <= 122 else code + 32 if 65 <= code <= 90 else 32 for code in range(256))
"""Puts letters in lower case, and a blank for all other bytes."""
ORDINARY: Final = bytes([*b"\t\n\r", *range(0x20, 0x7F)])
"""Printable ASCII, tabs and line ends."""


def unusual(data: bytes) -> str:
    """The characters of a text (given in UTF-8) that are not ordinary, in order."""
    rest = data.translate(None, ORDINARY)
    return rest.decode("utf-8", "surrogatepass") if rest else ""


@lru_cache(maxsize=2)  # of the same piece, for those who look for literals and for rows of words
def words_of(text: str) -> frozenset[bytes]:
    """The words of a text, each once: runs of ASCII letters, in lower case."""
    return frozenset(text.encode("utf-8", "surrogatepass").translate(_LETTERS).split())


class Within:
    """In which words some runs of small letters stand: what was found out of a word is remembered."""

    def __init__(self, runs: Iterable[bytes]) -> None:
        self._by_start: dict[bytes, list[bytes]] = {}
        for run in runs:
            self._by_start.setdefault(run[:RUN_LEAST], []).append(run)
        self._none: set[bytes] = set()  # most words have none in them
        self._known: dict[bytes, tuple[bytes, ...]] = {}

    def __call__(self, words: frozenset[bytes]) -> set[bytes]:
        """The runs that stand in any of these words."""
        found: set[bytes] = set()
        for word in words - self._none:
            runs = self._known.get(word)
            if runs is None:
                runs = self.of(word)
                if len(word) <= WORD_MAX and len(self._none) + len(self._known) < KNOWN_MAX:
                    if runs:
                        self._known[word] = runs
                    else:
                        self._none.add(word)
            found.update(runs)
        return found

    def of(self, word: bytes) -> tuple[bytes, ...]:
        """The runs that stand in a word."""
        starts = self._by_start
        return tuple(
            run
            for at in range(len(word) - RUN_LEAST + 1)
            for run in starts.get(word[at : at + RUN_LEAST], ())
            if word.startswith(run, at)
        )


class Literals:
    """Literals that are looked for together."""

    def __init__(self, literals: Iterable[str]) -> None:
        alone: list[str] = []
        self._foreign: list[tuple[str, str]] = []  # with its unusual characters before it
        self._by_fragment: dict[str, list[str]] = {}
        by_run: dict[bytes, list[str]] = {}
        for literal in dict.fromkeys(literals):
            run = max(literal.encode("utf-8", "surrogatepass").translate(_LETTERS).split(), key=len, default=b"")
            if len(run) >= RUN_LEAST:
                by_run.setdefault(run, []).append(literal)
                continue
            foreign, fragment = unusual(literal.encode("utf-8", "surrogatepass")), _fragment(literal)
            if foreign:
                self._foreign.append((foreign, literal))
            elif fragment:
                self._by_fragment.setdefault(fragment, []).append(literal)
            else:
                alone.append(literal)
        self._by_run, self._runs = by_run, Within(by_run)
        self._alone = _by_beginning(alone)
        self._fragments = re.compile(_first_of(self._by_fragment)) if self._by_fragment else None

    def within(self, text: str, strange: str, words: frozenset[bytes]) -> list[str]:
        """Those that stand in the text; `strange` are its `unusual` characters, `words` its words."""
        here = self._runs(words) if self._by_run else ()
        found = [literal for run in here for literal in self._by_run[run] if literal in text]
        for beginning, literals in self._alone:
            if beginning in text:
                found += [literal for literal in literals if literal in text]
        if strange:
            found += [literal for foreign, literal in self._foreign if foreign in strange and literal in text]
        if self._fragments is not None:
            starts = map(re.Match.start, self._fragments.finditer(text))
            for seen in {text[start : start + _FRAGMENT] for start in starts}:
                for fragment in (seen, seen[:-1]):
                    found += [literal for literal in self._by_fragment.get(fragment, ()) if literal in text]
        return found


def _by_beginning(literals: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Those together that begin alike."""
    found: dict[str, list[str]] = {}
    for literal in literals:
        found.setdefault(literal[:_FRAGMENT], []).append(literal)
    return [(each[0] if len(each) == 1 else beginning, each) for beginning, each in found.items()]


def _fragment(literal: str) -> str:
    """The rarest one within a literal; empty where there is none."""
    some = [literal[at : at + _FRAGMENT] for at in range(len(literal) - 1) if literal[at] not in COMMON]
    return min(some, key=_weight, default="")


def _weight(fragment: str) -> int:
    common = [_COMMONNESS.get(letter, 0) for letter in fragment] + [len(_USUAL)] * (_FRAGMENT - len(fragment))
    return _FIRST_COUNTS * common[0] + sum(common[1:])


def _first_of(fragments: Iterable[str]) -> str:
    """An expression for the first characters of fragments; what follows one is only looked at, for another may begin.

    It begins with one of some characters, and not with a lookahead: so `re` goes from one of those to the next.
    """
    tree: dict[str, dict[str, set[str]]] = {}
    for fragment in sorted(fragments, key=lambda each: -_COMMONNESS.get(each[0], 0)):
        tree.setdefault(fragment[0], {}).setdefault(fragment[1], set()).add(fragment[2:])
    return "|".join(f"{re.escape(first)}(?={_next(rest)})" for first, rest in tree.items())


def _next(tree: Mapping[str, set[str]]) -> str:
    return "|".join(
        re.escape(second) + ("" if "" in thirds else f"[{''.join(map(re.escape, sorted(thirds)))}]")
        for second, thirds in tree.items()
    )
