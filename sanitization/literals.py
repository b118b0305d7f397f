"""Which of many literals stand in a text? For where there is no RE2 that looks for all of them in one pass.

To look for one after the other costs as much for each as to read the text. Here each literal is known by a fragment of
two or three characters that begins with a rare one, and one expression finds all fragments: it is quick wherever a
character begins none. Only the literals whose fragment stands in the text are looked for themselves.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

COMMON: Final = " etaoinsrhldcu"
"""What no fragment begins with: three quarters of an English text, the most frequent first."""
_USUAL: Final = COMMON + "mfpgywbvk"
_COMMONNESS: Final = {letter: len(_USUAL) - at for at, letter in enumerate(_USUAL)}
_FIRST_COUNTS: Final = 2  # times as much as what follows: it is looked at wherever it stands
_FRAGMENT: Final = 3
ORDINARY: Final = bytes([*b"\t\n\r", *range(0x20, 0x7F)])
"""Printable ASCII, tabs and line ends."""


def unusual(data: bytes) -> str:
    """The characters of a text (given in UTF-8) that are not ordinary, in order."""
    rest = data.translate(None, ORDINARY)
    return rest.decode("utf-8", "surrogatepass") if rest else ""


class Literals:
    """Literals that are looked for together."""

    def __init__(self, literals: Iterable[str]) -> None:
        alone: list[str] = []
        self._foreign: list[tuple[str, str]] = []  # with its unusual characters before it
        self._by_fragment: dict[str, list[str]] = {}
        for literal in dict.fromkeys(literals):
            foreign, fragment = unusual(literal.encode("utf-8", "surrogatepass")), _fragment(literal)
            if foreign:
                self._foreign.append((foreign, literal))
            elif fragment:
                self._by_fragment.setdefault(fragment, []).append(literal)
            else:
                alone.append(literal)
        self._alone = _by_beginning(alone)
        self._fragments = re.compile(_first_of(self._by_fragment)) if self._by_fragment else None

    def within(self, text: str, strange: str) -> list[str]:
        """Those that stand in the text; `strange` are its `unusual` characters."""
        found: list[str] = []
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
