"""The tables of the documentation as data, so that tests can compare them with the code."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def table(page: str, heading: str) -> list[dict[str, str]]:
    """Return the rows of the first table under a heading; each maps the column's title to the cell's text."""
    text = (DOCS / page).read_text()
    section = re.split(rf"^#+ {re.escape(heading)}$", text, maxsplit=1, flags=re.MULTILINE)[1]
    head = re.split(r"^#", section, maxsplit=1, flags=re.MULTILINE)[0]
    lines = iter(head.splitlines())
    first = next(line for line in lines if line.startswith("|"))
    titles, _ = _cells(first), next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append(dict(zip(titles, _cells(line), strict=True)))
    return rows


def code(cell: str) -> list[str]:
    """Return the text between backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]
