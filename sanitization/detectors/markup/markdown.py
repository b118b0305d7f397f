"""Reads Markdown links and images (CommonMark 4.7, 6.3, 6.4) within bounds.

Every reading returns its `edge`: a text that ends before that place may still change the result. Looser than the
grammar, because renderers differ: an address may contain tabs, a label may continue on the next line, and a truncated
construct counts as well.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from sanitization.late import Late

LABEL_MAX: Final = 200
"""Characters of a label; CommonMark allows 999, and a find must be held back until its end."""
ADDRESS_MAX: Final = 300
"""Characters of an address that are read; problems show in its beginning."""
OPENERS: Final = 8
"""Brackets before a `](` that are tried."""
BEHIND: Final = 1_024
"""Characters back that are searched for the start of a paragraph, the use of a definition or the fence around code."""

_LABEL: Final = Late(
    r"(?: [^\[\]\\\n]++ | \\[^\n] | \n(?![ \t]{0,8}\n) | \[(?: [^\[\]\\\n]++ | \\[^\n] | \n(?![ \t]{0,8}\n) )*+\] )*+",
    re.VERBOSE,
)
_BODY: Final = Late(
    r"(?: [^()\n\\]++ | \\[^\n] | \n(?![ \t]{0,8}\n) | \( (?: [^()\n\\]++ | \\[^\n] | \([^()\n]*+\) )*+ \) )*+",
    re.VERBOSE,
)
_AHEAD: Final = 12
"""Characters after a line's end that decide whether a blank line follows."""
_POINTED: Final = Late(r"\s*<([^<>\n]*)>?")
_BARE: Final = Late(r"\s*(\S+(?:\t\S+)*)")
_TITLED: Final = Late(r"(?<!\s)\s++(?:\"[^\"]*\"|'[^']*'|\([^()]*\))\s*$")
_TITLE_ENDS: Final = ('"', "'", ")")
_HOST_END: Final = Late(r"\s*<?[A-Za-z+.&;#0-9-]{0,24}:?[/\\]{0,4}[^/\\?#\s<>)]{0,255}")
_LINE_START: Final = Late(r"(?:^|\n)[ \t>*+\-0-9.)]{0,16}\Z")
_DEFINED: Final = Late(r":[ \t]{0,8}(?:\n[ \t]{0,8})?")
_REFERENCE: Final = Late(r"\[([^\[\]\n]{0,100})\]")
_USE: Final = Late(r"!\[([^\[\]]{0,200})\](?:\[([^\[\]]{0,100})\])?")
_BLANK_LINE: Final = Late(r"\n[ \t]*\n")


class Target(NamedTuple):
    """A target: the `address` as written, its `end`, and the `edge` up to which text was read."""

    address: str
    end: int
    edge: int


class Label(NamedTuple):
    """The text between two brackets, from `start` to the closing one at `end`. `image`: a `!` precedes it."""

    start: int
    end: int
    image: bool


def label_end(text: str, opening: int) -> tuple[int, int]:
    """Return the place of the bracket that closes the one at `opening`, or -1; and the edge."""
    limit = opening + 1 + LABEL_MAX
    match = _LABEL.match(text, opening + 1, limit)
    stop = match.end() if match else opening + 1
    if stop >= limit:
        return -1, limit
    if text[stop : stop + 1] == "]":
        return stop, stop + 1
    return -1, stop + _AHEAD if text[stop : stop + 1] in ("\n", "\\", "") else limit


def is_escaped(text: str, place: int) -> bool:
    """Return whether an odd number of backslashes precedes a place."""
    if text[place - 1 : place] != "\\":
        return False
    before = text[max(0, place - 8) : place]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1


def label_before(text: str, closing: int) -> Label | None:
    """Return the label that the bracket at `closing` closes."""
    place, least = closing, max(0, closing - LABEL_MAX - 1)
    for _ in range(OPENERS):
        place = text.rfind("[", least, place)
        if place < 0:
            return None
        if not is_escaped(text, place) and label_end(text, place)[0] == closing:
            return Label(place + 1, closing, text[max(0, place - 1) : place] == "!")
    return None


def may_be_image(text: str, closing: int) -> bool:
    """Return whether the `](`, whose label is out of sight, may belong to an image: a `![` stands in its paragraph."""
    least = max(0, closing - BEHIND)
    paragraph = least
    for blank in _BLANK_LINE.finditer(text, least, closing):
        paragraph = blank.end()
    begun = paragraph > least or closing < BEHIND
    return text.find("![", paragraph, closing) >= 0 or not begun


def inline(text: str, closing: int) -> Target:
    """Read the target in the parentheses after the bracket at `closing`."""
    start = closing + 2
    limit = start + ADDRESS_MAX
    match = _BODY.match(text, start, limit)
    stop = match.end() if match else start
    body = text[start:stop]
    if text[stop : stop + 1] == ")" and stop < limit:
        return Target(_address(body), stop + 1, stop + 1)
    if stop < limit:
        tail = text[stop : stop + 1]
        edge = stop + 1 if tail == ")" else min(limit, stop + _AHEAD) if tail in ("\n", "\\", "") else limit
        # Unclosed, or parentheses nested too deeply: take the text up to here.
        return Target(_address(body), start + len(body.rstrip()), edge)
    return Target(_address(body), _host_end(text, start, limit), limit)


def _address(body: str) -> str:
    pointed = _POINTED.match(body) if "<" in body else None
    if pointed:
        return pointed[1]
    body = body.strip("\n ")
    return _TITLED.sub("", body).strip("\n ") if body[-1:] in _TITLE_ENDS else body


def _host_end(text: str, start: int, limit: int) -> int:
    """Return where the host of an oversized address ends; the rest is left to other detectors."""
    match = _HOST_END.match(text, start, limit)
    return match.end() if match else start


def definition(text: str, label: Label) -> Target | None:
    """Return the target of a definition: a label at the beginning of a line, with a colon after it."""
    opening = label.start - 1
    if not _LINE_START.search(text, max(0, opening - 18), opening):
        return None
    colon = _DEFINED.match(text, label.end + 1)
    if not colon:
        return None
    start, limit = colon.end(), colon.end() + ADDRESS_MAX
    line = text.find("\n", start, limit)
    stop = line if line >= 0 else min(len(text), limit)
    body = text[start:stop]
    pointed = _POINTED.match(body)
    bare = pointed or _BARE.match(body)
    if bare is None:
        return Target("", stop, stop + 1)
    end = stop if stop < limit else _host_end(text, start, limit)
    return Target(bare[1], end, stop + 1 if stop < limit else limit)


def reference(text: str, closing: int) -> re.Match[str] | None:
    """Return the second pair of brackets of `[label][reference]`."""
    return _REFERENCE.match(text, closing + 1)


def uses_as_image(text: str, end: int, name: str) -> bool:
    """Return whether an image shortly before `end` refers to this name."""
    wanted = _folded(name)
    return any(_folded(use[2] or use[1]) == wanted for use in _uses(text, end))


def _uses(text: str, end: int) -> Iterator[re.Match[str]]:
    place, least = end, max(0, end - BEHIND)
    for _ in range(OPENERS):
        place = text.rfind("![", least, place)
        if place < 0:
            return
        use = _USE.match(text, place, end)
        if use:
            yield use


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())
