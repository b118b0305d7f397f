"""Prints lines and tables on a terminal. Text of a server is neutralised, so it cannot move the cursor."""

import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Final, TextIO

import click

MAX_LINE: Final = 400
"""Characters of a line of the server that is not part of an answer; the rest is cut off."""

_C0 = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t\r"}
_HIDDEN = [0x61C, 0x200E, 0x200F, 0x2028, 0x2029, 0xFEFF, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_NEUTRAL: Final[Mapping[int, str]] = {
    **_C0, 0x7F: "\u2421", ord("\r"): "", **dict.fromkeys([*range(0x80, 0xA0), *_HIDDEN], "\ufffd"),
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),
}  # fmt: skip


def neutralise(text: object) -> str:
    """Make every character visible that could move the cursor or change the direction of the text."""
    return str(text).translate(_NEUTRAL)


def one_line(text: object) -> str:
    """Neutralise a text and fit it to one line of at most MAX_LINE characters."""
    line = " ".join(neutralise(text).split())
    return line if len(line) <= MAX_LINE else f"{line[: MAX_LINE - 1]}…"


def print_table(
    rows: Sequence[Sequence[str]], out: TextIO | None = None, colours: Mapping[str, str] | None = None
) -> None:
    """Print rows in columns, the last one wrapped at the width of the terminal. A pipe gets each row on one line.

    `colours` are those of values in the first column.
    """
    out = out or sys.stdout
    is_terminal = out is not None and out.isatty()  # None: it is closed
    width = shutil.get_terminal_size().columns if is_terminal else sys.maxsize
    *widths, _ = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else [0]
    margin = sum(width + 2 for width in widths)
    for first, *others in rows:
        *cells, last = [cell.ljust(wide) for cell, wide in zip((first, *others), (*widths, 0), strict=True)]
        lines = textwrap.wrap(last, max(20, width - margin), break_on_hyphens=False) or [""]
        head = "  ".join([*cells, ""])
        if colour := (colours or {}).get(first):
            head = click.style(first, fg=colour) + head[len(first) :]
        click.echo(head + f"\n{' ' * margin}".join(lines), file=out)
