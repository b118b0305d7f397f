"""A megabyte of ordinary conversation, the same each time: prose, code, addresses, numbers, some emoji, some people."""

from __future__ import annotations

import random
from typing import Final

SEED: Final = 20_26
Shares = tuple[float, float, float, float]

_OPENINGS: Final = (
    "Thanks, that helps.",
    "Hi! Quick question.",
    "Good morning,",
    "Sorry for the late answer.",
    "I had another look at it.",
    "Let me think about this step by step.",
    "Sure, here is what I would do.",
    "Hm, not quite.",
    "One more thing:",
    "As far as I can tell,",
    "Great question!",
    "To sum up,",
)
_SUBJECTS: Final = (
    "the report", "our team", "the second draft", "the library", "this function", "the weather in Lisbon",
    "the meeting on Thursday", "a smaller model", "the customer in Ghent", "the kitchen table", "that recipe",
    "the last train", "your proposal", "the cache", "the search index", "my neighbour's dog", "the new layout",
    "the old server", "the choir", "a friend of mine", "the invoice", "the garden", "the quarterly plan",
)  # fmt: skip
_VERBS: Final = (
    "looks better than before", "needs a few more days", "should be ready by the end of the week",
    "turned out to be slower than we thought", "depends on what the others say", "was moved to the afternoon",
    "does what it promises", "could be explained with one simple example", "fails only when it runs twice",
    "makes sense once you have seen it", "has been discussed at length", "will not fit on one page",
    "reminds me of something I read years ago", "is worth the effort", "went well, all things considered",
    "returns the wrong value for an empty list", "keeps everyone awake", "costs less than I feared",
)  # fmt: skip
_TAILS: Final = (
    "", "", "", " because nobody had the time to check", " and that is fine for now", ", although I may be wrong",
    " if we start early enough", ", so please have a look when you can", " (see the notes from last week)",
    ' - the word I would use is "careful"', "; the rest can wait", ", at least on my machine", " for about {n} people",
    " after {n} minutes", " at {hour}:{minute}", " in version {n}.{m}.{k}", " on page {n}", " with {n}.{m} % to spare",
    " by {year}-{month}-{day}", " since {year}", " within {n} ms",
)  # fmt: skip
_PARAGRAPHS: Final = (
    "There are three things to consider here. First, the order of the steps matters more than their speed. Second, what"
    " is written down can be checked later. Third, it is easier to add a step than to take one away.\n",
    "Water boils at a lower temperature in the mountains, so pasta takes longer there. At 2,500 metres it boils at"
    " about 92 °C, which is enough for tea but not for beans.\n",
    "The easiest way is to sort the list first and then walk through it once. That takes O(n log n) time; for n < 9 it"
    " makes no difference whether you do anything cleverer.\n",
    "- buy bread, milk and {n} eggs\n- call the dentist\n- read chapter {n}\n- water the plants on the balcony\n",
    "| city | people | since |\n| --- | ---: | --- |\n| Porto | {n},{k}00 | {year} |\n| Turku | {m}9,000 | {year} |\n",
    "1. Open the settings.\n2. Choose *Language & region*.\n3. Pick the one you want, and restart.\n",
    "> What would you have done?\n\nProbably the same, to be honest: with a > b and b > c there is little to choose.\n",
    "Könnten wir das auf nächste Woche verschieben? Es wäre für alle entspannter, und der Raum ist am Dienstag frei.\n",
    "Je pense que la deuxième version est plus claire : elle dit d'abord ce qu'il faut faire, puis pourquoi.\n",
)
_CODE: Final = (
    "```python\ndef mean(values: list[float]) -> float:\n    if not values:\n        return 0.0\n"
    "    return sum(values) / len(values)\n```\n",
    "```js\nconst byName = (a, b) => a.name < b.name ? -1 : 1;\nitems.sort(byName).slice(0, {n});\n```\n",
    "```sql\nSELECT city, count(*) AS n FROM visits WHERE day > '{year}-{month}-01' GROUP BY city HAVING n > 9;\n```\n",
    '```json\n{{"id": {n}{k}, "name": "lamp", "size": [{n}, {m}], "tags": ["new", "light"], "sold": false}}\n```\n',
    '```console\n$ git log --oneline -3\n{hash} Fix the order of the lines\n$ make test ARGS="-x tests/unit"\n```\n',
    "Try `for row in rows[{n}:]: print(row.total / {m})` and tell me what `len(rows)` is.\n",
    "The traceback ends with `KeyError: 'width'` in `layout.py`, line {n}; `dict.get(\"width\", {n}0)` would do.\n",
    '```html\n<ul class="list">\n  <li>first</li>\n  <li>second &amp; last</li>\n</ul>\n```\n',
)
_LINKS: Final = (
    "It is explained at https://docs.example.org/guide/chapter-{n}.html#part-{m} quite well.\n",
    "See [the tutorial](https://www.example.com/learn/python?lesson={n}) or the README.\n",
    "https://en.wikipedia.org/wiki/Lighthouse_of_Alexandria has a picture of it.\n",
)
_PEOPLE: Final = (
    "You can reach her at anna.k{n}@example.org until Friday.\n",
    "The number of the front desk is +49 30 9018{n}{m}, from nine to five.\n",
    "Write to {n} Maple Street, Springfield, IL 62{k}, please.\n",
    "The printer has the address 10.{m}.{n}.17 now.\n",
)  # fmt: skip
EVERYDAY: Final = (0.3, 1 / 6, 1 / 20, 1 / 50)
"""Shares of messages with another paragraph, code, a web address, something personal: about those of conversations with
an assistant. The text has an address for every thousand words.
"""
DENSE: Final = (0.3, 1 / 3, 1 / 3, 1 / 6)
"""These shares in a conversation about web pages, numbers and people: every message matches a prefilter."""
_EMOJI: Final = (" 🙂", " 🎉", " 👍🏽", " 👩‍💻", " ❤️", " 🤔")


def chat(size: int, shares: Shares = EVERYDAY, seed: int = SEED) -> str:
    """Return consecutive messages, `size` characters in all."""
    return "".join(messages(size, shares, seed))[:size]


def messages(size: int, shares: Shares = EVERYDAY, seed: int = SEED) -> list[str]:
    """Return messages of `size` characters together."""
    chance = random.Random(seed)
    parts: list[str] = []
    length = 0
    while length < size:
        parts.append(message(chance, shares))
        length += len(parts[-1])
    return parts


def message(chance: random.Random, shares: Shares = EVERYDAY) -> str:
    """Return one message: mostly prose."""
    said = [chance.choice(_OPENINGS)]
    said += [_sentence(chance) for _ in range(chance.randint(1, 6))]
    text = " ".join(said)
    if chance.random() < 0.1:
        text += chance.choice(_EMOJI)
    text += "\n"
    for share, pieces in zip(shares, (_PARAGRAPHS, _CODE, _LINKS, _PEOPLE), strict=True):
        if chance.random() < share:
            text += _filled(chance.choice(pieces), chance)
    return text + "\n"


def _sentence(chance: random.Random) -> str:
    subject = chance.choice(_SUBJECTS)
    tail = _filled(chance.choice(_TAILS), chance)
    return f"{subject[0].upper()}{subject[1:]} {chance.choice(_VERBS)}{tail}{chance.choice('....?!')}"


def _filled(text: str, chance: random.Random) -> str:
    return text.format(
        n=chance.randint(2, 99), m=chance.randint(1, 9), k=chance.randint(100, 999), hour=chance.randint(7, 22),
        minute=f"{chance.randint(0, 59):02}", year=chance.randint(1990, 2026), month=f"{chance.randint(1, 12):02}",
        day=f"{chance.randint(1, 28):02}", hash=f"{chance.getrandbits(28):07x}",
    )  # fmt: skip
