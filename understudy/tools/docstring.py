"""Parses docstrings of Google and Sphinx style: a summary, and a description for each parameter. Pure."""

import inspect
import re
from typing import Final

from attrs import frozen

_SECTION: Final = re.compile(
    r"(Args|Arguments|Parameters|Params|Returns?|Yields|Raises|Examples?|Notes?|See Also|Attributes|Warnings?):\s*\Z"
)
_PARAMETERS: Final = frozenset({"Args", "Arguments", "Parameters", "Params"})
_GOOGLE: Final = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)\Z")
_SPHINX: Final = re.compile(r":(?:param|parameter|arg|argument)\s+(?:[^:]*\s)?(\w+)\s*:\s*(.*)\Z")
_FIELD: Final = re.compile(r":\w+[^:]*:")


@frozen
class ParsedDocstring:
    """A docstring taken apart. `summary` is all the prose before the first section, paragraphs kept apart."""

    summary: str
    parameters: dict[str, str]


def read_docstring(text: str | None) -> ParsedDocstring:
    """Take a docstring apart; an absent or empty one gives an empty summary."""
    lines = inspect.cleandoc(text or "").splitlines()
    prose: list[str] = []
    index = 0
    while index < len(lines) and not _SECTION.match(lines[index]) and not _FIELD.match(lines[index]):
        prose.append(lines[index])
        index += 1
    parameters: dict[str, str] = {}
    section = ""
    while index < len(lines):
        heading = _SECTION.match(lines[index])
        if heading:
            section = heading[1]
            index += 1
        elif _SPHINX.match(lines[index]):
            index = _entry(lines, index, _SPHINX, parameters)
        elif section in _PARAMETERS and _GOOGLE.match(lines[index].strip()):
            index = _entry(lines, index, _GOOGLE, parameters)
        else:
            index += 1
    return ParsedDocstring(_paragraphs(prose), parameters)


def _entry(lines: list[str], index: int, pattern: re.Pattern[str], found: dict[str, str]) -> int:
    """Read the entry that begins at `index` and its deeper indented lines; returns the index after it."""
    match = pattern.match(lines[index].strip())
    assert match is not None  # noqa: S101 - the caller has matched this line
    own = _indent(lines[index])
    words = [match[2].strip()]
    index += 1
    while index < len(lines) and lines[index].strip() and _indent(lines[index]) > own:
        words.append(lines[index].strip())
        index += 1
    found.setdefault(match[1], " ".join(each for each in words if each))
    return index


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _paragraphs(lines: list[str]) -> str:
    paragraphs = "\n".join(lines).strip().split("\n\n")
    return "\n\n".join(" ".join(each.split()) for each in paragraphs if each.strip())
