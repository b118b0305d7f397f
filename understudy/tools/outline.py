"""`outline_text`: the headings of a text as a tree; for a text without headings, its paragraphs."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final

from attrs import evolve, frozen

from understudy.tools.errors import ToolError
from understudy.tools.result import ToolResult
from understudy.tools.schema import Param
from understudy.tools.text import MAX_TEXT, split_sentences
from understudy.tools.tool import tool

MAX_ENTRIES: Final = 100
MAX_TITLE: Final = 120
# Characters of a line that may still be a heading although no mark says so.
_SHORT: Final = 60

_MARKED: Final = re.compile(r"(#{1,6})\s+(\S.{0,299})")
_NUMBERED: Final = re.compile(r"(\d{1,2}(?:\.\d{1,2}){0,4})[.)]?\s+(\S.{0,120})")
_UNDERLINE: Final = re.compile(r"(=+|-+)\s*")
_FENCE: Final = re.compile(r"\s{0,3}(```|~~~)")


@frozen
class OutlineEntry:
    """A heading of `level` 1 to 6 in line `line` (from 1), with the words of the text until the next heading."""

    level: int
    title: str
    line: int
    words: int = 0


@tool(retry_safe=True)
def outline_text(
    text: Annotated[str, Param("The text to outline.", format="text")],
    depth: Annotated[int, Param("Levels of headings to show, 1 to 6.")] = 6,
) -> ToolResult:
    """Outline a text: its structure, sections, headings and contents, its length, and how many words each part has; for
    a text without headings, the first sentence of each paragraph."""
    if not 1 <= depth <= 6:
        raise ToolError("invalid_arguments", f"depth must be between 1 and 6, not {depth:,}.")
    if not text.strip():
        raise ToolError("invalid_arguments", "There is no text to outline.")
    read = text[:MAX_TEXT]
    found = headings(read)
    entries = found or _paragraphs(read)
    shown = [each for each in entries if each.level <= depth][:MAX_ENTRIES]
    value: dict[str, Any] = {
        "outline": [
            {"level": each.level, "title": each.title, "line": each.line, "words": each.words} for each in shown
        ],
        "text": "\n".join(f"{'  ' * (each.level - 1)}- {each.title} ({each.words:,} words)" for each in shown),
        "has_headings": bool(found),
        "word_count": len(read.split()),
        "truncated": len(text) > MAX_TEXT or len(shown) < len(entries),
    }
    what = "heading" if found else "paragraph"
    summary = f"{len(entries):,} {what}{'' if len(entries) == 1 else 's'}, {value['word_count']:,} words"
    return ToolResult(value, summary if found else f"{summary}; it has no headings, so each paragraph begins a line")


def headings(text: str) -> list[OutlineEntry]:
    """Return the headings: marked with # or an underline, numbered, or short lines in capitals."""
    lines = text.splitlines()
    found: list[OutlineEntry] = []
    fenced, words = False, 0
    for number, line in enumerate(lines, 1):
        if _FENCE.match(line):
            fenced = not fenced
        entry = None if fenced else _heading(lines, number - 1)
        if entry is None:
            words += len(line.split())
            continue
        if found:
            found[-1] = evolve(found[-1], words=words)
        found.append(entry)
        words = 0
    return [*found[:-1], evolve(found[-1], words=words)] if found else []


def _heading(lines: Sequence[str], place: int) -> OutlineEntry | None:
    line, number = lines[place].strip(), place + 1
    if marked := _MARKED.fullmatch(line):
        text = marked[2].rstrip().rstrip("#").rstrip()  # marks may follow the text, too
        return OutlineEntry(len(marked[1]), _title(text or marked[2]), number)
    below = lines[place + 1].strip() if place + 1 < len(lines) else ""
    if (
        line
        and len(line) <= MAX_TITLE
        and len(below) >= 3
        and _UNDERLINE.fullmatch(below)
        and _stands_alone(lines, place)
    ):
        return OutlineEntry(1 if below[0] == "=" else 2, _title(line), number)
    if not 3 <= len(line) <= _SHORT or line[-1] in ".,;!?" or not _stands_alone(lines, place):
        return None
    if numbered := _NUMBERED.fullmatch(line):
        return OutlineEntry(1 + numbered[1].count("."), _title(line), number)
    if line.isupper() and any(each.isalpha() for each in line) and len(line.split()) <= 8:
        return OutlineEntry(1, _title(line), number)
    return None


def _stands_alone(lines: Sequence[str], place: int) -> bool:
    """Whether the line above is empty, so that this one begins a block."""
    return place == 0 or not lines[place - 1].strip()


def _paragraphs(text: str) -> list[OutlineEntry]:
    """Return an entry for each paragraph, titled by its first sentence."""
    entries, line = [], 1
    for block in re.split(r"(\n\s*\n)", text):
        if sentences := split_sentences(block):
            above = len(block) - len(block.lstrip())
            at = line + block[:above].count("\n")
            entries.append(OutlineEntry(1, _title(sentences[0].text), at, len(block.split())))
        line += block.count("\n")
    return entries


def _title(text: str) -> str:
    return text if len(text) <= MAX_TITLE else text[: MAX_TITLE - 1].rstrip() + "…"
