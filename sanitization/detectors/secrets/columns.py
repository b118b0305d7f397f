"""Cells of tables below a head that names a secret: CSV, Markdown, and what databases and commands print."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from sanitization.findings import Hit, Kind
from sanitization.late import Late
from sanitization.prefilter import Prefilter

from .rules import CONTEXT, REACH, REPLACEMENT, Anchor, given
from .values import is_code, is_gibberish, is_random, is_stand_in, says_something

LINE_MAX: Final = 400
"""Characters of a line of a table; its head has fewer before the column of a secret."""
_NAMES: Final = (
    r"pass(?:word|wd|phrase|wort|code)s?|pwd|kennwort|senha|secrets?"
    r"|(?:secret[ _-]?)?(?:api|access|private|account|auth|client|signing|encryption)[ _-]?(?:key|secret|token)s?"
    r"|secret[ _-]?(?:access[ _-]?)?key|token"
)
_BEGINNINGS: Final = (
    "pass", "pwd", "kennwort", "senha", "secret", "api", "access", "private", "account", "auth", "client",
    "signing", "encryption", "token",
)  # fmt: skip
_OF_PASSWORDS: Final = ("pas", "pwd", "ken", "sen")
_HEAD: Final = Late(
    rf"(?ai:(?:(?<=[,;|\t\n\"'`*_ -])|\A)(?P<name>{_NAMES}))[\"'`*]{{0,3}}(?=[ \t]*(?:[,;|\t]|\r?\n|\Z)|[ ]{{2,}})"
)
_BEGUN: Final = Late(
    r"(?ai:(?<![a-z])(?:secret|api|access|private|account|auth|client|signing|encryption)(?:[ _-][a-z]{0,6})*)\Z"
)
_CELL: Final = Late(r"(?:[^\n]{0,60}[\"'`*\[({=])?[^\W\d_][\w .()/#-]{0,48}[\"'`*]{0,3}")
_SEPARATORS: Final = tuple(map(Late, (r"\|", r"\t", ";", ",", r"[ ]{2,64}")))
_QUOTED: Final = Late(r'"(?:[^"\n]|"")*"')
_RULE: Final = Late(r"[ |+:=-]{3,}")
_CLOSED: Final = Late(r"[`'\"*]{0,3}(?P<value>.*?)[`'\"*]{0,3}", re.DOTALL)


class _Head(NamedTuple):
    """A head of a secret: where its name stands, where its line ends, the separator, and the numbers of cells."""

    place: int
    end: int
    separator: Late
    column: int
    columns: int


class Columns:
    """Cells below the name of a secret."""

    name = "columns"
    prefilter = Prefilter(literals=_BEGINNINGS, ignore_case=True)
    kinds = (
        Kind("secret.column", "cell below the name of a secret", "user,password\nsvc," + "kR7q" + "Wm3x" * 2 + "\n"),
    )

    def anchors(self, text: str, lowered: str, start: int) -> Iterator[Anchor]:
        """Yield where such cells stand."""
        text = _with_breaks(text)
        for head in _heads(text, start):
            for begin, end in _cells(text, head)[0]:
                yield Anchor(begin, 0, given(Hit(begin, end, "secret.column", 0.7, REPLACEMENT, head.place)))

    def settled(self, text: str, lowered: str, start: int, word: int) -> int:
        """Return where a head stands whose table may go on."""
        text = _with_breaks(text)
        for match in _HEAD.finditer(text, max(start, len(text) - REACH)):
            place, (head_line, *lines) = match.start(), text[match.start() :].split("\n", 8)
            head = _head(text, match)
            if head is not None:
                is_open = _cells(text, head)[1]
            else:
                waits = not lines or (all(map(_RULE.fullmatch, lines[:-1])) and len(lines[-1]) < LINE_MAX)
                is_open = waits and len(head_line) < LINE_MAX and _begins(text, place)
            if is_open:
                return place
        begun = _BEGUN.search(text, max(start, len(text) - 40))
        return begun.start() if begun else len(text)


def _with_breaks(text: str) -> str:
    """Return a text of the same length with the breaks of lines that are written as those of a string."""
    return text.replace("\\n", " \n") if "\\n" in text else text


def _begins(text: str, place: int) -> bool:
    """Return whether what stands before a name may be the beginning of a head: its line has been short."""
    return text.find("\n", max(0, place - CONTEXT), place) >= 0 or place < CONTEXT


def _heads(text: str, start: int) -> Iterator[_Head]:
    for match in _HEAD.finditer(text, start):
        if (head := _head(text, match)) is not None:
            yield head


def _head(text: str, match: re.Match[str]) -> _Head | None:
    """Return the head in which a name is a whole cell, if the next line has as many cells."""
    place = match.start()
    line_break = text.rfind("\n", max(0, place - CONTEXT), place)
    end = text.find("\n", match.end(), match.end() + LINE_MAX)
    if end < 0 or (line_break < 0 and place >= CONTEXT):
        return None
    for separator in _SEPARATORS:
        cells = _split(text[line_break + 1 : end].rstrip("\r "), separator)
        columns = len(cells)
        column = next((n for n, (first, last) in enumerate(cells) if first <= match.end() - line_break - 2 < last), -1)
        if columns < 2 or column < 0:
            continue
        if not all(_CELL.fullmatch(text, line_break + 1 + first, line_break + 1 + last) for first, last in cells):
            return None
        head = _Head(place, end, separator, column, columns)
        return head if next(_rows(text, head), None) is not None else None
    return None


def _split(line: str, separator: Late) -> list[tuple[int, int]]:
    """Return where the cells of a line begin and end; those in quotes may have separators in them."""
    cells, begin, at = list[tuple[int, int]](), len(line) - len(line.lstrip(" |")), 0
    end = len(line.rstrip(" |")) if "|" in line else len(line)
    at = begin
    while found := separator.search(line, at, end):
        quoted = _QUOTED.match(line, begin)
        if quoted and quoted.end() > found.start():
            at = quoted.end()
            continue
        cells.append((begin, found.start()))
        begin = at = found.end()
    cells.append((begin, end))
    return [
        (upto - len(line[first:upto].lstrip(" ")), first + len(line[first:upto].rstrip(" "))) for first, upto in cells
    ]


def _rows(text: str, head: _Head) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Yield the rows below a head: where each begins, and its cells. The last one may not be whole."""
    begin, limit = head.end + 1, head.place + REACH - LINE_MAX
    while begin < min(len(text), limit):
        end = text.find("\n", begin, begin + 4 * LINE_MAX)
        line = text[begin : end if end >= 0 else begin + 4 * LINE_MAX].rstrip("\r ")
        if not _RULE.fullmatch(line):
            cells = _split(line, head.separator)
            if len(cells) != head.columns and (end >= 0 or len(cells) <= head.column):
                return
            yield begin, cells
        if end < 0:
            return
        begin = end + 1


def _cells(text: str, head: _Head) -> tuple[list[tuple[int, int]], bool]:
    """Return where the secrets below a head are, and whether more may come."""
    found, end = list[tuple[int, int]](), head.end
    is_password = text[head.place : head.place + 3].lower() in _OF_PASSWORDS
    for begin, cells in _rows(text, head):
        first, upto = (begin + each for each in cells[head.column])
        value = _CLOSED.fullmatch(text, first, upto)
        if value is not None and _is_secret(value["value"].strip(), is_password=is_password):
            found.append(value.span("value"))
        end = text.find("\n", upto)
        if end < 0:
            return found, True
    *lines, rest = text[end + 1 :].split("\n", 8)
    return found, all(map(_RULE.fullmatch, lines)) and len(rest) < LINE_MAX


def _is_secret(value: str, *, is_password: bool) -> bool:
    """Return whether a cell has a secret: one word that says nothing else."""
    if len(value) < 4 or " " in value or is_stand_in(value) or says_something(value) or is_code(value, quoted=True):
        return False
    return is_password or is_random(value) or (len(value) >= 8 and is_gibberish(value))
