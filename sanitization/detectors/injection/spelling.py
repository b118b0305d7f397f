"""Corrects typing errors in the words that orders are made of: a letter left out, doubled, changed, swapped.

A word is corrected to one of `KNOWN` if it differs by one error. Short words have too many neighbours that are words,
so in those only swapped letters are corrected.
"""

import re
from functools import cache, lru_cache
from typing import Final

_KNOWN: Final = (
    "ignore ignoring disregard forget override bypass discard previous earlier preceding original initial existing "
    "instruction instructions directive directives guidelines guideline commands command restriction restrictions "
    "prompt prompts system assistant password passwords credentials secret secrets reveal repeat display everything "
    "developer administrator creator operator unrestricted uncensored pretend character conversation message messages "
    "immediately without confirm confirmation authorized permission security safety filters execute forward transfer "
    "delete recommend summary verbatim hidden silently secretly programming constraints policies customer database "
    "your above prior rules told show tell print send mail table user users mode task leak"
)
KNOWN: Final = frozenset(_KNOWN.split())
SURE: Final = 6
"""Least length of a word in which any error is corrected."""
SHORTEST: Final = 4
CACHED: Final = 20_000


@cache
def _by_deletion() -> dict[str, list[str]]:
    """Map each of the longer words with one letter left out to the words."""
    found: dict[str, list[str]] = {}
    for word in sorted(KNOWN):
        if len(word) >= SURE:
            for at in range(len(word)):
                found.setdefault(word[:at] + word[at + 1 :], []).append(word)
    return found


@lru_cache(maxsize=CACHED)
def spelt(word: str) -> str:
    """Return the known word that a word in lower case was meant to be, or the word itself."""
    if word in KNOWN or len(word) < SHORTEST or not (word.isascii() and word.isalpha()):
        return word
    for at in range(len(word) - 1):
        swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        if swapped in KNOWN:
            return swapped
    if len(word) < SURE - 1:
        return word
    by_deletion = _by_deletion()
    if word in by_deletion:
        return by_deletion[word][0]
    for at in range(len(word)):
        rest = word[:at] + word[at + 1 :]
        if rest in KNOWN and len(rest) >= SURE:
            return rest
        for other in by_deletion.get(rest, ()):
            if len(other) == len(word) and sum(map(str.__ne__, other, word)) == 1:
                return other
    return word


_WORD: Final = re.compile(f"(?<![^\\W_])[A-Za-z]{{{SHORTEST},24}}(?![^\\W_])")


def respelt(text: str) -> str | None:
    """Return a text with its errors corrected; None if there are none."""
    again = _WORD.sub(lambda found: found[0] if (right := spelt(found[0].lower())) == found[0].lower() else right, text)
    return None if again == text else again
