"""Orders in another writing: base64, base32, hexadecimal, rot13, reversed, Morse, numbers, escapes, letters set apart.

Each writing is recognised by its form alone, decoded up to a bound, and returned as plain text for the rules.
"""

# ruff: noqa: SIM905 - listings are easier to read than lists

import base64
import binascii
import codecs
import html
import re
import string
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple
from urllib.parse import unquote

from attrs import frozen

from sanitization.late import Late
from sanitization.prefilter import Prefilter

READ_MAX: Final = 512
"""Characters of one encoded run that are read, from its beginning."""
BLOCK: Final = 384
"""Characters of the blocks in which a longer run without blanks is read; each overlaps the one before it."""
OVERLAP: Final = 128
RUN_MAX: Final = 4_096
"""Characters of a run that are read at all."""
RUN_LEAST: Final = 20
ROW: Final = 6
"""Least number of signs set apart in a row that may be letters."""
PRINTED: Final = 0.9
"""Least share of letters, digits and blanks in decoded text."""


class Decoded(NamedTuple):
    """The decoded text of a piece (`start` to `end`); `how` is the name of the writing."""

    start: int
    end: int
    text: str
    how: str


# --- runs without blanks ----------------------------------------------------------------------------------------

_RUN: Final = Late(rf"[A-Za-z0-9+/_-]{{{RUN_LEAST},{RUN_MAX}}}={{0,6}}")
_ALPHABET: Final = string.ascii_letters + string.digits + "+/_-="
_HEX: Final = Late(r"(?:0[xX])?((?:[0-9A-Fa-f]{2})+)")
_BASE32: Final = Late("[A-Z2-7]+=*|[a-z2-7]+=*")
_BINARY: Final = Late("[01]+")


_READABLE: Final = " \n\t.,:;!?'\"-_()<>[]{}|/#*=&@$+%"
_HIGH: Final = bytes(range(0x80, 0x100))
_LEGIBLE: Final = (string.ascii_letters + string.digits + _READABLE).encode()
_FINE: Final = _HIGH + b"\x00" + _LEGIBLE


def _text(raw: bytes) -> str:
    """Return the bytes as text, or an empty text if they are not text."""
    # A quick test: among random bytes, more are non-text than this bound allows.
    low = len(raw.translate(None, _HIGH))
    if len(raw.translate(None, _FINE)) > (1 - PRINTED) * (low + (len(raw) - low) / 2) + 1:
        return ""
    text = raw.decode("utf-8", "ignore")
    if len(text) < 0.8 * len(raw) and b"\x00" in raw:
        text = raw.replace(b"\x00", b"").decode("utf-8", "ignore")
    if text.isascii():
        readable = len(text) - len(text.encode().translate(None, _LEGIBLE))
    else:
        readable = sum([letter.isalnum() or letter in _READABLE for letter in text])
    return text if text and readable >= PRINTED * max(len(text), len(raw) // 4) else ""


def _unrun(run: str) -> Iterator[tuple[str, str]]:
    """Yield the possible decodings of a run, with the name of the writing."""
    hexadecimal = _HEX.compiled.fullmatch(run)
    if hexadecimal:
        yield _text(bytes.fromhex(hexadecimal[1])), "hexadecimal"
    if len(run) >= 48 and _BINARY.compiled.fullmatch(run):
        yield _text(bytes(int(run[at : at + 8], 2) for at in range(0, len(run) - 7, 8))), "binary"
    if _BASE32.compiled.fullmatch(run):
        bare = run.rstrip("=").upper()
        bare = bare[: len(bare) - len(bare) % 8 + (0, 0, 2, 2, 4, 5, 5, 7)[len(bare) % 8]]
        yield _quiet(base64.b32decode, bare + "=" * (-len(bare) % 8)), "base32"
    bare = run.rstrip("=").replace("-", "+").replace("_", "/")
    if len(bare) % 4 == 1:
        bare = bare[:-1]
    yield _quiet(base64.b64decode, bare + "=" * (-len(bare) % 4)), "base64"


def _quiet(decode: Callable[[str], bytes], run: str) -> str:
    try:
        return _text(decode(run))
    except (binascii.Error, ValueError):
        return ""


_IN_RUN: Final = bytes(ord("1" if chr(code) in _ALPHABET.rstrip("=") else "0") for code in range(256))
_LEAST: Final = b"1" * RUN_LEAST


def runs(text: str, start: int) -> Iterator[Decoded]:
    """Yield long words that are text in base64, base32, hexadecimal or binary."""
    behind = text[max(0, start - RUN_MAX) : start]
    position = start - len(behind) + len(behind.rstrip(_ALPHABET))
    marked = text[position:].encode("ascii", "replace").translate(_IN_RUN)
    place = marked.find(_LEAST)
    while place >= 0:
        match = _RUN.match(text, position + place)
        if not match:
            return
        yield from _blocks(match, start)
        place = marked.find(_LEAST, match.end() - position)


def _blocks(match: re.Match[str], start: int) -> Iterator[Decoded]:
    begin, run = match.start(), match[0]
    for at in range(0, len(run), BLOCK):
        block = run[max(0, at - OVERLAP) : at + BLOCK]
        if begin + at < start or len(block) < RUN_LEAST:
            continue
        for decoded, how in _unrun(block):
            if decoded:
                yield Decoded(begin + at, min(begin + at + BLOCK, match.end()), decoded, how)


def run_settled(text: str, start: int) -> int:
    """Return where the last block begins if the text ends in a run."""
    behind = text[max(0, len(text) - RUN_MAX) :]
    begin = len(text) - len(behind) + len(behind.rstrip(_ALPHABET))
    return max(start, begin + (len(text) - begin) // BLOCK * BLOCK)


# --- tokens with something between them --------------------------------------------------------------------------

_MORSE: Final = dict(
    zip(
        ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.. "
        "----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----.".split(),
        "abcdefghijklmnopqrstuvwxyz0123456789",
        strict=True,
    )
)


@frozen
class SpacedTokens:
    """A writing whose letters stand apart: at least `least` of `token`, with `between` in between."""

    how: str
    token: str
    between: str
    least: int
    read: Callable[[str], str]
    begun: str = ""
    """Pattern of an incomplete token."""

    @property
    def pattern(self) -> Late:
        """A whole run."""
        return Late(
            f"(?<![^\\W_])(?:{self.token})(?:(?:{self.between})(?:{self.token})){{{self.least - 1},{READ_MAX}}}"
        )

    @property
    def preceded(self) -> Late:
        """A token before another one, which is then not the first of its run."""
        return Late(f"(?<![^\\W_])(?:{self.token})(?:{self.between})$")

    @property
    def unfinished(self) -> Late:
        """A run that reaches the end of a text."""
        return Late(
            f"(?<![^\\W_])(?:{self.token})(?:(?:{self.between})(?:{self.token})){{0,{READ_MAX}}}"
            f"(?:(?:{self.between})[^\\s]{{0,8}})?$"
        )

    @property
    def prefilter(self) -> Prefilter:
        """Some tokens in a row."""
        more = f"(?:(?:{self.between})(?:{self.token})){{{min(self.least, ROW) - 1}}}"
        return Prefilter(pattern=f"(?:^|[^A-Za-z0-9])(?:{self.token}){more}")

    @property
    def ends(self) -> Prefilter:
        """Some tokens in a row, or fewer at the end of a text: at least one and a separator."""
        row = f"(?:{self.token})"
        for number in range(min(self.least, ROW) - 1, 0, -1):
            more = f"(?:{self.between})(?:{self.begun}$|{row})"
            row = f"(?:{self.token})" + (f"(?:$|{more})" if number > 1 else more)
        return Prefilter(pattern=f"(?:^|[^A-Za-z0-9]){row}")


def _morse(run: str) -> str:
    words = re.split(r" {0,2}[/|\n] {0,2}| {2,}", run)
    return " ".join("".join(_MORSE.get(sign, "") for sign in word.split()) for word in words)


def _numbers(base: int) -> Callable[[str], str]:
    def read(run: str) -> str:
        numbers = [int(code, base) for code in re.findall("[0-9A-Fa-f]+", run.replace("0x", " ").replace("\\x", " "))]
        return _text(bytes(number for number in numbers if number < 256))

    return read


def _letters(run: str) -> str:
    """Join letters set apart. The separator between words is wider than, or differs from, the one between letters."""
    signs = re.findall("[^A-Za-z0-9@$!]+", run)
    usual = max(set(signs), key=signs.count) if signs else " "
    parts = re.split("([^A-Za-z0-9@$!]+)", run)
    return "".join(part if at % 2 == 0 else "" if part == usual else " " for at, part in enumerate(parts))


TOKENS: Final[tuple[SpacedTokens, ...]] = (
    SpacedTokens("Morse", r"[.-]{1,5}", r" {1,3}(?:[/|] {0,3})?| {0,2}[/|\n] {0,2}", 12, _morse),
    SpacedTokens("binary", r"[01]{7,8}", r"[ ,\n]{1,2}", 6, _numbers(2), "[01]{0,6}"),
    SpacedTokens("numbers", r"(?:[3-9][0-9]|1[0-2][0-9])", r"[ ,;\n]{1,2}", 10, _numbers(10), "[0-9]{0,2}"),
    SpacedTokens("hexadecimal", r"(?:0x|\\x)?[2-7][0-9A-Fa-f]", r"[ ,:;-]{1,2}", 10, _numbers(16), r"[0\\]?x?[2-7]?"),
    SpacedTokens("letters apart", r"[A-Za-z0134578@$!]", r"[ .\-_*~|/]{1,5}", 8, _letters),
)
_BY_NAME: Final = {token.how: (token.read, token.pattern, token.preceded, token.unfinished) for token in TOKENS}


def tokens(text: str, start: int, how: str) -> Iterator[Decoded]:
    """Yield runs of single signs, each a letter."""
    read, pattern, preceded, _ = _BY_NAME[how]
    position = start
    while match := pattern.search(text, position):
        begin, position = match.start(), match.end()
        if preceded.search(text, max(0, begin - 16), begin):
            continue
        near = pattern.match(text, begin, begin + READ_MAX)
        decoded = read(near[0]) if near else ""
        if near and decoded.strip():
            yield Decoded(begin, near.end(), decoded, how)


def tokens_settled(text: str, start: int, how: str) -> int:
    """Return where a run begins that the end of the text may still be in."""
    unfinished = _BY_NAME[how][3].search(text, max(start, len(text) - READ_MAX))
    return unfinished.start() if unfinished else len(text)


# --- escapes ------------------------------------------------------------------------------------------------------

_ESCAPE: Final = (
    r"(?:\\u\{?[0-9A-Fa-f]{2,6}\}?|\\x[0-9A-Fa-f]{2}|%[0-9A-Fa-f]{2}|"
    r"&#[xX]?[0-9A-Fa-f]{1,6};?|\\[0-7]{3}|U\+[0-9A-Fa-f]{4,5})"
)
_ESCAPES: Final = Late(rf"[A-Za-z0-9]{{0,24}}{_ESCAPE}(?:[^\n]{{0,6}}?{_ESCAPE}){{2,160}}[A-Za-z]{{0,24}}")
_FIRST: Final = Late(_ESCAPE)
_PRECEDED: Final = Late(rf"{_ESCAPE}[^\n]{{0,6}}$")
_ONE: Final = Late(r"(?:\\u\{?|U\+)([0-9A-Fa-f]{2,6})\}?|\\x([0-9A-Fa-f]{2})|\\([0-7]{3})")
ESCAPE_PREFILTER: Final = Prefilter(
    literals=("%", "\\", "&#", "u+"),
    pattern=r"(?:%[0-9a-f]{2}|\\u\{?[0-9a-f]{2}|\\x[0-9a-f]{2}|&#[x0-9]|\\[0-7]{3}|u\+[0-9a-f]{4})",
    ignore_case=True,
)
_WORD: Final = Late("[A-Za-z0-9]{0,24}$")


def _begin(text: str, at: int) -> int:
    """Return where the word of an escape begins."""
    word = _WORD.search(text, max(0, at - 24), at)
    return word.start() if word else at


def escapes(text: str, start: int) -> Iterator[Decoded]:
    """Yield text whose letters are escaped as in addresses, markup or source."""
    position = start
    while first := _FIRST.search(text, position):
        at, position = first.start(), first.end()
        begin = _begin(text, at)
        if begin < start or _PRECEDED.search(text, max(0, at - 18), at):
            continue
        match = _ESCAPES.match(text, begin, begin + READ_MAX)
        if match:
            position = max(position, match.end())
            decoded = unquote(html.unescape(_ONE.compiled.sub(_character, match[0])))
            yield Decoded(begin, match.end(), decoded, "escapes")


def escapes_settled(text: str, start: int) -> int:
    """Return where a run of escapes begins that the end of the text may still be in."""
    position = max(start, len(text) - READ_MAX)
    while first := _FIRST.search(text, position):
        at, position = first.start(), first.end()
        if _PRECEDED.search(text, max(0, at - 18), at):
            continue
        match = _ESCAPES.match(text, at, at + READ_MAX)
        if (match.end() if match else first.end()) + 40 > len(text):
            return max(start, _begin(text, at))
    return len(text)


def _character(match: re.Match[str]) -> str:
    code = int(match[1] or match[2], 16) if not match[3] else int(match[3], 8)
    return chr(code) if code < 0x110000 else ""


# --- words turned ---------------------------------------------------------------------------------------------------

_TURNED_WORDS: Final = (
    "ignore disregard forget override bypass previous instructions instruction prompt system directives guidelines "
    "restrictions reveal jailbreak unrestricted"
)
REVERSED: Final = tuple(sorted(word[::-1] for word in _TURNED_WORDS.split()))
ROT13: Final = tuple(
    codecs.encode(word, "rot13")
    for word in "ignore disregard forget overrid bypass overlook reveal unrestrict jailbr".split()
)
_TURNED: Final = Late("|".join(REVERSED), re.IGNORECASE)
_ROTATED: Final = Late("|".join(ROT13), re.IGNORECASE)
SENTENCE_MAX: Final = 240
_LINE: Final = Late(rf"[^\n]{{1,{SENTENCE_MAX}}}")


def turned(text: str, start: int) -> Iterator[Decoded]:
    """Yield sentences written backwards, from the first reversed word on."""
    for at, end in _lines(text, start, _TURNED):
        yield Decoded(at, end, text[at:end][::-1], "reversed")


def rotated(text: str, start: int) -> Iterator[Decoded]:
    """Yield sentences in rot13."""
    for at, end in _lines(text, start, _ROTATED):
        yield Decoded(at, end, codecs.encode(text[at:end], "rot13"), "rot13")


def _lines(text: str, start: int, words: Late) -> Iterator[tuple[int, int]]:
    """Yield spans from the first of the words to the end of the line; a second word near it begins none."""
    position = start
    while match := words.search(text, position):
        at, position = match.start(), match.end()
        if not words.search(text, max(0, at - SENTENCE_MAX), at):
            line = _LINE.match(text, at)
            yield at, line.end() if line else position


def line_settled(text: str, start: int, turned_round: bool) -> int:
    """Return where a reversed or rot13 sentence begins whose end is not known."""
    words = _TURNED if turned_round else _ROTATED
    for match in words.finditer(text, max(start, len(text) - SENTENCE_MAX)):
        if "\n" not in text[match.start() : match.start() + SENTENCE_MAX]:
            return match.start()
    return len(text)


RUN_PREFILTER: Final = Prefilter(pattern=rf"[A-Za-z0-9+/_-]{{{RUN_LEAST}}}")
