"""Parses named amounts as people write them, one per line: ``Rent: 12000``. An ambiguous amount is refused."""

import re
from collections.abc import Sequence
from functools import partial
from typing import Final

from understudy.tools.errors import ToolError

MAX_AMOUNT: Final = 1e15
MAX_NAME: Final = 80
_refused: Final = partial(ToolError, "invalid_arguments")
_AMOUNT: Final = re.compile(r"[-+]?(?:\d{1,20}|\d{1,3}(?:,\d{3}){1,6})(?:\.\d{1,20})?", re.ASCII)
_TWO_WAYS: Final = re.compile(r"[-+]?\d{1,3}\.\d{3}", re.ASCII)
"""12.000 is twelve in English, and twelve thousand in German."""


def split_lines(lines: Sequence[str], example: str, most: int) -> dict[str, str]:
    """Return the text after the colon of each line, by the name before the colon, in order.

    Raises `ToolError` for a line without name or text, a name given twice, or more than `most` lines.
    """
    texts: dict[str, str] = {}
    for line in filter(None, map(str.strip, lines)):
        name, _, text = (part.strip() for part in line.partition(":"))
        if not name or not text or len(name) > MAX_NAME:
            raise _refused(
                f"“{_short(line)}” needs a name of at most {MAX_NAME} characters and a colon, as in {example}"
            )
        if name in texts:
            raise _refused(f"“{name}” occurs twice; give each line its own name.")
        texts[name] = text
    if len(texts) > most:
        raise _refused(f"There are {len(texts):,} lines, and at most {most} can be worked out at once.")
    return texts


def read_amount(text: str, name: str) -> float:
    """Return an amount such as ``-1200``, ``12,000`` or ``0.5``. Raises `ToolError` for any other text."""
    normalized = text.strip().replace("−", "-")  # noqa: RUF001
    if not _AMOUNT.fullmatch(normalized) or _TWO_WAYS.fullmatch(normalized):
        raise _refused(
            f"“{_short(text)}” of “{name}” is not an amount: write 12000, 12,000 or 12.50, without a currency."
        )
    amount = float(normalized.replace(",", ""))
    if abs(amount) > MAX_AMOUNT:
        raise _refused(f"An amount of “{name}” is larger than {MAX_AMOUNT:,.0f}.")
    return amount


def _short(text: str) -> str:
    return text if len(text) <= MAX_NAME else f"{text[:MAX_NAME]}…"
