"""Cells of tables below a head that names a secret: CSV, Markdown, HTML, lists in JSON, and what databases print.

A text is read once, line by line: a line is a head, a row of the tables that are open, or the end of them. A table also
ends where its column has a new head, so that the time is linear whatever the lines are.
"""

import re
from collections.abc import Iterator
from typing import Final

from sanitization.findings import REPLACEMENT, Hit, Kind
from sanitization.late import Late
from sanitization.prefilter import Prefilter

from .rules import CONTEXT, REACH, Anchor, given
from .values import is_code, is_gibberish, is_random, is_stand_in, says_something

HEAD_MAX: Final = 400
"""Characters of a head after the name of a secret; before it there are fewer than `CONTEXT`."""
ROW_MAX: Final = 1_600
"""Characters of a row that are read."""
_NAMES: Final = (
    r"pass(?:word|wd|phrase|wort|code|e)s?|pwd|kennwort|senha|contrase[nñ]a|wachtwoord|has[lł]o|heslo|salasana|parola"
    r"|пароль|密码|密碼|パスワード|비밀번호|secrets?"
    r"|(?:secret[ _-]?)?(?:api|access|private|account|auth|client|signing|encryption)[ _-]?(?:key|secret|token)s?"
    r"|secret[ _-]?(?:access[ _-]?)?key|token"
)
_PASSWORDS: Final = (
    *("pass", "pwd", "kennwort", "senha", "contrasena", "contraseña", "wachtwoord", "haslo", "hasło", "heslo"),
    *("salasana", "parola", "пароль", "密码", "密碼", "パスワード", "비밀번호"),
)
_BEGINNINGS: Final = (
    *(*_PASSWORDS, "secret", "api", "access", "private", "account", "auth", "client", "signing", "encryption"),
    "token",
)
_HEAD: Final = Late(
    rf"(?ai:(?:(?<=[,;|\t\n\"'`*_ -])|\A)(?P<name>{_NAMES}))[\"'`*]{{0,3}}(?=[ \t]*(?:[,;|\t]|\r?\n|\Z)|[ ]{{2,}})"
)
_BEGUN: Final = Late(
    r"(?ai:(?<![a-z])(?:secret|api|access|private|account|auth|client|signing|encryption)(?:[ _-][a-z]{0,6})*)\Z"
)
_CELL: Final = Late(r"(?:\d{1,6}[\t:] ?)?(?:[^\n]{0,60}[\"'`*\[({=])?[^\W\d_][\w .()/#-]{0,48}[\"'`*]{0,3}")
_SEPARATORS: Final = (Late(r"\|"), Late(r"\t"), Late(";"), Late(","), Late(r"[ ]{2,64}"), None)  # None: one column
_SIGNS: Final = ("|", "\t", ";", ",")
_QUOTED: Final = Late(r'"(?:[^"\n]|"")*"')
_RULE: Final = Late(r"[ |+:=>-]{3,}|[ ,]*[\"'][\w ]{1,40}[\"'] ?:[ ]*")
_CLOSED: Final = Late(r"(?:\d{1,6}[\t:] ?)?[`'\"*]{0,3}(?P<value>.*?)[`'\"*]{0,3}", re.DOTALL)
_LOOSE: Final = " \t\r\n,[]\\"
"""What may turn out to be structure, by what follows it."""
_BOXES: Final = {code: "|" if chr(code) in "│┃║" else "-" for code in range(0x2500, 0x2580)}
_STRUCTURE: Final = Late(
    r"(?P<row>\\n|<tr\b[^<>]{0,100}>|</tr>|\[(?=\s{0,64}[\"'])|\](?=\s{0,64}(?:,\s{0,64}[\"']|\})))"
    r"|(?P<cell><t[dh]\b[^<>]{0,100}>)"
    r"|</?(?:t[dh]|table|thead|tbody|tfoot|code|kbd|tt|b|i|em|strong|span|div|p)\b[^<>]{0,100}>"
    r"|\n(?=[ \t]{0,64}</?t[abdfhr]|[ \t]{1,64}\])|(?<=[\[,\r])\n(?=[ \t]{1,64}[\"'\d\[tfn-])"
    r"|\[(?=\s{0,64}\[)|(?<=[\"'\]\s])\]|\](?=\s{0,64}[,\]])|,(?=\s{0,64}\[)",
    re.IGNORECASE,
)
"""What separates rows and cells in the strings, lists and tables of JSON and HTML, and what stands between them."""


class Columns:
    """Cells below the name of a secret."""

    name = "columns"
    prefilter = Prefilter(literals=_BEGINNINGS, ignore_case=True)
    kinds = (
        Kind("secret.column", "cell below the name of a secret", "user,password\nsvc," + "kR7q" + "Wm3x" * 2 + "\n"),
    )

    def anchors(self, text: str, lowered: str, start: int) -> Iterator[Anchor]:
        """Yield where such cells stand."""
        for head, begin, end in _read(text, start)[0]:
            yield Anchor(begin, 0, given(Hit(begin, end, "secret.column", 0.7, REPLACEMENT, head)))

    def settled(self, text: str, lowered: str, start: int, word: int) -> int:
        """Return where a head stands whose table may go on."""
        end = len(text.rstrip(_LOOSE))
        tag = text.rfind("<", max(0, end - 101), end)
        if tag >= 0 and ">" not in text[tag:end]:
            end = len(text[:tag].rstrip(_LOOSE))
        first = _read(text[:end], max(start, len(text) - REACH))[1]
        if first == end:
            first = len(text)
        begun = _BEGUN.search(text, max(start, len(text) - 40))
        return min(first, begun.start()) if begun else first


def _as_lines(text: str) -> str:
    """Return a text of the same length in which all rows are lines, and the cells of HTML are separated by `|`."""
    if not text.isascii() and ("│" in text or "┃" in text or "║" in text):
        text = text.translate(_BOXES)
    if not ("\\n" in text or "<t" in text or "<T" in text or "[" in text):
        return text

    def plain(found: re.Match[str]) -> str:
        first = "\n" if found["row"] else "|" if found["cell"] else " "
        return " \n" if found[0] == "\\n" else first.ljust(len(found[0]))

    return _STRUCTURE.sub(plain, text)


def _read(text: str, start: int) -> tuple[list[tuple[int, int, int]], int]:
    """Return the secrets in tables whose head stands at `start` or later, each with its head, and where the first head
    stands whose table may go on, or the end of the text.
    """
    text, size, at = _as_lines(text), len(text), start
    found = list[tuple[int, int, int]]()
    tables = dict[tuple[int, int, int], int]()  # heads by separator, number of cells, and number of the cell
    single: int | None = None  # a name that is a line alone, and a head if a rule follows
    while at < size:
        if not tables and single is None:
            name = _HEAD.search(text, at)
            if name is None:
                return found, size
            at = text.rfind("\n", max(0, name.start() - CONTEXT), name.start()) + 1
            if not at and name.start() >= CONTEXT:
                at = name.end()
                continue
        end = text.find("\n", at, at + ROW_MAX)
        stop = end if end >= 0 else min(size, at + ROW_MAX)
        line = text[at:stop]
        if _RULE.fullmatch(line):
            if single is not None:
                tables[len(_SIGNS) + 1, 1, 0] = single
        else:
            cells = dict[int, list[tuple[int, int]]]()
            for (separator, columns, column), head in list(tables.items()):
                row = cells[separator] if separator in cells else cells.setdefault(separator, _split(line, separator))
                if (end >= 0 and len(row) != columns) or at > head + REACH - ROW_MAX:
                    del tables[separator, columns, column]
                    continue
                first, last = row[column] if column < len(row) else (0, 0)
                if columns == 1 and " " in line[first:last]:
                    del tables[separator, columns, column]
                elif value := _CLOSED.fullmatch(line, first, last):
                    word = value["value"].strip()
                    if _is_secret(word, is_password=text[head : head + 12].lower().startswith(_PASSWORDS)):
                        found.append((head, at + value.start("value"), at + value.end("value")))
        begun, single = None if line.strip(" |+:=-") else single, None
        for name in _HEAD.finditer(text, max(at, start), stop):
            if name.start() - at >= CONTEXT or stop - name.end() > HEAD_MAX:
                continue
            if end < 0:  # the line may go on
                return found, min([*tables.values(), name.start()])
            place = _place_in(line, name.end() - at)
            if place is not None and place[1] == 1:
                single = name.start()
            elif place is not None:
                tables[place] = name.start()
        if end < 0:
            heads = [*tables.values(), size if begun is None else begun]
            return found, min(heads) if stop == size else size
        at = end + 1
    return found, min([*tables.values(), size if single is None else single])


def _place_in(line: str, end: int) -> tuple[int, int, int] | None:
    """Return separator, number of cells and number of the cell of a name that ends there, if all cells are words."""
    for separator in range(len(_SEPARATORS)):
        cells = _split(line, separator)
        column = next((number for number, (first, last) in enumerate(cells) if first < end <= last), -1)
        if column < 0 or (len(cells) == 1 and _SEPARATORS[separator]):
            continue
        if all(_CELL.fullmatch(line, *cell) for cell in cells):
            return separator, len(cells), column
    return None


def _split(line: str, number: int) -> list[tuple[int, int]]:
    """Return where the cells of a line begin and end; those in quotes may have separators in them."""
    separator, line = _SEPARATORS[number], line.rstrip("\r ")
    begin = len(line) - len(line.lstrip(" |>"))
    end = len(line.rstrip(" |")) if "|" in line else len(line)
    cells = list[tuple[int, int]]()
    if separator is None:
        return [(begin, max(begin, end))]
    if number < len(_SIGNS) and '"' not in line:
        for part in line[begin:end].split(_SIGNS[number]):
            cells.append((begin + len(part) - len(part.lstrip(" ")), begin + len(part.rstrip(" "))))
            begin += len(part) + 1
        return cells
    at, quoted = begin, _QUOTED.match(line, begin)
    while sign := separator.search(line, at, end):
        if quoted and quoted.end() > sign.start():
            at, quoted = quoted.end(), None
            continue
        cells.append((begin, sign.start()))
        begin = at = sign.end()
        quoted = _QUOTED.match(line, begin)
    cells.append((begin, end))
    return [
        (upto - len(line[first:upto].lstrip(" ")), first + len(line[first:upto].rstrip(" "))) for first, upto in cells
    ]


def _is_secret(value: str, *, is_password: bool) -> bool:
    """Return whether a cell has a secret: one word that says nothing else."""
    if len(value) < 4 or " " in value or is_stand_in(value) or says_something(value) or is_code(value, quoted=True):
        return False
    return is_password or is_random(value) or (len(value) >= 8 and is_gibberish(value))
