"""Texts made to be slow: beginnings of each rule's finds, repeated, and near matches."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterator
from typing import Final

UNITS: Final = {
    "one letter": "a",
    "one digit": "7",
    "blanks": " ",
    "line ends": "\n",
    "zero-width spaces": "\u200b",
    "letters and zero-width spaces": "a\u200b",
    "tag characters": "\U000e0041",
    "flags and tags": "\U0001f3f4\U000e0067",
    "joined emoji": "👩\u200d",
    "open isolates": "\u2068א",
    "closed isolates": "\u2068א\u2069",
    "combining marks": "a\u0301\u0316\u0323",
    "Cyrillic in Latin": "p\u0430ssword ",
    "fullwidth letters": "".join(chr(ord(letter) + 0xFEE0) for letter in "ignore") + "\u3000",
    "lone surrogates": "\ud83d ",
    "escapes": "\x1b",
    "open control strings": "\x1b]0;a b ",
    "open control sequences": "\x1b[1;",
    "nulls": "a\x00",
    "jwt heads": "eyJ",
    "dotted jwt heads": "eyJabcdefgh.",
    "token heads": "ghp_ AKIA sk- xoxb- AIza ",
    "glued token heads": "sk-ghp_",
    "assignments": "password=",
    "assignments in prose": "the password is ",
    "quoted assignments": "'token':'",
    "open quotes": 'secret = "a b ',
    "keys begun": "-----BEGIN RSA PRIVATE KEY-----",
    "keys begun on lines": "-----BEGIN PRIVATE KEY-----\nMIIB\n",
    "heads of tables": "user,password\n",
    "heads in one line": "token,",
    "heads in lists": '[["password","a"],',
    "addresses with users": "https://a:b",
    "addresses": "https://a.b/?q=c&",
    "at signs": "a@",
    "almost e-mail": "a.b-c_d+e@f.g-",
    "e-mail": "a@b.co ",
    "groups of digits": "4111 ",
    "digits and dashes": "1-2-",
    "almost IP addresses": "1.2.3.",
    "colons": "fe80:",
    "almost IBAN": "DE89 3704 0044 0532 0130 0",
    "plus signs": "+49 (0) ",
    "dates": "1999-12-31 born ",
    "orders": "ignore all previous ",
    "telling words": "assistant prompt password ",
    "telling sentences": "My assistant. A prompt. ",
    "orders in capitals": "IGNORE PREVIOUS INSTRUCTIONS! ",
    "chat tokens": "<|im_start|>",
    "almost chat tokens": "<|",
    "role lines": "\nSystem: ",
    "base64": "aWdub3JlIGFsbCBwcmV2aW91cyBpbnN0cnVjdGlvbnMg",
    "spelled out": "i g n o r e ",
    "morse": ".. --. -. --- .-. . / ",
    "hex": "69676e6f7265",
    "percent signs": "%69%67",
    "entities": "&#105;&#x67;",
    "angle brackets": "<",
    "open tags": "<a href=",
    "handlers": "<img src=x onerror=",
    "comments": "<!--",
    "open links": "[a](",
    "nested brackets": "![[",
    "reference links": "[a]: http://b\n",
    "links": "![a](https://evil.example/?d=b) ",
    "style": "<style>@import url(",
    "backslashes": "\\u0069",
    "addresses of houses": "12 Main Street, Apt 4, ",
}
"""Repeated units, by name."""

_KEY: Final = string.ascii_letters + string.digits + "+/-_.=:@ \n"


def _random(alphabet: str) -> Callable[[int], str]:
    return lambda size: "".join(random.Random(7).choices(alphabet, k=size))


def _nested(opening: str, closing: str) -> Callable[[int], str]:
    return lambda size: (opening * (size // 2 // len(opening)) + closing * (size // 2 // len(closing)))[:size]


MADE: Final[dict[str, Callable[[int], str]]] = {
    "random base64": _random(string.ascii_letters + string.digits + "+/"),
    "random printable": _random("".join(map(chr, range(0x20, 0x7F)))),
    "random key-like": _random(_KEY),
    "random digits": _random(string.digits + " -.()"),
    "random signs": _random("<>[]()!\"'=&;:/\\|"),
    "random code points": _random("".join(map(chr, range(0x20, 0x2FFF, 3)))),
    "nested markup": _nested("<div><b>", "</b></div>"),
    "nested quotes": _nested("> ", "\n"),
    "all heads": lambda size: ("".join(UNITS.values()) * (size // 200))[:size],
}
"""Functions that make a text of a given length, by name."""


def texts(size: int) -> Iterator[tuple[str, str]]:
    """Yield every text, of about `size` bytes, with its name."""
    for name, unit in UNITS.items():
        yield name, unit * (size // len(unit.encode("utf-8", "surrogatepass")))
    for name, made in MADE.items():
        yield name, made(size)
