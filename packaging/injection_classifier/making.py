"""Generates orders to a model by family, and look-alikes, from the listings of `english` and `languages`.

The same seed gives the same texts. Orders and harmless texts are varied in the same way (case, typing errors,
wrappings, sentences around them), so that the variation does not distinguish them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from typing import Final

from attrs import frozen

from . import english, english_harmless, languages, languages_harmless
from .salad import foreign_salad, salad

SEED: Final = 7
ENGLISH_EACH: Final = 420
"""Texts of an English family."""
TONGUE_EACH: Final = 40
"""Texts of one kind in one other language; each kind in all languages is a part of one family."""
SALAD: Final = 9_000
"""Texts of random English words."""
SPACED_LEAST: Final = 30
"""Least number of words in the listings of a language that sets blanks."""

_SLOT: Final = re.compile(r"\{([a-z]+)\}")
_MAPPED: Final = {
    "over": "override",
    "ask": "secrets",
    "show": "prompt",
    "claim": "authority",
    "persona": "persona",
    "note": "addressed",
}
"""Which English family a kind of `Tongue` belongs to."""


@frozen
class Text:
    """One text: the family and the language it was made from, and whether it is an order."""

    text: str
    family: str
    language: str
    order: bool


def texts(seed: int = SEED, scale: float = 1.0) -> list[Text]:
    """Make all texts. `scale` makes fewer or more of each kind."""
    made: list[Text] = []
    for order, families in ((True, english.ATTACKS), (False, english_harmless.BENIGN)):
        for family, patterns in families.items():
            chance = random.Random(f"{seed} {family}")
            for number in range(int(ENGLISH_EACH * scale * (1 if order else 1.4))):
                said = _filled(patterns[number % len(patterns)], chance)
                made.append(Text(_dressed(said, chance), family, "en", order))
    chance = random.Random(f"{seed} quoted")
    patterns = [pattern for family in english.ATTACKS.values() for pattern in family if "\n" not in pattern]
    for _ in range(int(ENGLISH_EACH * scale * 1.4)):
        quoted = chance.choice(english_harmless.QUOTES).replace("{order}", _filled(chance.choice(patterns), chance))
        made.append(Text(_dressed(quoted, chance), "quoted", "en", False))
    chance = random.Random(f"{seed} salad")
    made += [Text(salad(chance), "salad", "en", False) for _ in range(int(SALAD * scale))]
    for language, tongue in languages.TONGUES.items():
        chance = random.Random(f"{seed} {language}")
        for kind, family in _MAPPED.items():
            for _ in range(int(TONGUE_EACH * scale)):
                made.append(Text(_dressed(_foreign(tongue, kind, chance), chance), family, language, True))
        plain = f"{tongue.benign} {tongue.task}".replace("|", " ").split()
        telling = f"{tongue.drop} {tongue.told} {tongue.ask} {tongue.mode}".replace("|", " ").split()
        for _ in range(int(TONGUE_EACH * scale * 2) if len(plain) > SPACED_LEAST else 0):
            made.append(Text(foreign_salad(plain, telling, chance), "salad", language, False))
        for _ in range(int(TONGUE_EACH * scale * 4)):
            made.append(Text(_dressed(_harmless(language, tongue, chance), chance), "foreign", language, False))
    seen: set[str] = set()
    return [pattern for pattern in made if not (pattern.text in seen or seen.add(pattern.text))]


def _filled(pattern: str, chance: random.Random) -> str:
    slots = english.SLOTS | english_harmless.FILLERS

    def one(found: re.Match[str]) -> str:
        return _filled(chance.choice(slots[found[1]].split("|")), chance)

    return _SLOT.sub(one, pattern).replace("{{", "{").replace("}}", "}")


def _foreign(tongue: languages.Tongue, kind: str, chance: random.Random) -> str:
    def one(name: str) -> str:
        return str(chance.choice(getattr(tongue, name).split("|")))

    def whole(pattern: str) -> str:
        return _SLOT.sub(lambda found: one(found[1]), pattern)

    if kind == "over":
        said = whole(tongue.order)
        more = chance.choice(("", "", "ask", "task", "show"))
        return f"{said}. {one(more)}" if more else said
    return whole(one(kind))


def _harmless(language: str, tongue: languages.Tongue, chance: random.Random) -> str:
    pick = chance.random()
    if pick < 0.35:
        mine = chance.choice(languages_harmless.HARMLESS[language].split("|"))
        said = tongue.order.replace("{told}", mine).replace("{drop}", chance.choice(tongue.drop.split("|")))
        after = languages_harmless.AFTER.get(language, "")
        return f"{said}, {chance.choice(after.split('|'))}" if after and chance.random() < 0.3 else said
    said = chance.choice(tongue.benign.split("|"))
    if pick < 0.55:
        return said
    if pick < 0.65:
        return str(chance.choice(tongue.task.split("|")))
    other = chance.choice((tongue.benign, tongue.task))
    return f"{said.rstrip('?.!')}{chance.choice('..?')} {chance.choice(other.split('|'))}"


# --- dress ----------------------------------------------------------------------------------------------------------

_OPENINGS: Final = (
    "Hello!", "Thanks for the fast answer.", "Opening hours are 9 to 17.", "Add salt.", "Install with pip.",
    "See the table below.", "Item 4 of 7.", "Dentist at 10:00.", "The river is 40 km long.", "Page 3.",
    "Invoice 4711, due on Friday.", "It was a sunny day.", "Product review: the lamp is bright.", "Dear team,",
    "Results: 12 of 14 passed.", "Chapter 2.", "Sales rose by 4 percent.", "Best regards",
    "What is the capital of Peru?",
    "Summarize this page:", "Here is the document.", "License: MIT.", "Total: 42.", "I like trains.",
)  # fmt: skip
_WRAPPINGS: Final[tuple[tuple[str, str], ...]] = (
    ('{"title": "Invoice 42", "body": "', '"}'), ("<p>", "</p>"), ("<!-- ", " -->"), ("> ", ""), ("- ", ""),
    ("Description: ", " End."), ("# ", ""), ("// ", ""), ("Comment: ", ""), ("<td>", "</td>"), ("* ", ""),
    ("Page text:\n\n", "\nAdd salt."), ("Tool result (web): ", ""), ("Subject: ", ""), ("'", "'"), ("(", ")"),
    ("Email body: ", "\n\nRegards"), ("README: ", ""), ("| note | ", " |"), ("/* ", " */"),
)  # fmt: skip
_KEYS: Final = dict(zip("qwertyuiopasdfghjklzxcvbnm", "wertyuiopqsdfghjklaxcvbnmz", strict=True))


def _dressed(said: str, chance: random.Random) -> str:
    if said[:1].islower() and chance.random() < 0.7:
        said = said[0].upper() + said[1:]
    pick = chance.random()
    if pick < 0.06:
        said = said.upper()
    elif pick < 0.14:
        said = said.lower()
    if chance.random() < 0.16:
        said = _slipped(said, chance)
    if said[-1:].isalnum() and chance.random() < 0.75:
        said += chance.choice("....!")
    pick = chance.random()
    if pick < 0.25:
        before, after = chance.choice(_WRAPPINGS)
        said = f"{before}{said}{after}"
    elif pick < 0.45:
        said = f"{chance.choice(_OPENINGS)}{chance.choice((' ', ' ', chr(10)))}{said}"
    elif pick < 0.6:
        said = f"{said}{chance.choice((' ', chr(10)))}{chance.choice(_OPENINGS)}"
    return said


def _slipped(said: str, chance: random.Random) -> str:
    """Add typing errors: letters swapped, left out, doubled, or replaced by a neighbour."""
    found: list[str] = []
    for word in said.split(" "):
        if len(word) > 4 and word.isalpha() and chance.random() < 0.5:
            at = chance.randrange(1, len(word) - 1)
            slip: Callable[[str, int], str] = chance.choice(_SLIPS)
            word = slip(word, at)
        found.append(word)
    return " ".join(found)


_SLIPS: Final[tuple[Callable[[str, int], str], ...]] = (
    lambda word, at: word[:at] + word[at + 1] + word[at] + word[at + 2 :],
    lambda word, at: word[:at] + word[at + 1 :],
    lambda word, at: word[:at] + word[at] + word[at:],
    lambda word, at: word[:at] + _KEYS.get(word[at], word[at]) + word[at + 1 :],
)


def families() -> Iterator[str]:
    """The families of orders."""
    yield from english.ATTACKS


if __name__ == "__main__":
    from itertools import islice

    for each in islice(texts(), 0, None, 211):
        print(each)
