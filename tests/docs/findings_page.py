"""Generate the tables of docs/reference/findings.md from the detectors' kinds.

python -m tests.docs.findings_page    # writes them into the page
"""

import re
import unicodedata
from collections.abc import Iterator
from html import escape
from typing import Final

from sanitization import Category, Direction, Finding, Kind, Sanitizer, everywhere
from sanitization.detectors import CONTENT, DISGUISES
from sanitization.detectors.markup.markup import Markup
from sanitization.findings import Action
from tests.docs.tables import DOCS

PAGE: Final = DOCS / "reference" / "findings.md"
LONGEST: Final = 96
"""Characters of an example that are shown."""
HEAD: Final = "| kind | what it is | example |\n| --- | --- | --- |\n"
WATCHFUL: Final = Sanitizer(everywhere(dict.fromkeys(Category, Action.FLAG)), Direction.TOOL)

PAGE_MODE: Final = "markup in a page"

_HEADING: Final = re.compile(r"^## (`\w+`(?: in a page)?)", re.MULTILINE)
_TABLE: Final = re.compile(r"(?<=\n)\| kind \|.*?\n(?!\|)", re.DOTALL)
_UNSEEN: Final = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"}
"""General categories of characters that a page does not show."""
_FILLERS: Final = "\u115f\u1160\u3164\uffa0\u17b4\u17b5\u034f"
_SHOWN: Final = 4
"""Characters of a secret that are shown; fewer where it has fewer than 16."""


def kinds() -> Iterator[tuple[str, Kind]]:
    """Yield every kind of every detector, with its section of the page."""
    for detector in (*DISGUISES, *CONTENT):
        for kind in detector.kinds:
            yield f"{detector.category}", kind
    for kind in Markup.kinds:
        yield PAGE_MODE, kind


def found(section: str, kind: Kind) -> tuple[Finding, ...]:
    """Return the findings of the sanitizer in a kind's example."""
    if section == PAGE_MODE:
        return WATCHFUL.sanitize_html(kind.example).findings
    return WATCHFUL.sanitize(kind.example).findings


def row(section: str, kind: Kind) -> str:
    """Return a row of a table."""
    return f"| `{kind.name}` | {cell(kind.meaning)} | {example(section, kind)} |"


def example(section: str, kind: Kind) -> str:
    """Return a kind's example for display: the beginning of a secret, the code points of hidden characters."""
    text = kind.example
    if section == Category.SECRET:
        for each in sorted(found(section, kind), key=lambda finding: -finding.start):
            text = f"{text[: each.start + min(_SHOWN, (each.end - each.start) // 4)]}…{text[each.end :]}"
    shown = [_visibly(letter) for letter in text]
    if "".join(shown) != text:
        shown = ["\\\\" if letter == "\\" else letter for letter in shown]
    text = "".join(shown)
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 1]}…"
    if "|" in text or "`" in text:  # both mean something in a table
        return f"<code>{escape(text, quote=False).replace('|', '&#124;').replace('`', '&#96;')}</code>"
    return f"`{text}`"


def cell(text: str) -> str:
    """Return a description as a sentence, escaped for a table."""
    return f"{text.removesuffix('.')}.".replace("|", "\\|").replace("<", "&lt;")


def _visibly(letter: str) -> str:
    code = ord(letter)
    if letter == "\n":
        return "\\n"
    selects = 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF or 0x180B <= code <= 0x180F
    if letter == " " or not (selects or letter in _FILLERS or unicodedata.category(letter) in _UNSEEN):
        return letter
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{{{code:x}}}"


def tables() -> dict[str, str]:
    """Return the table of each section."""
    lines: dict[str, list[str]] = {section: [] for section in (*Category, PAGE_MODE)}
    for section, kind in kinds():
        lines[section].append(f"{row(section, kind)}\n")
    return {section: HEAD + "".join(rows) for section, rows in lines.items()}


def written() -> dict[str, str]:
    """Return the table below each section's heading in the page."""
    _, *parts = _HEADING.split(PAGE.read_text())
    return {
        name.replace("`", ""): _TABLE.findall(f"{text}\n")[0]
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    }


def write() -> None:
    head, *parts = _HEADING.split(PAGE.read_text())
    new = tables()
    for at in range(0, len(parts), 2):
        name, text = parts[at : at + 2]
        table = new[name.replace("`", "")]
        parts[at] = f"## {name}"
        parts[at + 1] = _TABLE.sub(lambda _, table=table: table, f"{text}\n", count=1)[:-1]  # type: ignore[misc]
    PAGE.write_text(head + "".join(parts))


if __name__ == "__main__":
    write()
