"""Computes previews of stored files: a picture's type, the first rows of a table, or a text with its language. Pure.

1. The content decides, not the name or the declared media type alone. A file that is neither a known kind of picture
   nor a text has no preview.
2. Markup (HTML, XML) is shown as text only. An SVG is a picture: clients show it as an image, where no script runs.
"""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any, Final

from attrs import field, frozen

from understudy.chat.run.history import picture_type
from understudy.tools.result import SAFE

HEAD_BYTES: Final = 256 * 1024
"""Limit of the bytes that are read for a preview."""
MAX_ROWS: Final = 50
MAX_COLUMNS: Final = 60
MAX_CELL: Final = 200
"""Limit of a cell in characters; the rest is cut off."""
MAX_TEXT: Final = 40_000
"""Limit of a text in characters; the rest is cut off."""

IMAGE, TABLE, TEXT, NONE = "image", "table", "text", "none"

_DELIMITERS: Final = {"csv": ",;\t|", "tsv": "\t"}
# The language of a file by the suffix of its name; any other suffix is taken for the name of its language.
_LANGUAGES: Final = {
    "htm": "html", "svg": "xml", "xhtml": "html", "jsonl": "json", "ndjson": "json", "geojson": "json", "mjs": "js",
    "cjs": "js", "h": "c", "hpp": "cpp", "cc": "cpp", "c": "c", "patch": "diff", "bat": "text", "log": "text",
    "txt": "text", "csv": "text", "tsv": "text", "yml": "yaml", "ps1": "powershell", "hs": "haskell", "pl": "perl",
    "kt": "kotlin", "jl": "julia", "cfg": "ini", "conf": "ini", "py": "python", "md": "markdown", "rs": "rust",
    "rb": "ruby", "sh": "bash", "ts": "typescript", "js": "javascript",
}  # fmt: skip


@frozen
class FilePreview:
    """A preview of `kind` image, table, text or none. `image_type` is the media type of a picture, by its content.

    A table has `columns` and `rows` of cells; a text has `text` in `language`. `cut`: the file has more than this.
    """

    kind: str
    image_type: str | None = None
    columns: Sequence[str] = field(default=(), repr=False)
    rows: Sequence[Sequence[Any]] = field(default=(), repr=False)
    text: str = field(default="", repr=False)
    language: str = ""
    cut: bool = False


def preview_of(name: str, head: bytes, size: int) -> FilePreview:
    """Return the preview of a file of `size` bytes that begins with `head` (all of it, or `HEAD_BYTES`)."""
    if (picture := picture_type(head)) is not None:
        return FilePreview(IMAGE, picture)
    text = head_text(head, whole=len(head) >= size)
    if text is None:
        return FilePreview(NONE)
    cut, suffix = len(head) < size, name.rpartition(".")[2].lower() if "." in name else ""
    if suffix in _DELIMITERS and (table := _delimited(text, _DELIMITERS[suffix], cut=cut)) is not None:
        return table
    if suffix in ("json", "geojson") and not cut and (table := _records(text)) is not None:
        return table
    if suffix == "svg" and "<svg" in text[:2_000].lower():
        return FilePreview(IMAGE, "image/svg+xml")
    shown = text[:MAX_TEXT]
    return FilePreview(TEXT, text=shown, language=_LANGUAGES.get(suffix, suffix), cut=cut or len(text) > len(shown))


def _of_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, cut: bool = False) -> FilePreview:
    """Return the preview of a table, cut to the limits of previews."""
    shown = [[_cell(cell) for cell in row[:MAX_COLUMNS]] for row in rows[:MAX_ROWS]]
    more = cut or len(rows) > MAX_ROWS or len(columns) > MAX_COLUMNS
    return FilePreview(TABLE, columns=[_cut(str(column)) for column in columns[:MAX_COLUMNS]], rows=shown, cut=more)


def head_text(head: bytes, *, whole: bool) -> str | None:
    """Decode the beginning of a file as UTF-8, UTF-16 or cp1252; None if it is no text. Unless it is the `whole` file,
    an incomplete character at its end is left out."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head[: len(head) // 2 * 2].decode("utf-16", errors="replace")
    if b"\0" in head:
        return None
    try:
        return head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if not whole and error.start >= len(head) - 3:
            return head[: error.start].decode("utf-8-sig")
    text = head.decode("cp1252", errors="replace")
    odd = sum(1 for letter in text[:2_000] if letter == "\ufffd" or (letter < " " and letter not in "\t\r\n\f"))
    return text if odd * 50 < min(len(text), 2_000) else None


def _delimited(text: str, delimiters: str, *, cut: bool) -> FilePreview | None:
    lines = text.splitlines()
    if not lines:
        return None
    delimiter = max(delimiters, key=lines[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        rows = [row for _, row in zip(range(MAX_ROWS + 2), reader, strict=False)]
    except csv.Error:  # a field beyond the limit of the library
        return None
    if cut and len(rows) < MAX_ROWS + 2 and not text.endswith(("\n", "\r")):
        rows = rows[:-1]  # the last row is incomplete
    return _of_rows(rows[0], rows[1:], cut=cut) if rows else None


def _records(text: str) -> FilePreview | None:
    """Return the table of a list of flat objects; None for any other JSON."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, list) or not value or not all(isinstance(record, dict) for record in value):
        return None
    columns = list(dict.fromkeys(key for record in value[:MAX_ROWS] for key in record))
    if any(isinstance(cell, dict | list) for record in value[:MAX_ROWS] for cell in record.values()):
        return None
    return _of_rows(columns, [[record.get(key) for key in columns] for record in value])


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) <= SAFE):
        return value
    return _cut(str(value))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…"
