"""The forms of tokens in a short notation: `w36` are 36 letters or digits, `u22 '.' u43` two parts and a dot.

A form is read as a regular expression, and as a recipe for an example. A letter names the characters, the number their
count (`20-64`: from, to); quoted text stands for itself.
"""

import random
import re
from functools import cache
from typing import Final

from attrs import frozen

_CLASSES: Final = {
    "w": "A-Za-z0-9",
    "u": "A-Za-z0-9_-",
    "n": "A-Za-z0-9_",
    "t": "A-Za-z0-9_=-",
    "o": "A-Za-z0-9_=.-",
    "b": "A-Za-z0-9+/",
    "s": "A-Za-z0-9+/_=-",
    "a": "A-Za-z",
    "l": "a-z0-9",
    "m": "a-z0-9_-",
    "U": "A-Z0-9",
    "h": "a-f0-9",
    "H": "A-F0-9",
    "x": "A-Fa-f0-9",
    "g": "a-h0-9",
    "d": "0-9",
    "z": "A-Z2-7",  # base32, RFC 4648
    "c": "1-9A-HJ-NP-Za-km-z",  # base58
    "v": "023456789AC-HJ-NP-Zac-hj-np-z",  # bech32, BIP 173
    "p": "=",
    "k": r"A-Za-z0-9/\\_-",
    "K": r"A-Za-z0-9+/\\_-",
    "j": "A-Za-z0-9_~.-",
    "e": "A-Za-z0-9%",
}
_PART: Final = re.compile(r"(?P<name>[a-zA-Z])(?P<least>\d+)(?:-(?P<most>\d+))?|'(?P<text>[^']*)'")
PREFIX: Final = 12  # characters of a body that a prefilter requires


@frozen
class Shape:
    """A form: as a regular expression, its ends for a prefilter, its letters as a class, and its greatest length."""

    source: str
    pattern: str
    start: str
    finish: str
    letters: str
    longest: int


@cache
def shape(source: str) -> Shape:
    """Parse a form."""
    pattern, start, finish, alphabet, longest, wanted = "", "", "", "", 0, PREFIX
    for part in source.split():
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"no form: {part!r}")
        if (text := match["text"]) is not None:
            piece, least, most = re.escape(text), len(text), len(text)
            ahead, finish = re.escape(text[:wanted]), re.escape(text)
            alphabet += re.escape(text)
        else:
            least = int(match["least"])
            most = int(match["most"] or least)
            letters = f"[{_CLASSES[match['name']]}]"
            alphabet = _CLASSES[match["name"]].removesuffix("-") + r"\-" + alphabet
            piece = f"{letters}{{{least},{most}}}"
            ahead = f"{letters}{{{min(least, wanted)}}}"
            finish = f"{letters}{{{min(least, PREFIX)}}}"
        pattern += piece
        if wanted > 0:
            start += ahead
            wanted -= least
            if least != most:
                wanted = 0
        longest += most
    return Shape(source, pattern, start, finish, alphabet, longest)


def example(source: str, seed: str) -> str:
    """Return a made-up text of this form, the same one for the same seed."""
    chance = random.Random(f"{source} {seed}")  # noqa: S311 - nothing here is secret
    made = ""
    for part in source.split():
        match = _PART.fullmatch(part)
        if match is None or match["text"] is not None:
            made += match["text"] if match else ""
        else:
            letters = _letters(_CLASSES[match["name"]])
            made += "".join(chance.choices(letters, k=int(match["least"])))
    return made


def _letters(span: str) -> str:
    """Return the characters of a class, dashes between two read as ranges."""
    spelled = re.sub(r"(\w)-(\w)", lambda m: "".join(map(chr, range(ord(m[1]), ord(m[2]) + 1))), span)
    return "".join(dict.fromkeys(spelled))
