"""Private keys in blocks of text: PEM (RFC 7468) of every label, OpenSSH, OpenPGP, SSH.com, PuTTY.

A block may be cut off, stand on one line, be indented, quoted, or be the value of a string with `\\n` in it. Tools
print something before each of its lines: numbers, names of files, times, the signs of a diff.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from sanitization.findings import REPLACEMENT, Hit, Kind
from sanitization.late import Late
from sanitization.prefilter import Prefilter

from .rules import Anchor, places

BLOCK_MAX: Final = 16_000
BLOCK_LEAST: Final = 24  # base64 characters; less is text about keys
LINE_LEAST: Final = 16  # least length of a line that is not a word

PRINTED_LEAST: Final = 40  # base64 characters of a line with something around it: all but the last have 64 or more
PRINTED_MAX: Final = 260  # characters that a tool prints around a line, and those of the line

_LABEL: Final = r"[A-Za-z0-9 _.-]{0,60}?"  # ends with the first dashes, whatever follows those
_HEAD: Final = Late(rf"-{{4,5}} ?BEGIN {_LABEL}PRIVATE KEY(?: BLOCK)? ?-{{4,5}}", re.IGNORECASE)
_BETWEEN: Final = (
    r"(?:\s|\\{1,2}(?:[nrt]|u000[aAdD])|[\"'`+>|,;#*.\\(){}\[\]]|<br ?/?>|&#(?:10|13|x[aAdD]);|&quot;){0,64}"
)
_FIELD: Final = r"(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset|MessageID|Subject)\\?: (?:[^\n\\&]|&(?!#)){0,200}"
_LINE: Final = Late(rf"{_BETWEEN}(?:(?P<field>{_FIELD})|(?P<line>[A-Za-z0-9+/=]{{1,16000}}))")
_WORD: Final = Late(r"[A-Za-z]?[a-z]*|[A-Z]*|.{1,7}")
_FOOT: Final = rf"-{{4,5}} ?END {_LABEL}PRIVATE KEY(?: BLOCK)? ?-{{4,5}}"
_TAIL: Final = Late(_BETWEEN + _FOOT, re.IGNORECASE)
_HEAD_SO_FAR: Final = Late(r"-{4,5} ?(?:B|BE|BEG|BEGI|BEGIN|BEGIN [A-Za-z0-9 _.-]{0,80}-{0,4})?\Z", re.IGNORECASE)
_END: Final = r"<[br /]{0,4}|&[#\w]{0,5}|-{1,5} ?(?:E|EN|END|END [A-Za-z0-9 _.-]{0,80}-{0,4})?"
_END_SO_FAR: Final = Late(rf"{_BETWEEN}(?:{_END})?\Z", re.IGNORECASE)
_TAIL_SO_FAR: Final = Late(rf"{_BETWEEN}(?:{_END}|[A-Z][A-Za-z-]{{0,9}}(?:\\?: ?[^\n\\]{{0,200}})?)?\Z", re.IGNORECASE)

_BREAKS: Final = (Late(r"\r?\n|<br ?/?>"), Late(r"(?:\\{1,2}(?:r|u000d))?\\{1,2}(?:n|u000a)"))
_END_LINE: Final = Late(_FOOT, re.IGNORECASE)
_EMPTY: Final = Late(
    rf"(?:[^\n]{{0,{PRINTED_MAX}}}[^A-Za-z0-9\s])?\s*|\s*\d{{1,6}}\s*|[^\n]{{0,{PRINTED_MAX}}}?{_FIELD}"
)
_NO_LETTERS: Final = frozenset("=+/0123456789")
_PROSE: Final = Late(r"[ \t][A-Za-z]+,?(?:[ \t]+[A-Za-z]+,?){2}")
_RUN: Final = Late(r"[A-Za-z0-9+/=]+")

_PUTTY: Final = Late(r"Private-Lines: ?(?P<lines>\d{1,3})[ \t]*(?=\s|\\|<)")
_PUTTY_SO_FAR: Final = Late(r"Private-Lines:? ?\d{0,3}[ \t]*\Z")


class Blocks:
    """Private keys between `BEGIN` and `END`, and those of PuTTY."""

    name = "block"
    prefilter = Prefilter(literals=("----", "Private-Lines:"))
    kinds = (
        Kind(
            "secret.private_key",
            "private key",
            "-----BEGIN PRIV" + "ATE KEY-----\n" + "MIIb9Qx2" * 8 + "\n-----END PRIV" + "ATE KEY-----",
        ),
    )

    def anchors(self, text: str, lowered: str, start: int) -> Iterator[Anchor]:
        """Yield where blocks begin."""
        for place in places(lowered, "begin ", start):
            at = _dashes(text, place)
            if at >= start:
                yield Anchor(at, 0, _block)
        for place in places(text, "Private-Lines:", start):
            yield Anchor(place, 0, _putty)

    def settled(self, text: str, lowered: str, start: int, word: int) -> int:
        """Return where a block begins whose end may still come."""
        end = len(text)
        tail = max(start, end - 12)
        for place in range(tail, end):  # the dashes alone, and those with a blank behind them
            if text[place] == "-" and _HEAD_SO_FAR.match(text, place):
                end = place
                break
        first = end
        for place in places(lowered, "begin", max(start, len(text) - BLOCK_MAX)):
            at = _dashes(text, place)
            if start <= at < first and _is_open(text, at):
                first = at
        for place in places(text, "Private-Lines:", max(start, len(text) - BLOCK_MAX)):
            if place < first and _putty_is_open(text, place):
                first = place
        return first


def _dashes(text: str, place: int) -> int:
    """Return where the dashes before a BEGIN begin: five, or four and a blank; -1 if there are none."""
    for dashes in ("-----", "---- "):
        if text.startswith(dashes, place - 5) and place >= 5:
            return place - 5
    return -1


def _lines(text: str, place: int, limit: int) -> tuple[int, int, bool]:
    """Return where the lines of a key that begin at `place` end, their number of characters, and whether the last may
    continue: it is short, and the text ends with it.
    """
    read = 0
    while match := _LINE.match(text, place, limit):
        line = match["line"]
        if line is not None:
            short = len(line) < LINE_LEAST
            if short and match.end() == len(text):
                return place, read, True
            if short and not (read >= LINE_LEAST and _is_rest(text, match)):
                break
            read += len(line)
        place = match.end()
    return place, read, False


class _Printed(NamedTuple):
    """Lines of a key with something around each: where they end, their base64 characters, and whether more may come."""

    end: int
    read: int
    open: bool


def _printed(text: str, start: int, place: int, limit: int, most: int = 1_000) -> _Printed:
    """Read the lines that follow the one in which `place` is, at most so many. The key begins at `start`.

    A line of a key contains a run of base64, whatever stands around it; those before the first may be empty or name a
    field. A short line counts if it is as those before it, or the key's end follows. Lines may be those of a string.
    """
    real, escaped = (_read_lines(text, start, place, limit, most, line_break) for line_break in _BREAKS)
    return real if (real.read, real.open) >= (escaped.read, escaped.open) else escaped


def _read_lines(text: str, start: int, place: int, limit: int, most: int, breaks: Late) -> _Printed:
    end, read, short, indent = place, 0, 0, 0
    line_break = breaks.search(text, place, min(limit, place + PRINTED_MAX))
    if line_break is None or _PROSE.search(text, place, line_break.start()):
        return _Printed(end, read, len(text) - place < PRINTED_MAX and not _PROSE.search(text, place))
    around = start - 1 - text.rfind("\n", max(0, start - PRINTED_MAX), start) + line_break.start() - place
    for _ in range(most):
        begin = line_break.end()
        line_break = breaks.search(text, begin, limit)
        stop = line_break.start() if line_break else min(len(text), limit)
        line = text[begin:stop]
        if tail := _END_LINE.search(line, 0, PRINTED_MAX + 100):
            return _Printed(begin + tail.end(), read, open=False)
        if _HEAD.search(line, 0, PRINTED_MAX):  # each line is read for one key
            return _Printed(end, read, open=False)
        last = max(_RUN.finditer(line), key=lambda found: len(found[0]), default=None)
        run = len(last[0]) if last else 0
        near = len(line) - run <= PRINTED_MAX
        alike = (
            run >= 8 and last and last.start() == indent > 0 and not (line_break and _NO_LETTERS.isdisjoint(last[0]))
        )
        if last and near and not short and (run >= PRINTED_LEAST or alike):
            end, read, indent = begin + last.end(), read + run, last.start()
        elif line_break and read and run and short < 2 and near:
            short += 1
        elif line_break and (read or not (len(line) <= around + 2 or _EMPTY.fullmatch(line))):
            return _Printed(end, read, open=False)
        if line_break is None:
            return _Printed(end, read, stop == len(text) and near)
    return _Printed(end, read, open=False)


def _is_rest(text: str, match: re.Match[str]) -> bool:
    """Return whether a short line is the last one of a key: not a word, or followed by the end."""
    return not _NO_LETTERS.isdisjoint(match["line"]) or bool(_TAIL.match(text, match.end()))


def _block(text: str, start: int) -> Hit | None:
    """Return a block up to its end line, or a truncated block up to its last line."""
    head = _HEAD.match(text, start)
    if head is None:
        return None
    limit = start + BLOCK_MAX
    place, read, rest = _lines(text, head.end(), limit)
    if rest:
        match = _LINE.match(text, place, limit)
        if match is not None and (read >= LINE_LEAST or not _WORD.fullmatch(match["line"])):
            place, read = match.end(), read + BLOCK_LEAST
    tail = _TAIL.match(text, place, limit + 100)
    if tail is None:
        printed = _printed(text, start, head.end(), limit)
        if printed.read >= BLOCK_LEAST and printed.end > place:
            return Hit(start, printed.end, "secret.private_key", 1.0, REPLACEMENT, start)
    if read < (LINE_LEAST if place == len(text) else BLOCK_LEAST):
        return None
    return Hit(start, tail.end() if tail else place, "secret.private_key", 1.0, REPLACEMENT, start)


def _is_open(text: str, start: int) -> bool:
    head = _HEAD.match(text, start)
    if head is None:
        return bool(_HEAD_SO_FAR.match(text, start))
    place, read, rest = _lines(text, head.end(), start + BLOCK_MAX)
    if rest or place == len(text) or _TAIL_SO_FAR.match(text, place):
        return True
    if not _TAIL.match(text, place) and _printed(text, start, head.end(), start + BLOCK_MAX).open:
        return True
    # A word is the last line of a key if the end follows it, possibly in the next piece.
    last = _LINE.match(text, place, start + BLOCK_MAX) if read >= LINE_LEAST else None
    return last is not None and bool(_END_SO_FAR.match(text, last.end()))


def _putty_lines(text: str, start: int) -> tuple[int, int] | None:
    """Return where the private lines of a PuTTY key begin and end."""
    head = _PUTTY.match(text, start)
    if head is None:
        return None
    begin = place = head.end()
    for _ in range(int(head["lines"])):
        match = _LINE.match(text, place, start + BLOCK_MAX)
        if match is None or match["line"] is None:
            break
        place = match.end()
    printed = _printed(text, start, begin, start + BLOCK_MAX, int(head["lines"]))
    return begin, max(place, printed.end if printed.read >= BLOCK_LEAST else 0)


def _putty(text: str, start: int) -> Hit | None:
    span = _putty_lines(text, start)
    if span is None or span[1] - span[0] < BLOCK_LEAST:
        return None
    first = _LINE.match(text, span[0])
    begin = first.start("line") if first else span[0]
    return Hit(begin, span[1], "secret.private_key", 1.0, REPLACEMENT, start)


def _putty_is_open(text: str, start: int) -> bool:
    span = _putty_lines(text, start)
    if span is None:
        return bool(_PUTTY_SO_FAR.match(text, start))
    head = _PUTTY.match(text, start)
    printed = head is not None and _printed(text, start, span[0], start + BLOCK_MAX, int(head["lines"])).open
    return printed or bool(_END_SO_FAR.match(text, span[1]))
